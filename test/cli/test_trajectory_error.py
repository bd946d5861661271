"""The trajectory error, on trajectories whose error is known."""

from __future__ import annotations

import numpy as np
import pytest

from slam3r_ros.cli.trajectory_error import TrajectoryError, compare_with_truth
from slam3r_ros.geometry.se3 import rigid, rotation_from_quat_xyzw
from slam3r_ros.types import StampedPose

ANGLES = np.linspace(0, 3, 40)
POSITIONS = np.stack([np.cos(ANGLES), np.sin(ANGLES), 0.2 * ANGLES], axis=1)
TRUTH = {1000 + index: rigid(np.eye(3), position) for index, position in enumerate(POSITIONS)}


def trajectory(positions: np.ndarray) -> list[StampedPose]:
    return [StampedPose(1000 + index, rigid(np.eye(3), position)) for index, position in enumerate(positions)]


def trajectory_error(estimated: list[StampedPose], truth: dict[int, np.ndarray]) -> TrajectoryError | None:
    comparison = compare_with_truth(estimated, truth)
    return None if comparison is None else comparison.error


def test_a_similarity_costs_nothing_and_its_scale_is_found() -> None:
    rotation = rotation_from_quat_xyzw([0.1, 0.7, -0.2, 0.5])
    error = trajectory_error(trajectory(0.25 * POSITIONS @ rotation.T + [3, -1, 2]), TRUTH)
    assert error is not None
    assert error.rmse_m == pytest.approx(0, abs=1e-9)
    assert error.metres_per_unit == pytest.approx(4)
    assert error.compared == len(POSITIONS)
    assert error.path_m == pytest.approx(np.linalg.norm(np.diff(POSITIONS, axis=0), axis=1).sum())


def test_noise_is_measured() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, POSITIONS.shape)
    error = trajectory_error(trajectory(POSITIONS + noise), TRUTH)
    assert error is not None
    assert error.rmse_m == pytest.approx(0.01 * np.sqrt(3), rel=0.25)
    assert error.percent_of_path == pytest.approx(100 * error.rmse_m / error.path_m)


def test_too_little_in_common_gives_none() -> None:
    assert trajectory_error(trajectory(POSITIONS[:2]), TRUTH) is None
    assert trajectory_error(trajectory(POSITIONS), {}) is None
    assert trajectory_error(trajectory(np.zeros_like(POSITIONS)), TRUTH) is None


def test_the_truth_is_brought_to_the_estimate() -> None:
    rotation = rotation_from_quat_xyzw([0.1, 0.7, -0.2, 0.5])
    estimated = 0.25 * POSITIONS @ rotation.T + [3, -1, 2]
    comparison = compare_with_truth(trajectory(estimated)[5:30], TRUTH)
    assert comparison is not None
    assert comparison.truth.positions == pytest.approx(estimated[5:30])
    assert comparison.truth.metres_per_unit == pytest.approx(4)
