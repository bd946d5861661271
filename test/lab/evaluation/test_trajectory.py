"""Trajectory errors: known answers, and those of the evo command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from slam3r_lab.evaluation.trajectory import compare_trajectories
from slam3r_ros.geometry.se3 import rigid, rotation_from_quat_xyzw
from slam3r_ros.io.tum import write_trajectory
from slam3r_ros.types import StampedPose

STEP_NS = 50_000_000


def random_rotation(random: np.random.Generator) -> NDArray[np.float64]:
    return rotation_from_quat_xyzw(random.normal(size=4))


def wandering(count: int, seed: int) -> list[NDArray[np.float64]]:
    """Poses along a smooth random path of a few metres."""
    random = np.random.default_rng(seed)
    positions = np.cumsum(np.cumsum(random.normal(size=(count, 3)), axis=0) * 0.003 + 0.02, axis=0)
    return [
        rigid(rotation_from_quat_xyzw([0.1 * np.sin(i / 20), 0.2 * np.sin(i / 15), 0.05, 1]), p)
        for i, p in enumerate(positions)
    ]


def stamped(poses: list[NDArray[np.float64]]) -> list[StampedPose]:
    return [StampedPose(i * STEP_NS, pose) for i, pose in enumerate(poses)]


def as_truth(poses: list[NDArray[np.float64]]) -> dict[int, NDArray[np.float64]]:
    return {pose.stamp_ns: pose.T_world_camera for pose in stamped(poses)}


def moved(pose: NDArray[np.float64], scale: float, rotation: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    return rigid(rotation @ pose[:3, :3], scale * rotation @ pose[:3, 3] + shift)


def test_truth_against_itself_is_zero() -> None:
    poses = wandering(80, 0)
    compared = compare_trajectories(stamped(poses), as_truth(poses))
    assert compared is not None
    metrics = compared.metrics
    assert metrics.compared == 80
    assert metrics.ate_rmse_m < 1e-12 and metrics.ate_max_m < 1e-12
    assert metrics.rpe_translation_rmse_m < 1e-12 and metrics.rpe_rotation_rmse_deg < 1e-5
    assert metrics.metres_per_unit == pytest.approx(1)
    assert metrics.scale_drift_percent == pytest.approx(0, abs=1e-9)
    assert metrics.scale_spread_percent == pytest.approx(0, abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.05, 20), st.integers(0, 1000), st.floats(-50, 50))
def test_any_similarity_is_taken_out(scale: float, seed: int, shift: float) -> None:
    poses = wandering(40, 1)
    rotation = random_rotation(np.random.default_rng(seed))
    compared = compare_trajectories(stamped([moved(p, scale, rotation, shift) for p in poses]), as_truth(poses))
    assert compared is not None
    assert compared.metrics.ate_rmse_m < 1e-9
    assert compared.metrics.rpe_translation_rmse_m < 1e-9
    assert compared.metrics.metres_per_unit == pytest.approx(1 / scale)


def test_noise_gives_its_own_error() -> None:
    poses, random = wandering(600, 2), np.random.default_rng(3)
    noisy = [rigid(p[:3, :3], p[:3, 3] + random.normal(scale=0.01, size=3)) for p in poses]
    compared = compare_trajectories(stamped(noisy), as_truth(poses))
    assert compared is not None
    assert compared.metrics.ate_rmse_m == pytest.approx(0.01 * np.sqrt(3), rel=0.1)
    assert compared.metrics.rpe_translation_rmse_m == pytest.approx(0.01 * np.sqrt(6), rel=0.1)


def test_hand_worked_example() -> None:
    """A square of side 2 whose corners are estimated 0.3 too high and too low in turn: no rotation mends that."""
    corners = np.array([[1, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]], float)
    true = [rigid(np.eye(3), corner) for corner in corners]
    heights = 0.3 * np.array([1, -1, 1, -1])
    estimated = [rigid(np.eye(3), corner + np.array([0, 0, h])) for corner, h in zip(corners, heights, strict=True)]
    compared = compare_trajectories(stamped(estimated), as_truth(true))
    assert compared is not None
    metrics = compared.metrics
    # Umeyama: scale = trace(covariance) / variance of the estimated = 2 / (2 + h^2).
    scale = 2 / (2 + 0.3**2)
    assert metrics.metres_per_unit == pytest.approx(scale)
    in_plane, height = np.sqrt(2) * (1 - scale), 0.3 * scale
    assert metrics.ate_rmse_m == pytest.approx(np.hypot(in_plane, height))
    assert metrics.path_m == pytest.approx(6)
    assert metrics.ate_percent_of_path == pytest.approx(100 * np.hypot(in_plane, height) / 6)
    assert metrics.rpe_translation_rmse_m == pytest.approx(np.hypot(2 * (1 - scale), 0.6 * scale))
    assert metrics.rpe_rotation_rmse_deg == pytest.approx(0, abs=1e-6)


def test_turn_of_known_angle_between_frames() -> None:
    poses = wandering(50, 4)
    turn = rotation_from_quat_xyzw([0, 0, np.sin(np.deg2rad(1)), np.cos(np.deg2rad(1))])  # 2 degrees
    turned = [rigid(p[:3, :3] @ (turn if i % 2 else np.eye(3)), p[:3, 3]) for i, p in enumerate(poses)]
    compared = compare_trajectories(stamped(turned), as_truth(poses))
    assert compared is not None
    assert compared.metrics.ate_rmse_m < 1e-9
    assert compared.metrics.rpe_rotation_rmse_deg == pytest.approx(2, abs=1e-5)


def test_scale_that_drifts_is_measured() -> None:
    """Steps that shrink by half along the path: scale (metres a unit) doubles."""
    poses = wandering(400, 5)
    positions = np.array([p[:3, 3] for p in poses])
    walked = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(positions, axis=0), axis=1))])
    shrink = 0.5 ** (walked[:-1] / walked[-1])
    shrunk = np.concatenate([[positions[0]], positions[0] + np.cumsum(np.diff(positions, axis=0) * shrink[:, None], 0)])
    drifting = [rigid(p[:3, :3], position) for p, position in zip(poses, shrunk, strict=True)]
    compared = compare_trajectories(stamped(drifting), as_truth(poses))
    assert compared is not None
    assert compared.metrics.scale_drift_percent == pytest.approx(100, abs=3)
    scales = [scale.relative_scale for scale in compared.metrics.local_scales]
    assert scales == sorted(scales)


def test_camera_that_was_thought_to_stand_still() -> None:
    """The best that one point can do is the true positions' mean."""
    poses = wandering(30, 6)
    compared = compare_trajectories(stamped([poses[0]] * 30), as_truth(poses))
    assert compared is not None
    positions = np.array([p[:3, 3] for p in poses])
    spread = np.sqrt(np.mean(np.sum((positions - positions.mean(axis=0)) ** 2, axis=1)))
    assert compared.metrics.ate_rmse_m == pytest.approx(spread)
    assert compared.metrics.scale_drift_percent is None


