import numpy as np
import pytest

from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.types import PoseEstimate

RANDOM = np.random.default_rng(0)
MOVED = Sim3(np.array([1.0, 2.0, 0.5]), rotation_from_vector(RANDOM.normal(0, 0.5, (3, 3))), RANDOM.normal(size=(3, 3)))
CORRECTION = MapCorrection(np.array([10, 20, 40]), MOVED)
FRAMES = np.array([0, 9, 10, 11, 19, 20, 39, 40, 41, 1000])
MOVES_WITH = np.array([0, 0, 0, 0, 0, 1, 1, 2, 2, 2])


def some_poses(count: int) -> Array:
    turns, shifts = rotation_from_vector(RANDOM.normal(size=(count, 3))), RANDOM.normal(size=(count, 3))
    return np.stack([rigid(turn, shift) for turn, shift in zip(turns, shifts, strict=True)])


def test_what_was_mapped_between_two_keyframes_moves_as_the_earlier_one() -> None:
    moved = CORRECTION.of_frames(FRAMES)
    np.testing.assert_array_equal(moved.scale, MOVED.scale[MOVES_WITH])
    np.testing.assert_array_equal(moved.rotation, MOVED.rotation[MOVES_WITH])
    np.testing.assert_array_equal(moved.translation, MOVED.translation[MOVES_WITH])
    assert len(CORRECTION.of_frames(FRAMES[:0])) == 0
    alone = MapCorrection(np.array([5]), MOVED[1:2]).of_frames(np.array([0, 5, 9]))
    np.testing.assert_array_equal(alone.scale, [2.0, 2.0, 2.0])


def test_what_comes_after_the_last_moves_with_it() -> None:
    point = np.array([1.0, 2, 3])
    np.testing.assert_allclose(CORRECTION.newest.apply(point), MOVED[2:].apply(point[None, None])[0, 0])


def test_cameras_stay_cameras() -> None:
    poses = some_poses(len(FRAMES))
    before = poses.copy()
    moved = CORRECTION.of_poses(FRAMES, poses)
    np.testing.assert_array_equal(poses, before)
    np.testing.assert_array_equal(moved, CORRECTION.of_frames(FRAMES).apply_to_pose(poses))
    identity = np.tile(np.eye(3), (len(FRAMES), 1, 1))
    np.testing.assert_allclose(moved[:, :3, :3] @ moved[:, :3, :3].transpose(0, 2, 1), identity, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(moved[:, :3, :3]), 1)
    np.testing.assert_array_equal(moved[:, 3], np.tile([0, 0, 0, 1.0], (len(FRAMES), 1)))


def test_a_point_is_seen_after_it_where_it_was_seen_before() -> None:
    poses, at_camera = some_poses(len(FRAMES)), RANDOM.normal(size=(len(FRAMES), 3)) + np.array([0, 0, 4])
    points = np.einsum("nij,nj->ni", poses[:, :3, :3], at_camera) + poses[:, :3, 3]
    moved_points = CORRECTION.of_points(FRAMES, points.astype(np.float32))
    moved = CORRECTION.of_poses(FRAMES, poses)
    seen = np.einsum("nji,nj->ni", moved[:, :3, :3], moved_points - moved[:, :3, 3])
    np.testing.assert_allclose(seen, at_camera * MOVED.scale[MOVES_WITH][:, None], atol=1e-5)
    assert moved_points.dtype == np.float32 and moved_points.shape == points.shape
    assert CORRECTION.of_points(FRAMES[:0], np.empty((0, 3), np.float32)).shape == (0, 3)


def test_a_pose_estimate_keeps_its_qualities_and_has_the_new_lengths() -> None:
    pose = PoseEstimate(some_poses(1)[0], 100.0, 0.9, 0.3, 4.0, 0.01)
    moved = CORRECTION.of_pose(25, pose)
    assert moved is not None and moved.scale == 8.0
    assert (moved.focal_px, moved.inlier_fraction, moved.reprojection_error_px) == (100.0, 0.9, 0.3)
    expected = CORRECTION.of_poses(np.array([25]), pose.T_world_camera[None])[0]
    np.testing.assert_array_equal(moved.T_world_camera, expected)
    assert CORRECTION.of_pose(25, None) is None
    unscaled = CORRECTION.of_pose(25, PoseEstimate(np.eye(4), 100.0, 0.9, 0.3, np.nan, np.nan))
    assert unscaled is not None and np.isnan(unscaled.scale)


def test_nothing_moves_where_nothing_is_to_be_moved() -> None:
    still = MapCorrection(np.array([0]), Sim3.from_pose(np.eye(4)[None]))
    points = RANDOM.normal(0, 50, (1000, 3)).astype(np.float32)
    np.testing.assert_array_equal(still.of_points(np.arange(1000), points), points)
    poses = some_poses(5)
    np.testing.assert_array_equal(still.of_poses(np.arange(5), poses), poses)
    assert still.newest.scale == pytest.approx(1.0)
