"""Continuous odometry, on its topic and on TF, beside the pose on the map that corrections move."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from geometry_msgs.msg import Pose, TransformStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from outputs_harness import Scene, image_header, matrix, moved, pose_update
from ros_harness import FIRST_NS, FRAME, wait_until
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from slam3r_ros.geometry.dead_reckoning import DeadReckoning
from slam3r_ros.geometry.se3 import rigid
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.types import PoseUpdate

STEP_NS = 100_000_000
CHAIN = {"tf_mode": "map_to_odom_to_base"}


def frame(number: int, z: float, reckoned: float, *, changes: int = 0, interruptions: int = 0) -> PoseUpdate:
    """A frame that is at z on the map and has gone so far by the tracks."""
    update = pose_update(moved(z=z), FIRST_NS + number * STEP_NS, index=number)
    reckoning = DeadReckoning(moved(z=reckoned), interruptions)
    return replace(update, pose=replace(update.pose, reckoning=reckoning), world_changes=changes)


def loop(z: float) -> MapCorrection:
    """A closed loop that has moved everything ahead."""
    change = Sim3(np.ones(1), np.eye(3)[None], np.array([[0, 0, z]]))
    return MapCorrection(np.array([0]), change, np.array([[0, 1]]))


def along(poses: list[Pose]) -> list[float]:
    return [pose.position.x for pose in poses]


def of(scene: Scene, child: str) -> list[TransformStamped]:
    return [each for each in scene.transforms if each.child_frame_id == child]


def ahead(transforms: list[TransformStamped]) -> list[float]:
    return [float(matrix(each)[0, 3]) for each in transforms]


def test_a_closed_loop_moves_map_to_odom_in_steps_and_odom_to_camera_not_at_all(scene: Scene) -> None:
    visual: list[Odometry] = scene.camera.listen(Odometry, "/slam3r/visual_odometry")
    corrected: list[Odometry] = scene.camera.listen(Odometry, "/slam3r/odometry")
    outputs = scene.outputs(correction_speed=0.5, **CHAIN)
    both = (outputs._odometry._visual, outputs._odometry._publisher)
    wait_until(lambda: all(each.get_subscription_count() for each in both), "listeners to odometry")
    # The pose of frame 2 has seen the loop before its event comes.
    events = [frame(0, 0.1, 0.1), frame(1, 0.2, 0.2), frame(2, 0.42, 0.3, changes=1), loop(0.12)]
    events += [frame(number, 0.22 + 0.1 * (number), 0.1 * (number + 1), changes=1) for number in range(3, 6)]
    for event in events:
        outputs.publish(event)
    wait_until(lambda: len(of(scene, FRAME)) == 6 and len(visual) == 6 and len(corrected) == 6, "six of each")
    assert {each.header.frame_id for each in of(scene, FRAME)} == {"odom"}
    assert {each.header.frame_id for each in of(scene, "odom")} == {"map"}
    stamps = [each.header.stamp for each in of(scene, FRAME)]
    assert stamps == [each.header.stamp for each in of(scene, "odom")] == [each.header.stamp for each in visual]
    assert ahead(of(scene, FRAME)) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert ahead(of(scene, "odom")) == pytest.approx([0, 0, 0.05, 0.1, 0.12, 0.12])
    assert along([each.pose.pose for each in visual]) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    expected = [0.1, 0.2, 0.35, 0.5, 0.62, 0.72]
    assert along([each.pose.pose for each in corrected]) == pytest.approx(expected)
    assert along([each.pose for each in scene.poses]) == pytest.approx(expected)
    assert {(each.header.frame_id, each.child_frame_id) for each in visual} == {("odom", FRAME)}
    # A loop that is closed is no speed.
    for heard in (visual, corrected):
        assert [each.twist.twist.linear.z for each in heard] == pytest.approx([0, 1, 1, 1, 1, 1])


def test_the_path_is_corrected_at_once(scene: Scene) -> None:
    outputs = scene.outputs(correction_speed=0.001)
    for event in (frame(0, 0.1, 0.1), frame(1, 1.2, 0.2, changes=1)):
        outputs.publish(event)
    wait_until(lambda: len(scene.poses) == 2, "poses")
    assert along([each.pose for each in scene.poses]) == pytest.approx([0.1, 0.2001])
    assert along([each.pose for each in outputs._poses.items()]) == pytest.approx([0.1, 1.2])


def test_relocalization_jumps_on_the_map_and_is_no_motion(scene: Scene) -> None:
    visual: list[Odometry] = scene.camera.listen(Odometry, "/slam3r/visual_odometry")
    outputs = scene.outputs(**CHAIN)
    wait_until(lambda: outputs._odometry._visual.get_subscription_count() > 0, "a listener")
    for event in (frame(0, 0.1, 0.1), frame(1, 0.2, 0.2), frame(2, 5.0, 0.2, interruptions=1)):
        outputs.publish(event)
    outputs.publish(frame(3, 5.1, 0.3, interruptions=1))
    wait_until(lambda: len(visual) == 4 and len(of(scene, "odom")) == 4, "four of each")
    assert along([each.pose.pose for each in visual]) == pytest.approx([0.1, 0.2, 0.2, 0.3])
    assert ahead(of(scene, "odom")) == pytest.approx([0, 0, 4.8, 4.8])
    known = [each.twist.covariance[0] < 1e6 for each in visual]
    assert known == [False, True, False, True]


def test_the_covariance_of_a_sum_grows_with_the_way(scene: Scene) -> None:
    visual: list[Odometry] = scene.camera.listen(Odometry, "/slam3r/visual_odometry")
    outputs = scene.outputs(**CHAIN)
    wait_until(lambda: outputs._odometry._visual.get_subscription_count() > 0, "a listener")
    for number in range(3):
        outputs.publish(frame(number, 2.0 * number, 2.0 * number))
    wait_until(lambda: len(visual) == 3, "odometry")
    first, second, third = (np.array(each.pose.covariance).reshape(6, 6) for each in visual)
    np.testing.assert_allclose(second[3:, 3:], 2 * first[3:, 3:])
    np.testing.assert_allclose(third[3:, 3:], 3 * first[3:, 3:])
    # Of two metres ahead an error of yaw (about z) makes one to the left (along y).
    assert second[1, 1] == pytest.approx(2 * first[1, 1] + 4 * first[5, 5] + 4 * first[1, 5])
    assert np.linalg.eigvalsh(third).min() > 0


def test_with_a_base_frame_odometry_is_the_bases(scene: Scene) -> None:
    scene.camera.publish_mount("base_link", FRAME, 0.25)
    outputs, frames = scene.outputs(base_frame="base_link", **CHAIN), count()

    def publish_and_look() -> bool:
        number = next(frames)
        outputs.publish(frame(number, 1.0 + 0.1 * number, 0.1 * number))
        return len(of(scene, "base_link")) > 1

    wait_until(publish_and_look, "TF of the base")
    to_base, to_odom = of(scene, "base_link")[-1], of(scene, "odom")[-1]
    assert (to_odom.header.frame_id, to_base.header.frame_id) == ("map", "odom")
    number = (to_base.header.stamp.sec * 10**9 + to_base.header.stamp.nanosec - FIRST_NS) // STEP_NS
    np.testing.assert_allclose(matrix(to_base)[:3, 3], [1.0 + 0.1 * number, 0.25, 0.0], atol=1e-9)
    np.testing.assert_allclose(matrix(to_odom), np.eye(4), atol=1e-9)


def foreign(scene: Scene, outputs: Outputs, parent: str, child: str) -> None:
    """Another node's transform between two frames, which is there when this returns."""
    publisher = scene.camera.node.create_publisher(TFMessage, "/tf", 10)
    wait_until(lambda: publisher.get_subscription_count() >= 2, "the node hears the other")
    transform = TransformStamped(header=Header(frame_id=parent), child_frame_id=child)
    transform.transform.rotation.w = 1.0
    publisher.publish(TFMessage(transforms=[transform]))
    assert outputs._tf is not None
    watch = outputs._tf._broadcaster
    wait_until(lambda: parent in watch._parents.get(child, ()), "the other's transform")


