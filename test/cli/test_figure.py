"""The figure of the demo: what it shows, and where."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from slam3r_ros.cli.figure import TUNING, draw_map, round_length
from slam3r_ros.cli.trajectory_error import TrueTrajectory
from slam3r_ros.geometry.se3 import rigid
from slam3r_ros.render.cloud import SplatCloud
from slam3r_ros.types import MapPoints, StampedPose

ESTIMATED, TRUE = np.array([255, 45, 85]), np.array([28, 126, 214])


def figure(path: Path, truth: TrueTrajectory | None) -> np.ndarray:
    """RGB of a figure of a floor of 2 x 2 units, walked across."""
    x, y = np.meshgrid(np.linspace(-1, 1, 80), np.linspace(-1, 1, 80))
    points = np.stack([x.ravel(), y.ravel(), np.zeros(6400)], axis=1).astype(np.float32)
    cloud = MapPoints(points, np.full((6400, 3), 128, np.uint8), np.ones(6400, np.float32))
    trajectory = [StampedPose(n, rigid(np.eye(3), [-0.8 + n / 10, 0.3, 0.2])) for n in range(16)]
    draw_map(path, SplatCloud.of_map(cloud), trajectory, "a floor", truth)
    image = cv2.imread(str(path))
    assert image is not None and image.shape == (TUNING.size[1], TUNING.size[0], 3)
    return image[:, :, ::-1].astype(int)


def pixels_of(image: np.ndarray, colour: np.ndarray, below: int = 90) -> np.ndarray:
    """(N, 2) row and column of the pixels of a colour below the legend."""
    found = np.argwhere(np.abs(image - colour).max(axis=2) < 12)
    return found[found[:, 0] > below]


def test_the_estimated_trajectory_goes_to_the_top_in_the_plan(tmp_path: Path) -> None:
    found = pixels_of(figure(tmp_path / "map.png", None), ESTIMATED)
    plan = found[found[:, 1] < TUNING.plan.right]
    assert len(plan) > 200
    assert np.ptp(plan[:, 0]) > 5 * np.ptp(plan[:, 1]), "x (forward) points to the top"
    assert plan[:, 1].mean() < TUNING.plan.left + TUNING.plan.width / 2, "y (left) points to the left"
    assert len(found) > len(plan), "it is in the view in perspective too"


def test_the_truth_is_drawn_beside_the_estimate(tmp_path: Path) -> None:
    truth = TrueTrajectory(np.array([[-0.8, -0.3, 0.2], [0.7, -0.3, 0.2]]), 2.0)
    without, beside = figure(tmp_path / "a.png", None), figure(tmp_path / "b.png", truth)
    assert len(pixels_of(without, TRUE)) == 0
    plan = pixels_of(beside, TRUE)
    plan = plan[plan[:, 1] < TUNING.plan.right]
    assert len(plan) > 200 and plan[:, 1].mean() > TUNING.plan.left + TUNING.plan.width / 2


@pytest.mark.parametrize(("length", "rounded"), [(1.0, 1), (1.9, 1), (2.0, 2), (0.37, 0.2), (0.05, 0.05), (73.0, 50)])
def test_lengths_of_scale_bars_are_round(length: float, rounded: float) -> None:
    assert round_length(length) == pytest.approx(rounded)


@pytest.mark.parametrize(("points", "poses"), [(0, 0), (0, 3), (1, 1), (500, 5)])
def test_a_map_without_points_or_poses_still_gives_a_picture(points: int, poses: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    positions = random.uniform(-1, 1, (points, 3)).astype(np.float32)
    cloud = MapPoints(positions, random.integers(0, 255, (points, 3)).astype(np.uint8), np.ones(points, np.float32))
    trajectory = [StampedPose(n, rigid(np.eye(3), [n, 0, 0])) for n in range(poses)]
    draw_map(tmp_path / "map.png", SplatCloud.of_map(cloud), trajectory, "test")
    assert (tmp_path / "map.png").stat().st_size > 1000
