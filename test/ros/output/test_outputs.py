"""Axes and direction of what is published, from updates whose geometry is known."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from outputs_harness import Scene, estimate, image_header, keyframe_record, matrix, moved, pose_update, update
from ros_harness import FIRST_NS, FRAME, wait_until
from slam3r_ros.msg import Keyframe
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from slam3r_ros.geometry.se3 import rigid
from slam3r_ros.types import MapPoints

MOUNT_X = 0.25


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
    scene.outputs().publish(update(motion))
    wait_until(lambda: len(scene.poses) == 1 and len(scene.transforms) == 1, "a pose and a transform")
    position = scene.poses[0].pose.position
    assert (position.x, position.y, position.z) == pytest.approx(expected)
    assert matrix(scene.transforms[0])[:3, 3] == pytest.approx(expected)


def test_the_first_camera_looks_along_x_with_its_optical_axes(scene: Scene) -> None:
    scene.outputs().publish(update(moved()))
    wait_until(lambda: len(scene.transforms) == 1, "a transform")
    transform = scene.transforms[0]
    assert (transform.header.frame_id, transform.child_frame_id) == ("map", FRAME)
    rotation = matrix(transform)[:3, :3]
    assert rotation @ [0, 0, 1] == pytest.approx([1, 0, 0])  # forward in the camera, forward on the map
    assert rotation @ [1, 0, 0] == pytest.approx([0, -1, 0])  # right
    assert rotation @ [0, 1, 0] == pytest.approx([0, 0, -1])  # down


def test_a_pose_that_was_told_early_is_told_once_and_the_rest_follows(scene: Scene) -> None:
    outputs = scene.outputs(base_frame="")
    odometry: list[Odometry] = scene.camera.listen(Odometry, "/slam3r/odometry")
    wait_until(lambda: outputs._odometry.is_wanted, "the listener hears odometry")
    points = MapPoints(np.ones((1, 3), np.float32), np.zeros((1, 3), np.uint8), np.ones(1, np.float32))
    told = [
        outputs.publish(update(moved(z=1.0), stamp_ns=FIRST_NS, index=3)),
        outputs.publish(pose_update(moved(z=2.0), FIRST_NS + 1, index=4, is_keyframe=True)),
        outputs.publish(pose_update(moved(z=3.0), FIRST_NS + 2, index=5)),
        outputs.publish(update(moved(z=2.1), points, FIRST_NS + 1, index=4)),
    ]
    assert told == [True, True, True, False]
    wait_until(lambda: len(scene.poses) == 3 and len(scene.transforms) == 3 and len(odometry) == 3, "three of each")
    wait_until(lambda: len(scene.clouds) == 1, "the points of the second")
    for given in (scene.poses, odometry):
        stamps = [message.header.stamp.nanosec for message in given]
        assert np.diff(stamps).tolist() == [1, 1]
    assert [message.pose.position.x for message in scene.poses] == pytest.approx([1, 2, 3])
    assert scene.clouds[0].header.stamp == scene.poses[1].header.stamp


def test_a_pose_is_told_once_though_keyframes_are_refined_while_the_next_ones_are_tracked(scene: Scene) -> None:
    outputs = scene.outputs()
    events = [
        update(moved(z=0.5), stamp_ns=FIRST_NS, index=0),  # the tracks did not know this one
        pose_update(moved(z=1.0), FIRST_NS + 1, index=1, is_keyframe=True),
        pose_update(moved(z=2.0), FIRST_NS + 2, index=2, is_keyframe=True),
        update(moved(z=1.1), stamp_ns=FIRST_NS + 1, index=1),
        pose_update(moved(z=3.0), FIRST_NS + 3, index=3),
        update(moved(z=2.1), stamp_ns=FIRST_NS + 2, index=2),
        update(moved(z=4.0), stamp_ns=FIRST_NS + 4, index=4),
        update(moved(z=5.0), stamp_ns=FIRST_NS + 5, index=5),
    ]
    told = [outputs.publish(event) for event in events]
    assert told == [True, True, True, False, True, False, True, True]
    wait_until(lambda: len(scene.poses) == 6 and len(scene.transforms) == 6, "a pose and a transform of each frame")
    for headers in ([each.header for each in scene.poses], [each.header for each in scene.transforms]):
        assert np.diff([header.stamp.nanosec for header in headers]).tolist() == [1] * 5
    assert [message.pose.position.x for message in scene.poses] == pytest.approx([0.5, 1, 2, 3, 4, 5])
    outputs.destroy()


def test_points_have_the_axes_of_ros_their_colour_and_confidence(scene: Scene) -> None:
    points = MapPoints(
        np.array([[1, 2, 3], [-4, 5, 6]], np.float32),
        np.array([[255, 0, 1], [2, 128, 3]], np.uint8),
        np.array([7.5, 8.5], np.float32),
    )
    scene.outputs().publish(update(moved(), points))
    wait_until(lambda: len(scene.clouds) == 1, "a cloud")
    cloud = scene.clouds[0]
    rows = np.frombuffer(cloud.data, np.dtype([("xyz", "<f4", 3), ("rgb", "<u4"), ("confidence", "<f4")]))
    assert cloud.point_step == rows.dtype.itemsize
    assert cloud.is_dense
    assert rows["xyz"].tolist() == [[3, -1, -2], [6, 4, -5]]
    assert rows["rgb"].tolist() == [0xFF0001, 0x028003]
    assert rows["confidence"].tolist() == [7.5, 8.5]


def test_a_transform_that_is_none_is_ignored(scene: Scene) -> None:
    outputs = scene.outputs(base_frame="base_link")
    broken = TransformStamped(header=Header(frame_id="base_link"), child_frame_id=FRAME)
    broken.transform.rotation.w = 0.0
    scene.camera.static_tf.publish(TFMessage(transforms=[broken]))
    scene.camera.publish_mount("base_link", FRAME, 0.5)
    frames = count()

    def is_known() -> bool:
        outputs.publish(update(moved(), index=next(frames)))
        return len(scene.transforms) > 0

    wait_until(is_known, "the mount")
    assert scene.transforms[-1].child_frame_id == "base_link"
    outputs.destroy()


def test_a_keyframe_is_told_however_long_the_camera_rests_before_it_enters(scene: Scene) -> None:
    outputs = scene.outputs()
    told: list[Keyframe] = scene.camera.listen(Keyframe, "/slam3r/keyframe")
    wait_until(lambda: outputs._keyframe.get_subscription_count() > 0, "the listener hears keyframes")
    outputs.publish(update(moved(), index=7))
    for index in range(8, 8 + 300):
        outputs.publish(pose_update(moved(), FIRST_NS + index, index=index))
    record = keyframe_record(0, estimate(moved()), index=7)
    outputs.publish(update(moved(), index=308, new_keyframes=(record,)))
    wait_until(lambda: len(told) == 1, "the keyframe")
    assert (told[0].frame_index, told[0].camera_frame) == (7, FRAME)
    outputs.destroy()


def test_tf_of_a_base_frame_goes_through_its_mount(scene: Scene) -> None:
    outputs, frames = scene.outputs(base_frame="base_link"), count()
    outputs.publish(update(moved(), index=next(frames)))
    wait_until(lambda: "no transform" in scene.log.newest.text, "a message that the mount is not known yet")
    scene.camera.publish_mount("base_link", FRAME, MOUNT_X)

    def publish_and_look() -> bool:
        outputs.publish(update(moved(z=1.0), index=next(frames)))
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
    scene.outputs(invert_tf=True).publish(update(moved(z=2.0)))
    wait_until(lambda: len(scene.transforms) == 1, "a transform")
    transform = scene.transforms[0]
    assert (transform.header.frame_id, transform.child_frame_id) == (FRAME, "map")
    assert matrix(transform)[:3, 3] == pytest.approx([0, 0, -2])  # the map's origin is behind the camera


def test_no_frame_gets_a_second_parent(scene: Scene) -> None:
    scene.camera.publish_mount("base_link", FRAME, MOUNT_X)
    outputs = scene.outputs()
    assert outputs._tf is not None
    watch = outputs._tf._broadcaster
    wait_until(lambda: watch.other_parent(FRAME, "map") == "base_link", "the mount is known")
    outputs.publish(update(moved()))
    wait_until(lambda: len(scene.poses) == 1, "a pose")
    assert not scene.transforms
    assert f"'{FRAME}' has the parent 'base_link' already; set base_frame: base_link" in scene.log.newest.text


def test_a_camera_named_as_the_map_gets_no_transform_to_itself(scene: Scene) -> None:
    odometry = scene.camera.listen(Odometry, "/slam3r/odometry")
    outputs = scene.outputs(map_frame=FRAME)
    wait_until(lambda: outputs._odometry.is_wanted, "the listener hears odometry")
    outputs.publish(update(moved()))
    wait_until(lambda: len(scene.poses) == 1, "a pose")
    assert not scene.transforms and not odometry
    assert f"the images' frame_id is '{FRAME}', and map_frame too; set map_frame to another" in scene.log.newest.text


def test_a_camera_whose_frame_changes_gives_the_map_no_second_parent(scene: Scene) -> None:
    outputs = scene.outputs(invert_tf=True)
    assert outputs._tf is not None
    outputs.publish(update(moved()))
    watch = outputs._tf._broadcaster
    wait_until(lambda: watch.other_parent("map", "other") == FRAME, "the first parent is known")
    outputs.publish(update(moved(), index=1, header=image_header(FIRST_NS + 1, frame_id="other")))
    wait_until(lambda: len(scene.poses) == 2, "both poses")
    assert [each.header.frame_id for each in scene.transforms] == [FRAME]
    assert f"'map' has the parent '{FRAME}' already; set invert_tf: false" in scene.log.newest.text


@pytest.mark.parametrize("again_ns", [0, 1])
def test_another_node_that_publishes_the_same_transform_is_told_of_once(scene: Scene, again_ns: int) -> None:
    """With another stamp, or with the same, as a second node on the same images has."""
    outputs = scene.outputs()
    assert outputs._tf is not None
    outputs.publish(update(moved()))
    outputs.publish(update(moved(), stamp_ns=FIRST_NS + 5, index=1))
    wait_until(lambda: len(scene.transforms) == 2, "the transforms")
    wait_until(lambda: not outputs._tf._broadcaster._sent, "its own transforms have come back")
    assert scene.log.newest.text == ""
    message = scene.transforms[0]
    message.header.stamp.nanosec += again_ns
    other = scene.camera.node.create_publisher(TFMessage, "/tf", 10)
    wait_until(lambda: other.get_subscription_count() >= 2, "the node hears the other")
    other.publish(TFMessage(transforms=[message]))
    wait_until(lambda: "another node publishes the transform from 'map'" in scene.log.newest.text, "a warning")


def test_names_with_a_slash_are_the_same_frames(scene: Scene) -> None:
    scene.camera.publish_mount("/base_link", f"/{FRAME}", MOUNT_X)
    outputs = scene.outputs()
    assert outputs._tf is not None
    watch = outputs._tf._broadcaster
    wait_until(lambda: watch.other_parent(FRAME, "map") == "base_link", "the mount is known")


def test_tf_can_be_turned_off(scene: Scene) -> None:
    scene.outputs(tf_mode="none").publish(update(moved()))
    wait_until(lambda: len(scene.poses) == 1, "a pose")
    assert scene.node.count_publishers("/tf") == 0
