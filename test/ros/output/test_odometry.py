"""Odometry: of what, where, how fast, and how sure."""

from __future__ import annotations

from itertools import count
from typing import Any

import cv2
import numpy as np
import pytest
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from outputs_harness import Scene, image_header, moved, update
from ros_harness import FIRST_NS, FRAME, wait_until

from slam3r_ros.geometry.se3 import rigid
from slam3r_ros.ros.output import pose_covariance as covariance_module
from slam3r_ros.ros.output.odometry import twist_between
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.types import MapUpdate, PoseEstimate, PoseUpdate, State

STEP_NS = 100_000_000
WALL = np.dstack([*np.meshgrid(np.linspace(-1, 1, 8), np.linspace(-1, 1, 8)), np.full((8, 8), 2.0)]).astype(np.float32)
"""(8, 8, 3) points that the first camera sees 2 units away."""


def tracked(
    number: int, T: NDArray[np.float64], error: float = 0.5, pose_only: bool = False, by_tracks: bool | None = None
) -> PoseUpdate | MapUpdate:
    """The update of a frame, which was registered unless it has a pose only; that is its tracks', by default."""
    stamp_ns = FIRST_NS + STEP_NS * number
    pose = PoseEstimate(T, 100.0, 0.9, error, 1.0, 0.0, pose_only if by_tracks is None else by_tracks)
    if pose_only:
        return PoseUpdate(number, image_header(stamp_ns), pose, is_keyframe=False)
    confidence = np.ones(WALL.shape[:2], np.float32)
    return update(T, stamp_ns=stamp_ns, index=number, pose=pose, points_world=WALL, confidence=confidence)


class Heard:
    """Outputs with a listener to their odometry."""

    def __init__(self, scene: Scene, **settings: object) -> None:
        self.messages: list[Odometry] = scene.camera.listen(Odometry, "/slam3r/odometry")
        self.outputs: Outputs = scene.outputs(**settings)
        wait_until(lambda: self.outputs._odometry.is_wanted, "the listener hears odometry")

    def of(self, *updates: PoseUpdate | MapUpdate) -> list[Odometry]:
        """The messages of these updates."""
        tracked = [isinstance(u, PoseUpdate) or u.state is State.TRACKING for u in updates]
        before, expected = len(self.messages), sum(tracked)
        for each in updates:
            self.outputs.publish(each)
        wait_until(lambda: len(self.messages) == before + expected, "odometry of every tracked frame")
        return self.messages[before:]


def speed(message: Odometry) -> list[float]:
    linear, angular = message.twist.twist.linear, message.twist.twist.angular
    return [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z]


def covariance(part: Any) -> NDArray[np.float64]:
    return np.array(part.covariance).reshape(6, 6)


def test_it_says_what_the_pose_and_tf_say(scene: Scene) -> None:
    (message,) = Heard(scene).of(tracked(0, moved(x=1.0, z=2.0)))
    wait_until(lambda: len(scene.poses) == 1 and len(scene.transforms) == 1, "pose and TF")
    assert message.header == scene.poses[0].header
    assert (message.header.frame_id, message.child_frame_id) == ("map", FRAME)
    assert message.child_frame_id == scene.transforms[0].child_frame_id
    assert message.pose.pose == scene.poses[0].pose


def test_the_twist_is_along_the_axes_of_the_camera(scene: Scene) -> None:
    first, second = Heard(scene).of(tracked(0, moved()), tracked(1, moved(x=0.1, z=0.3)))
    assert speed(first) == [0.0] * 6
    assert covariance(first.twist) == pytest.approx(TUNING.unknown_variance * np.eye(6))
    assert speed(second) == pytest.approx([1.0, 0.0, 3.0, 0.0, 0.0, 0.0])  # right and forward of the camera
    assert 0 < covariance(second.twist)[0, 0] < TUNING.unknown_variance


