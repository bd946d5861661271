"""Exports and films of a map that still grows: what the node has published, corrected and cut, over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path as PathMessage
from outputs_harness import Scene
from rclpy.context import Context
from ros_harness import FIRST_NS, own_domain, spinning, wait_until
from slam3r_ros.msg import SlamStatus
from viewer_map import DEPTH, FRAMES_BETWEEN, pose, view

from slam3r_ros.film.film import FilmOptions
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.io.map_axes import T_map_world
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.output.keyframe_views import KeyframeViewOutput
from slam3r_ros.ros.output.messages import header, pose_message
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.viewer.viewer_node import ViewerNode
from slam3r_ros.viewer.map_actions import ActionError, FilmProgress
from slam3r_ros.viewer.page_server import PageAddress
from slam3r_ros.viewer.picking import Selection

UNIT = 3.0
"""Metres of a scene unit."""


@pytest.fixture
def context() -> Iterator[Context]:
    with own_domain() as context:
        yield context


def left_half(number: int) -> Selection:
    """What the left half of a keyframe's image shows."""
    T_camera_map = np.linalg.inv(T_map_world @ pose(number))
    return Selection(T_camera_map, 2 * np.arctan(24 / 50), 64 / 48, (0.0, 0.0), (0.5, 1.0))


def test_a_growing_map_is_exported_and_filmed_as_it_lies_now(context: Context, tmp_path: Path) -> None:
    scene = Scene(context)
    statuses = scene.node.create_publisher(SlamStatus, "~/status", LATCHED)
    paths = scene.node.create_publisher(PathMessage, "~/path", LATCHED)
    viewer = ViewerNode(PageAddress(port=0), "slam3r", context=context)
    actions, model = viewer._actions, viewer.page.model
    try:
        with spinning(context, scene.node, scene.camera.node, viewer):
            outputs = scene.outputs()
            with pytest.raises(ActionError, match="^the node has published no keyframe yet$"):
                actions.export("npz", tmp_path)
            outputs.scale.set(UNIT)
            statuses.publish(SlamStatus(scale=UNIT, state=2, state_name="TRACKING"))
            paths.publish(PathMessage(poses=[stamped(number) for number in range(3)]))
            for number in range(3):
                outputs.publish(view(number))
            wait_until(lambda: len(model.snapshot().chunks) == 3, "the keyframes have come")
            changes = Sim3(np.array([1.0, 2.0]), np.stack([np.eye(3)] * 2), np.array([[0, 0, 0], [0, 1.0, 0]]))
            outputs.publish(
                MapCorrection(np.array([0, 2 * FRAMES_BETWEEN]), changes, np.array([[0, 2 * FRAMES_BETWEEN]]))
            )
            views = outputs._layers._layers[KeyframeViewOutput]
            views.publish_graph(FIRST_NS, outputs.scale.unit)
            wait_until(lambda: model.snapshot().chunks[2].scale == 2.0, "the loop has moved the last keyframe")
            wait_until(lambda: model.snapshot().metres_per_unit == UNIT, "the scale has come")
            assert model.remove_points(left_half(0), inside=True) > 0

            arrays = np.load(actions.export("npz", tmp_path))
            assert arrays["keyframe_ids"].tolist() == [0, 1, 2]
            assert arrays["metres_per_unit"].shape == () and arrays["metres_per_unit"] == UNIT
            assert arrays["loops"].tolist() == [[0, 2]]
            np.testing.assert_allclose(
                arrays["keyframe_poses"][1][:3, 3], UNIT * (T_map_world @ pose(1))[:3, 3], atol=1e-6
            )
            depth = arrays["depth_000002"]  # twice as far since the loop; a part of it was in the rectangle too
            np.testing.assert_allclose(depth[np.isfinite(depth)], 2 * UNIT * DEPTH, rtol=2e-3)
            assert np.isnan(arrays["depth_000000"][:, :31]).all() and np.isfinite(arrays["depth_000000"][:, 33:]).all()
            assert arrays["trajectory_poses"].shape == (3, 4, 4) and len(arrays["points"]) > 100

            said: list[FilmProgress] = []
            film = actions.film(FilmOptions("orbit", 160, 160, 5.0, 1.0), tmp_path / "map.mp4", said.append)
            with av.open(str(film)) as video:
                pictures = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
            assert len(pictures) == 5 == said[-1].done == said[-1].total
            assert pictures[0].shape == (160, 160, 3) and (pictures[0][..., 0] > 100).mean() > 0.01
            outputs.destroy()
    finally:
        viewer.close()
        viewer.destroy_node()


def stamped(number: int):

    T = T_map_world @ pose(number)
    T[:3, 3] *= UNIT
    return PoseStamped(header=header(FIRST_NS + number, "map"), pose=pose_message(T))
