"""The topic ~/markers over DDS."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from outputs_harness import EmptyMap, Scene, image_header, moved
from ros_harness import FIRST_NS, wait_until
from visualization_msgs.msg import Marker, MarkerArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.quality_of_service import LATCHED

CAMERA = Camera(64, 48, 32.0, 32.0, 31.5, 23.5)


SLAM = cast("Slam", EmptyMap())


def view(number: int, z: float) -> KeyframeView:
    """A keyframe ``z`` scene units ahead of the first, that sees a wall 2 scene units away."""
    depth = np.full((24, 32), 2.0, np.float32)
    picture, header = np.zeros((48, 64, 3), np.uint8), image_header(FIRST_NS + number)
    return KeyframeView(number, 10 * number, header, moved(z=z), CAMERA, picture, depth, np.ones_like(depth))


def newest(outputs: Outputs, arrays: list[MarkerArray]) -> dict[str, Marker]:
    known = len(arrays)

    def has_come() -> bool:
        outputs.publish_due(SLAM)
        return len(arrays) > known

    wait_until(has_come, "markers")
    return {marker.ns: marker for marker in arrays[-1].markers}


def positions(marker: Marker) -> list[list[float]]:
    return [[point.x, point.y, point.z] for point in marker.points]


def test_frustums_graph_and_loops_in_map_axes_and_metres(scene: Scene) -> None:
    outputs = scene.outputs(scale=3.0, tf_mode="none", path_period=0.0)
    arrays: list[MarkerArray] = scene.camera.listen(MarkerArray, "/slam3r/markers", LATCHED)
    for number in range(3):
        outputs.publish(view(number, 0.5 * number))
    markers = newest(outputs, arrays)
    frustums = positions(markers["keyframes"])
    assert len(frustums) == 3 * 16 and markers["keyframes"].header.frame_id == "map"
    np.testing.assert_allclose(frustums[0], [0, 0, 0], atol=1e-9)
    # The upper left corner of the picture: 0.1 of the depth of 2 units ahead, as far left, 3/4 as far up; 3 m a unit.
    np.testing.assert_allclose(frustums[1], [0.6, 0.6, 0.45], rtol=1e-6)
    np.testing.assert_allclose(positions(markers["graph"]), [[0, 0, 0], [1.5, 0, 0], [1.5, 0, 0], [3, 0, 0]], atol=1e-9)
    assert markers["loops"].action == Marker.DELETE
    outputs.publish(MapCorrection(np.array([0]), Sim3([2.0], np.eye(3)[None], [[0.0, 0.0, 1.0]]), np.array([[0, 20]])))
    markers = newest(outputs, arrays)
    np.testing.assert_allclose(positions(markers["loops"]), [[3, 0, 0], [9, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(positions(markers["keyframes"])[1], [3 + 1.2, 1.2, 0.9], rtol=1e-6)
    outputs.reset(SLAM)
    wait_until(lambda: all(marker.action == Marker.DELETE for marker in arrays[-1].markers), "an empty map")
    outputs.destroy()


def test_they_are_bounded_and_a_better_view_replaces_the_old_one(scene: Scene) -> None:
    outputs = scene.outputs(path_length=10, tf_mode="none", path_period=0.0)
    arrays: list[MarkerArray] = scene.camera.listen(MarkerArray, "/slam3r/markers", LATCHED)
    for number in range(100):
        outputs.publish(view(number, float(number)))
        outputs.publish(view(number, float(number)))
    markers = newest(outputs, arrays)
    places = {tuple(each) for each in positions(markers["graph"])}
    assert 5 <= len(places) <= 10
    assert math.isclose(max(x for x, _, _ in places), 99, abs_tol=5) and min(x for x, _, _ in places) == 0
    outputs.destroy()