def test_straight_lines_are_aligned() -> None:
    true = [rigid(np.eye(3), [0.1 * i, 0, 0]) for i in range(20)]
    estimated = [rigid(np.eye(3), [3, 0.2 * i, 1]) for i in range(20)]
    compared = compare_trajectories(stamped(estimated), as_truth(true))
    assert compared is not None
    assert compared.metrics.ate_rmse_m < 1e-9
    assert compared.metrics.metres_per_unit == pytest.approx(0.5)


def test_too_little_in_common() -> None:
    poses = wandering(10, 7)
    truth = as_truth(poses)
    assert compare_trajectories(stamped(poses)[:2], truth) is None
    assert compare_trajectories(stamped(poses), {stamp + 1: pose for stamp, pose in truth.items()}) is None
    assert compare_trajectories([], truth) is None


@pytest.mark.parametrize(
    ("program", "extra", "field"),
    [
        ("evo_ape", [], "ate_rmse_m"),
        ("evo_rpe", ["-d", "1", "-u", "f", "-r", "trans_part"], "rpe_translation_rmse_m"),
        ("evo_rpe", ["-d", "1", "-u", "f", "-r", "angle_deg"], "rpe_rotation_rmse_deg"),
        (
            "evo_rpe",
            ["-d", "1", "-u", "m", "-r", "trans_part", "--all_pairs", "--pairs_from_reference"],
            "rpe_per_metre_translation_rmse_m",
        ),
    ],
)
def test_agreement_with_evos_command_line(program: str, extra: list[str], field: str, tmp_path: Path) -> None:
    poses, random = wandering(120, 8), np.random.default_rng(9)
    rotation = random_rotation(random)
    estimated = [moved(p, 0.4, rotation, 3.0) for p in poses]
    estimated = [
        rigid(p[:3, :3] @ rotation_from_quat_xyzw([*random.normal(scale=0.02, size=3), 1]), p[:3, 3] + shift)
        for p, shift in zip(estimated, random.normal(scale=0.02, size=(120, 3)), strict=True)
    ]
    estimated = estimated[:60] + estimated[70:]  # frames that were lost
    stamps = [*range(60), *range(70, 120)]
    trajectory = [StampedPose(n * STEP_NS, pose) for n, pose in zip(stamps, estimated, strict=True)]
    write_trajectory(tmp_path / "true.tum", stamped(poses))
    write_trajectory(tmp_path / "estimated.tum", trajectory)
    command = [str(Path(sys.executable).parent / program), "tum", "true.tum", "estimated.tum", "-a", "-s", *extra]
    done = subprocess.run(
        [*command, "--save_results", "results.zip"], cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "results.zip") as results:
        expected = float(json.loads(results.read("stats.json"))["rmse"])
    compared = compare_trajectories(trajectory, as_truth(poses))
    assert compared is not None
    assert getattr(compared.metrics, field) == pytest.approx(expected, abs=1e-6)
    assert expected > 0.001
