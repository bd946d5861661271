import numpy as np

from slam3r_ros.engine.trajectory import Trajectory
from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.geometry.se3 import Array, rigid
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.types import PoseEstimate


def at(x: float) -> Array:
    return rigid(np.eye(3), [x, 0, 0])


def walked(count: int) -> Trajectory:
    """Every second frame was tracked."""
    trajectory = Trajectory()
    for number in range(count):
        trajectory.put(2 * number, 1_000 * number, PoseEstimate(at(number), 100.0, 1.0, 0.1, 1.0, 0.0))
    return trajectory


def test_it_grows_without_an_end_and_forgets_nothing() -> None:
    count = 2 * TUNING.first_trajectory_poses + 3
    poses = walked(count).poses()
    assert [pose.stamp_ns for pose in poses] == [1_000 * number for number in range(count)]
    assert [pose.T_world_camera[0, 3] for pose in poses] == list(range(count))
    assert len(walked(count)) == count and isinstance(poses[0].stamp_ns, int)
    assert walked(0).poses() == [] and len(walked(0)) == 0


def test_poses_move_with_the_keyframe_before_them_and_stamps_stay() -> None:
    trajectory = walked(TUNING.first_trajectory_poses + 10)
    shifts = np.array([[0.0, 0, 0], [0, 5, 0]])
    moved = Sim3(np.array([1.0, 3.0]), np.tile(np.eye(3), (2, 1, 1)), shifts)
    trajectory.correct(MapCorrection(np.array([4, 9]), moved))
    for number, pose in enumerate(trajectory.poses()):
        expected = [number, 0, 0] if 2 * number < 9 else [3 * number, 5, 0]
        assert pose.T_world_camera[:3, 3].tolist() == expected and pose.stamp_ns == 1_000 * number
    trajectory.put(5000, 7, PoseEstimate(at(-1), 100.0, 1.0, 0.1, 1.0, 0.0))
    assert trajectory.poses()[-1].T_world_camera[0, 3] == -1
    empty = walked(0)
    empty.correct(MapCorrection(np.array([4, 9]), moved))
    assert empty.poses() == []


def test_what_was_handed_out_does_not_change_and_changes_nothing() -> None:
    trajectory = walked(3)
    first = trajectory.poses()
    still = Sim3.from_pose(at(1)[None])
    trajectory.correct(MapCorrection(np.array([0]), still))
    assert [pose.T_world_camera[0, 3] for pose in first] == [0, 1, 2]
    trajectory.poses()[1].T_world_camera[:] = 7
    assert [pose.T_world_camera[0, 3] for pose in trajectory.poses()] == [1, 2, 3]


def test_a_later_pose_of_a_frame_replaces_the_first_and_a_late_one_takes_its_place() -> None:
    trajectory = walked(TUNING.first_trajectory_poses)  # frames 0, 2, 4 ...; full
    trajectory.put(4, 2_000, PoseEstimate(at(40.0), 100.0, 1.0, 0.1, 1.0, 0.0))
    trajectory.put(3, 1_500, PoseEstimate(at(3.5), 100.0, 1.0, 0.1, 1.0, 0.0))
    assert len(trajectory) == TUNING.first_trajectory_poses + 1
    first = [(pose.stamp_ns, float(pose.T_world_camera[0, 3])) for pose in trajectory.poses()[:5]]
    assert first == [(0, 0.0), (1_000, 1.0), (1_500, 3.5), (2_000, 40.0), (3_000, 3.0)]
    assert trajectory.poses()[-1].stamp_ns == 1_000 * (TUNING.first_trajectory_poses - 1)
