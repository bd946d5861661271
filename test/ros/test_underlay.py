"""What tf2_ros and sensor_msgs_py must do, those of a distribution and those of environment/underlay alike."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from outputs_harness import matrix
from rclpy.context import Context
from rclpy.node import Node
from rclpy.time import Time
from ros_harness import Camera, spinning, wait_until
from sensor_msgs.msg import PointCloud2, PointField
from sensor_msgs_py.point_cloud2 import create_cloud
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, TransformBroadcaster, TransformException, TransformListener

from slam3r_ros.geometry.se3 import quat_xyzw_from_rotation, rigid, rotation_from_quat_xyzw

_QUARTER_ABOUT_Z = [0.0, 0.0, 0.5**0.5, 0.5**0.5]
_HALF_ABOUT_X = [1.0, 0.0, 0.0, 0.0]
_NEWEST = Time()


def transform(parent: str, child: str, t: list[float], quat_xyzw: list[float]) -> TransformStamped:
    message = TransformStamped(header=Header(frame_id=parent), child_frame_id=child)
    translation, rotation = message.transform.translation, message.transform.rotation
    translation.x, translation.y, translation.z = t
    rotation.x, rotation.y, rotation.z, rotation.w = quat_xyzw
    return message


def robot() -> Buffer:
    """Base -> arm -> camera and base -> laser."""
    buffer = Buffer()
    buffer.set_transform_static(transform("base", "arm", [1.0, 0.0, 0.0], _QUARTER_ABOUT_Z), "test")
    buffer.set_transform_static(transform("arm", "camera", [0.0, 2.0, 0.0], _HALF_ABOUT_X), "test")
    buffer.set_transform_static(transform("base", "laser", [0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 1.0]), "test")
    return buffer


def test_a_transform_goes_up_to_the_common_ancestor_and_down_again() -> None:
    found = robot().lookup_transform("laser", "camera", _NEWEST)
    base_arm = rigid(rotation_from_quat_xyzw(_QUARTER_ABOUT_Z), [1, 0, 0])
    arm_camera = rigid(rotation_from_quat_xyzw(_HALF_ABOUT_X), [0, 2, 0])
    expected = rigid(np.eye(3), [0, 0, -0.5]) @ base_arm @ arm_camera
    np.testing.assert_allclose(matrix(found), expected, atol=1e-12)
    np.testing.assert_allclose(expected[:3, 3], [-1, 0, -0.5], atol=1e-12)
    assert (found.header.frame_id, found.child_frame_id) == ("laser", "camera")
    back = robot().lookup_transform("camera", "laser", _NEWEST)
    np.testing.assert_allclose(matrix(back), np.linalg.inv(expected), atol=1e-12)


def test_a_frame_seen_from_itself_is_where_it_is() -> None:
    np.testing.assert_allclose(matrix(robot().lookup_transform("arm", "arm", _NEWEST)), np.eye(4), atol=1e-12)


@pytest.mark.parametrize(("target", "source"), [("base", "unknown"), ("unknown", "base"), ("base", "other_child")])
def test_frames_that_are_not_connected_raise(target: str, source: str) -> None:
    buffer = robot()
    buffer.set_transform_static(transform("other", "other_child", [0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]), "test")
    with pytest.raises(TransformException):
        buffer.lookup_transform(target, source, _NEWEST)


@pytest.mark.parametrize(
    ("t", "quat_xyzw"),
    [
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]),
        ([float("nan"), 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]),
    ],
)
def test_a_transform_that_is_none_is_ignored(t: list[float], quat_xyzw: list[float]) -> None:
    buffer = Buffer()
    buffer.set_transform(transform("base", "arm", t, quat_xyzw), "test")
    with pytest.raises(TransformException):
        buffer.lookup_transform("base", "arm", _NEWEST)


def test_clearing_leaves_static_transforms() -> None:
    buffer = robot()
    buffer.set_transform(transform("map", "base", [3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]), "test")
    assert buffer.lookup_transform("map", "base", _NEWEST).transform.translation.x == 3.0
    buffer.clear()
    with pytest.raises(TransformException):
        buffer.lookup_transform("map", "base", _NEWEST)
    assert buffer.lookup_transform("base", "arm", _NEWEST).transform.translation.x == 1.0


def test_what_is_broadcast_and_what_is_static_reaches_a_listener(context: Context) -> None:
    node, camera = Node("robot", context=context), Camera(Node("camera", context=context))
    messages: list[TFMessage] = camera.listen(TFMessage, "/tf")
    buffer = Buffer()
    listener = TransformListener(buffer, node)
    broadcaster = TransformBroadcaster(node)
    quat_xyzw = quat_xyzw_from_rotation(rotation_from_quat_xyzw(_QUARTER_ABOUT_Z)).tolist()
    try:
        with spinning(context, node, camera.node):
            wait_until(lambda: broadcaster.pub_tf.get_subscription_count() == 2, "both listen to /tf")
            camera.publish_mount("base_link", "camera", 0.25)
            broadcaster.sendTransform(transform("map", "base_link", [1.0, 2.0, 3.0], quat_xyzw))
            wait_until(lambda: buffer_knows(buffer, "map", "camera"), "the listener hears /tf and /tf_static")
            wait_until(lambda: len(messages) == 1, "the message on /tf")
        found = matrix(buffer.lookup_transform("map", "camera", _NEWEST))
        np.testing.assert_allclose(found[:3, 3], [1.0, 2.25, 3.0], atol=1e-12)
        assert [each.child_frame_id for each in messages[0].transforms] == ["base_link"]
        listener.unregister()
        wait_until(lambda: broadcaster.pub_tf.get_subscription_count() == 1, "the listener is gone")
    finally:
        node.destroy_node()
        camera.node.destroy_node()


def buffer_knows(buffer: Buffer, target: str, source: str) -> bool:
    try:
        buffer.lookup_transform(target, source, _NEWEST)
    except TransformException:
        return False
    return True


def test_a_cloud_holds_the_bytes_of_its_array() -> None:
    points = np.array([(1.0, 2.0, 7), (3.0, 4.0, 8)], dtype=[("x", "<f4"), ("y", "<f4"), ("ring", "<u2")])
    fields = [
        PointField(name="x", offset=0, datatype=PointField.FLOAT32, count=1),
        PointField(name="y", offset=4, datatype=PointField.FLOAT32, count=1),
        PointField(name="ring", offset=8, datatype=PointField.UINT16, count=1),
    ]
    cloud: PointCloud2 = create_cloud(Header(frame_id="map"), fields, points)
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 2, 10, 20)
    assert cloud.header.frame_id == "map"
    assert not cloud.is_bigendian
    assert [field.name for field in cloud.fields] == ["x", "y", "ring"]
    assert bytes(cloud.data) == points.tobytes()
