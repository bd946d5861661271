"""The map follows keyframes that the sliding window moves after it took them."""

from __future__ import annotations

import numpy as np
import pytest

from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid, rotation_from_vector
from slam3r_ros.odometry.keyframe_changes import KeyframeChanges
from slam3r_ros.odometry.sliding_window import WindowKeyframe
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.feature_image import FeatureImage

IMAGE = FeatureImage(np.zeros((24, 24), np.uint8), np.eye(3))
NOTHING = np.empty(0)
TURN = rotation_from_vector(np.array([0.1, -0.2, 0.3]))


def keyframe(index: int, T_world_camera: Array, log_scale: float = 0.0) -> WindowKeyframe:
    return WindowKeyframe(np.empty((0, 2)), NOTHING, invert_rigid(T_world_camera), log_scale, None, IMAGE, index)


def test_points_of_a_keyframe_move_with_its_camera_and_grow_with_its_scale() -> None:
    changes, before = KeyframeChanges(), rigid(TURN, [1.0, 2.0, 3.0])
    after = rigid(TURN @ TURN, [1.5, 2.0, 2.0])
    changes.insert([keyframe(0, np.eye(4)), keyframe(7, before)], invert_rigid(before), 0.0)
    changes.insert([keyframe(0, np.eye(4)), keyframe(7, before), keyframe(9, before)], invert_rigid(before), 0.0)
    window = [keyframe(0, np.eye(4)), keyframe(7, after, np.log(2.0)), keyframe(9, before)]
    correction = changes.take(window, depth=2.0)
    assert correction is not None and correction.indices.tolist() == [0, 7, 8, 9]
    np.testing.assert_allclose(correction.world_changes.scale, [1.0, 2.0, 1.0, 1.0])
    stays, moves = correction.world_changes[0], correction.world_changes[1]
    point_camera = np.array([0.3, -0.2, 4.0])
    in_world = before[:3, :3] @ point_camera + before[:3, 3]
    np.testing.assert_allclose(moves.apply(in_world), after[:3, :3] @ (2 * point_camera) + after[:3, 3])
    np.testing.assert_allclose(stays.apply(in_world), in_world)
    assert changes.take(window, depth=2.0) is None  # it has them so


@pytest.mark.parametrize(("share", "follows"), [(0.9, False), (1.1, True)])
def test_the_map_follows_a_step_or_a_scale_that_is_large_enough(share: float, follows: bool) -> None:
    size, depth = share * TUNING.min_window_correction, 5.0
    for moved in (keyframe(3, rigid(np.eye(3), [0, size * depth, 0])), keyframe(3, np.eye(4), -size)):
        changes = KeyframeChanges()
        changes.insert([keyframe(3, np.eye(4))], np.eye(4), 0.0)
        assert (changes.take([moved], depth) is not None) == follows


def test_small_changes_add_up_and_keyframes_that_have_left_are_forgotten() -> None:
    changes, step = KeyframeChanges(), 0.6 * TUNING.min_window_correction
    changes.insert([keyframe(1, np.eye(4)), keyframe(2, np.eye(4))], np.eye(4), 0.0)
    assert changes.take([keyframe(2, np.eye(4), step)], 1.0) is None
    changes.insert([keyframe(2, np.eye(4), step), keyframe(3, np.eye(4))], np.eye(4), 0.0)
    correction = changes.take([keyframe(2, np.eye(4), 2 * step), keyframe(3, np.eye(4))], 1.0)
    assert correction is not None and correction.indices.tolist() == [2, 3]
    np.testing.assert_allclose(np.log(correction.world_changes.scale), [2 * step, 0])


def test_a_world_that_is_moved_as_a_whole_is_no_change() -> None:
    changes = KeyframeChanges()
    changes.insert([keyframe(1, np.eye(4))], np.eye(4), 0.0)
    changes.reset_to([keyframe(1, np.eye(4), 1.0)])
    assert changes.take([keyframe(1, np.eye(4), 1.0)], 1.0) is None


def test_frames_before_a_keyframe_follow_the_world_that_it_was_tracked_in() -> None:
    changes = KeyframeChanges()
    changes.insert([keyframe(1, np.eye(4))], np.eye(4), 0.0)
    tracked, adjusted = rigid(np.eye(3), [1.0, 0, 0]), rigid(TURN, [0.5, 0, 0])
    window = [keyframe(1, np.eye(4)), keyframe(5, adjusted)]
    changes.insert(window, invert_rigid(tracked), 0.0)
    correction = changes.take(window, depth=2.0)
    assert correction is not None and correction.indices.tolist() == [1, 4, 5]
    np.testing.assert_allclose(
        correction.world_changes.apply_to_pose(np.stack([np.eye(4), tracked, adjusted]))[1:], [adjusted] * 2, atol=1e-12
    )
