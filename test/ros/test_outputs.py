"""Axes and direction of what is published, from updates whose geometry is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TransformStamped
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.node import Node
from ros_harness import FIRST_NS, FRAME, Camera, spinning, wait_until
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage

from slam3r_ros.engine.geometry import rigid, rotation_from_quat_xyzw
from slam3r_ros.engine.types import MapPoints, MapUpdate, PoseEstimate, PreparedFrame, State
from slam3r_ros.ros.notices import Notices
from slam3r_ros.ros.outputs import Outputs
from slam3r_ros.ros.settings import NodeSettings

MOUNT_X = 0.25


def update(T_world_camera: NDArray[np.float64], points: MapPoints | None = None, stamp_ns: int = FIRST_NS) -> MapUpdate:
    """An update with this pose and these new points."""
    empty = np.zeros((0, 3), np.float32)
    added = points or MapPoints(empty, empty.astype(np.uint8), np.zeros(0, np.float32))
    pointmap, confidence = np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.float32)
    return MapUpdate(
        index=0,
        stamp_ns=stamp_ns,
        state=State.TRACKING,
        pose=PoseEstimate(T_world_camera, 100.0, 1.0, 0.1, 1.0, 0.0),
        added=added,
        points_world=pointmap,
        confidence=confidence,
        points_camera=pointmap,
        confidence_camera=confidence,
        image=np.zeros((4, 4, 3), np.uint8),
        new_keyframes=(),
        registration=None,
    )


FRAME_VALUE = PreparedFrame(FIRST_NS, np.zeros((4, 4, 3), np.uint8), None, (8, 8))


def moved(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> NDArray[np.float64]:
    """A camera that moved without turning, in its own first axes: x right, y down, z forward."""
    return rigid(np.eye(3), [x, y, z])


def matrix(transform: TransformStamped) -> NDArray[np.float64]:
    t, q = transform.transform.translation, transform.transform.rotation
    return rigid(rotation_from_quat_xyzw([q.x, q.y, q.z, q.w]), [t.x, t.y, t.z])


class Scene:
    """Outputs under test and a listener to them."""

    def __init__(self, context: Context) -> None:
        self.node = Node("slam3r", context=context)
        self.camera = Camera(Node("camera", context=context))
        self.poses: list[PoseStamped] = self.camera.listen(PoseStamped, "/slam3r/pose")
        self.clouds: list[PointCloud2] = self.camera.listen(PointCloud2, "/slam3r/cloud")
        self._tf: list[TFMessage] = self.camera.listen(TFMessage, "/tf")
        self.notices = Notices(self.node.get_logger(), lambda: 0)

    def outputs(self, **settings: object) -> Outputs:
        """Outputs with these settings, connected."""
        outputs = Outputs(self.node, NodeSettings.from_values(settings), self.notices)
        wait_until(lambda: outputs._pose.get_subscription_count() > 0, "the listener hears poses")
        wait_until(lambda: outputs._cloud.get_subscription_count() > 0, "the listener hears clouds")
        if outputs._tf is not None:
            own = 1  # the outputs' own watch of parents
            pub = outputs._tf._broadcaster.pub_tf
            wait_until(lambda: pub.get_subscription_count() > own, "the listener hears TF")
        return outputs

    @property
    def transforms(self) -> list[TransformStamped]:
        return [transform for message in self._tf for transform in message.transforms]


@pytest.fixture
def scene(context: Context) -> Iterator[Scene]:
    scene = Scene(context)
    with spinning(context, scene.node, scene.camera.node):
        yield scene
    scene.node.destroy_node()
    scene.camera.node.destroy_node()


@pytest.mark.parametrize(
    ("motion", "expected"),
    [
        (moved(z=2.0), (2.0, 0.0, 0.0)),  # forward is x
        (moved(x=2.0), (0.0, -2.0, 0.0)),  # right is -y
        (moved(y=2.0), (0.0, 0.0, -2.0)),  # down is -z
    ],
    ids=["forward", "right", "down"],
)
def test_positions_have_the_axes_of_ros(
    scene: Scene, motion: NDArray[np.float64], expected: tuple[float, float, float]
) -> None:
    scene.outputs().publish(update(motion), FRAME_VALUE, FRAME)
    wait_until(lambda: len(scene.poses) == 1 and len(scene.transforms) == 1, "a pose and a transform")
    position = scene.poses[0].pose.position
    assert (position.x, position.y, position.z) == pytest.approx(expected)
    assert matrix(scene.transforms[0])[:3, 3] == pytest.approx(expected)


def test_the_first_camera_looks_along_x_with_its_optical_axes(scene: Scene) -> None:
    scene.outputs().publish(update(moved()), FRAME_VALUE, FRAME)
    wait_until(lambda: len(scene.transforms) == 1, "a transform")
    transform = scene.transforms[0]
    assert (transform.header.frame_id, transform.child_frame_id) == ("map", FRAME)
    rotation = matrix(transform)[:3, :3]
    assert rotation @ [0, 0, 1] == pytest.approx([1, 0, 0])  # forward in the camera, forward on the map
    assert rotation @ [1, 0, 0] == pytest.approx([0, -1, 0])  # right
    assert rotation @ [0, 1, 0] == pytest.approx([0, 0, -1])  # down


def test_points_have_the_axes_of_ros_their_colour_and_confidence(scene: Scene) -> None:
    points = MapPoints(
        np.array([[1, 2, 3], [-4, 5, 6]], np.float32),
        np.array([[255, 0, 1], [2, 128, 3]], np.uint8),
        np.array([7.5, 8.5], np.float32),
    )
    scene.outputs().publish(update(moved(), points), FRAME_VALUE, FRAME)
    wait_until(lambda: len(scene.clouds) == 1, "a cloud")
    cloud = scene.clouds[0]
    rows = np.frombuffer(cloud.data, np.dtype([("xyz", "<f4", 3), ("rgb", "<u4"), ("confidence", "<f4")]))
    assert cloud.point_step == rows.dtype.itemsize
    assert rows["xyz"].tolist() == [[3, -1, -2], [6, 4, -5]]
    assert rows["rgb"].tolist() == [0xFF0001, 0x028003]
    assert rows["confidence"].tolist() == [7.5, 8.5]


def test_tf_of_a_base_frame_goes_through_its_mount(scene: Scene) -> None:
    outputs = scene.outputs(base_frame="base_link")
    outputs.publish(update(moved()), FRAME_VALUE, FRAME)
    wait_until(lambda: "no transform" in scene.notices.newest.text, "a message that the mount is not known yet")
    scene.camera.publish_mount("base_link", FRAME, MOUNT_X)

    def publish_and_look() -> bool:
        outputs.publish(update(moved(z=1.0)), FRAME_VALUE, FRAME)
        return len(scene.transforms) > 0

    wait_until(publish_and_look, "a transform")
    transform = scene.transforms[0]
    assert (transform.header.frame_id, transform.child_frame_id) == ("map", "base_link")
    T_base_camera = rigid(np.eye(3), [MOUNT_X, 0, 0])
    T_map_camera = matrix(transform) @ T_base_camera
    assert T_map_camera[:3, 3] == pytest.approx([1, 0, 0])
    # the mount lies along the camera's x, to its right: the base is to the left of the camera
    assert matrix(transform)[:3, 3] == pytest.approx([1, MOUNT_X, 0])


def test_inverted_tf_makes_the_map_the_child(scene: Scene) -> None:
    scene.outputs(invert_tf=True).publish(update(moved(z=2.0)), FRAME_VALUE, FRAME)
    wait_until(lambda: len(scene.transforms) == 1, "a transform")
    transform = scene.transforms[0]
    assert (transform.header.frame_id, transform.child_frame_id) == (FRAME, "map")
    assert matrix(transform)[:3, 3] == pytest.approx([0, 0, -2])  # the map's origin is behind the camera


def test_no_frame_gets_a_second_parent(scene: Scene) -> None:
    scene.camera.publish_mount("base_link", FRAME, MOUNT_X)
    outputs = scene.outputs()
    assert outputs._tf is not None
    watch = outputs._tf._parents
    wait_until(lambda: watch.other_parent(FRAME, "map") == "base_link", "the mount is known")
    outputs.publish(update(moved()), FRAME_VALUE, FRAME)
    wait_until(lambda: len(scene.poses) == 1, "a pose")
    assert not scene.transforms
    assert f"'{FRAME}' has the parent 'base_link' already; set base_frame: base_link" in scene.notices.newest.text


def test_tf_can_be_turned_off(scene: Scene) -> None:
    scene.outputs(tf_mode="none").publish(update(moved()), FRAME_VALUE, FRAME)
    wait_until(lambda: len(scene.poses) == 1, "a pose")
    assert scene.node.count_publishers("/tf") == 0