def test_a_turning_camera_has_the_angular_speed_of_its_own_axes() -> None:
    down = cv2.Rodrigues(np.array([0, 0.2, 0]))[0]  # around y, which points down: a turn to the right
    before = rigid(cv2.Rodrigues(np.array([0.7, -0.4, 1.1]))[0], [1, 2, 3])
    after = before @ rigid(down, [0, 0, 0])
    assert twist_between(before, after, 0.5) == pytest.approx([0, 0, 0, 0, 0.4, 0])
    ahead = after @ rigid(np.eye(3), [0, 0, 0.25])
    assert twist_between(before, ahead, 0.5) == pytest.approx([0, 0, 0.5, 0, 0.4, 0])


def test_no_speed_is_told_across_a_loss_a_gap_or_another_scale(scene: Scene) -> None:
    heard = Heard(scene)
    lost = update(moved(z=1.0), stamp_ns=FIRST_NS + STEP_NS, index=1, state=State.LOST)
    _, after_loss = heard.of(tracked(0, moved()), lost, tracked(2, moved(z=0.2)))
    after_gap, again = heard.of(tracked(13, moved(z=0.3)), tracked(14, moved(z=0.4)))
    heard.outputs.set_scale(2.0, _NoMap())
    after_scale, in_metres = heard.of(tracked(15, moved(z=0.5)), tracked(16, moved(z=0.6)))
    for message in (after_loss, after_gap, after_scale):
        assert speed(message) == [0.0] * 6
        assert covariance(message.twist)[0, 0] == TUNING.unknown_variance
    assert speed(again)[2] == pytest.approx(1.0)
    assert speed(in_metres)[2] == pytest.approx(2.0)


class _NoMap:
    """An engine without points."""

    def trajectory(self) -> list[Any]:
        return []

    def keyframes(self) -> list[Any]:
        return []

    def map_points(self) -> Any:
        return update(moved()).added


def test_the_covariance_follows_error_scale_and_the_frame_it_was_tracked_from(scene: Scene) -> None:
    heard = Heard(scene)
    good, bad, lost_by_l2w, between = (
        covariance(m.pose)
        for m in heard.of(
            tracked(0, moved(), error=0.5),
            tracked(1, moved(), error=2.0),
            tracked(2, moved(), error=0.5, by_tracks=True),
            tracked(3, moved(), error=0.5, pose_only=True),
        )
    )
    assert bad == pytest.approx(16 * good, rel=0.05, abs=1e-9)
    assert between == pytest.approx(good + bad)  # its own error, and that of the frame that is on the map
    assert lost_by_l2w == pytest.approx(good + bad)
    assert np.linalg.eigvalsh(good).min() > 0
    heard.outputs.set_scale(3.0, _NoMap())
    (scaled,) = heard.of(tracked(4, moved(), error=0.5))
    lengths = np.diag([3.0, 3, 3, 1, 1, 1])
    assert covariance(scaled.pose) == pytest.approx(lengths @ good @ lengths)
    # along the line of sight, which is the map's x, a flat wall tells more than across, which turning imitates
    assert good[0, 0] < good[1, 1]


@pytest.mark.parametrize("tf_mode", ["map_to_base", "none"])
def test_with_a_base_frame_it_is_the_bases(scene: Scene, tf_mode: str) -> None:
    scene.camera.publish_mount("base_link", FRAME, 0.25)
    heard, frames = Heard(scene, base_frame="base_link", tf_mode=tf_mode), count()

    def publish_and_look() -> bool:
        heard.outputs.publish(tracked(next(frames), moved(z=1.0)))
        return len(heard.messages) > 0

    wait_until(publish_and_look, "odometry")
    message = heard.messages[0]
    assert (message.header.frame_id, message.child_frame_id) == ("map", "base_link")
    position = message.pose.pose.position
    assert (position.x, position.y, position.z) == pytest.approx((1.0, 0.25, 0.0))


def test_nothing_is_computed_for_nobody(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covariance_module, "pose_covariance", lambda *_, **__: pytest.fail("computed for nobody"))
    outputs = scene.outputs()
    outputs.publish(tracked(0, moved()))
    wait_until(lambda: len(scene.poses) == 1, "a pose")