@pytest.mark.parametrize(
    ("parent", "child", "warning"),
    [
        ("odom", FRAME, f"another node publishes the transform from 'odom' to '{FRAME}'; set tf_mode: map_to_odom if"),
        ("base_link", FRAME, f"'{FRAME}' has the parent 'base_link' already; set tf_mode: map_to_odom if that is"),
        ("earth", "odom", "'odom' has the parent 'earth' already; set another odom_frame"),
    ],
    ids=["the robot's odometry", "a mounted camera", "another map"],
)
def test_where_the_robot_has_the_frames_already_none_of_both_is_published(
    scene: Scene, parent: str, child: str, warning: str
) -> None:
    outputs = scene.outputs(**CHAIN)
    foreign(scene, outputs, parent, child)
    outputs.publish(frame(0, 0.1, 0.1))
    wait_until(lambda: len(scene.poses) == 1, "a pose")
    assert [(each.header.frame_id, each.child_frame_id) for each in scene.transforms] == [(parent, child)]
    assert warning in scene.log.newest.text


def test_beside_the_robots_odometry_it_has_a_frame_of_its_own(scene: Scene) -> None:
    visual: list[Odometry] = scene.camera.listen(Odometry, "/slam3r/visual_odometry")
    outputs = scene.outputs(tf_mode="map_to_odom", base_frame=FRAME, scale=2.0)
    wait_until(lambda: outputs._odometry._visual.get_subscription_count() > 0, "a listener")
    outputs.publish(frame(0, 0.1, 0.1))
    wait_until(lambda: len(visual) == 1, "odometry")
    assert visual[0].header.frame_id == "visual_odom"
    assert along([visual[0].pose.pose]) == pytest.approx([0.2])  # metres


def test_a_camera_named_as_the_frame_of_odometry_gets_no_transform_to_itself(scene: Scene) -> None:
    outputs = scene.outputs(**CHAIN)
    outputs.publish(replace(frame(0, 0.1, 0.1), header=image_header(frame_id="odom")))
    wait_until(lambda: len(scene.poses) == 1, "a pose")
    assert not scene.transforms
    assert "the images' frame_id is 'odom', and odom_frame too; set odom_frame to another" in scene.log.newest.text


def test_a_map_that_is_turned_upright_is_turned_at_once(scene: Scene) -> None:
    outputs = scene.outputs(correction_speed=0.01, correction_turn=0.01)
    outputs.publish(frame(0, 0.0, 0.0))
    upside_down: NDArray[np.float64] = rigid(np.diag([-1.0, -1.0, 1.0]), [0, 0, 0])
    outputs.publish(MapCorrection(np.array([0]), Sim3.from_pose(upside_down[None])))
    turned = frame(1, 0.1, 0.1, changes=1)
    turned = replace(turned, pose=replace(turned.pose, T_world_camera=upside_down @ turned.pose.T_world_camera))
    outputs.publish(turned)
    wait_until(lambda: len(scene.poses) == 2, "poses")
    q = scene.poses[1].pose.orientation
    expected = outputs._poses.items()[1].pose.orientation
    assert (q.x, q.y, q.z, q.w) == (expected.x, expected.y, expected.z, expected.w)
