"""Virtual scans: where rays end."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from slam3r_ros.occupancy.scan import HeightBand, virtual_scan
from slam3r_ros.occupancy.tuning import TUNING

BAND = HeightBand(0.1, 1.5)
FLOOR = -0.8
CAMERA = np.array([1.0, 2.0, 0.2])


def wall(x: float, height: float, width: float = 2.0) -> NDArray[np.float64]:
    """(N, 3) points of a wall across the x axis, from the floor up."""
    y, z = np.meshgrid(np.arange(-width / 2, width / 2, 0.01), np.arange(0, height, 0.02))
    return np.stack([np.full(y.size, x), CAMERA[1] + y.ravel(), FLOOR + z.ravel()], axis=1)


def floor_points(x_from: float, x_to: float) -> NDArray[np.float64]:
    x, y = np.meshgrid(np.arange(x_from, x_to, 0.02), np.arange(-1, 1, 0.02))
    return np.stack([x.ravel(), CAMERA[1] + y.ravel(), np.full(x.size, FLOOR + 0.02)], axis=1)


def test_rays_end_at_the_nearest_wall() -> None:
    scan = virtual_scan(4, np.concatenate([wall(6.0, 1.2), wall(4.0, 0.6, 1.0)]), CAMERA, FLOOR, BAND)
    assert scan.index == 4 and scan.is_obstacle.all()
    bearing = np.arctan2(scan.ends[:, 1] - 2.0, scan.ends[:, 0] - 1.0)
    centre = np.abs(bearing) < math.atan2(0.45, 3.0)
    assert centre.any() and not centre.all()
    np.testing.assert_allclose(scan.ends[centre, 0], 4.0)
    edge = np.abs(bearing) > math.atan2(0.55, 3.0)
    np.testing.assert_allclose(scan.ends[edge, 0], 6.0)


def test_what_is_too_high_or_too_far_does_not_stand_in_the_way() -> None:
    ceiling = floor_points(2.0, 5.0) + np.array([0, 0, 2.5])
    far = wall(1.0 + TUNING.max_range + 0.5, 1.0)
    assert not len(virtual_scan(0, np.concatenate([ceiling, far]), CAMERA, FLOOR, BAND).ends)


def test_without_an_obstacle_a_ray_ends_at_the_farthest_floor() -> None:
    scan = virtual_scan(0, floor_points(2.0, 5.0), CAMERA, FLOOR, BAND)
    assert len(scan.ends) and not scan.is_obstacle.any()
    straight = np.abs(np.arctan2(scan.ends[:, 1] - 2.0, scan.ends[:, 0] - 1.0)) < 0.05
    assert scan.ends[straight, 0].min() > 4.9


def test_floor_behind_an_obstacle_does_not_lengthen_the_ray() -> None:
    scan = virtual_scan(0, np.concatenate([wall(3.0, 0.5), floor_points(4.0, 6.0)]), CAMERA, FLOOR, BAND)
    assert scan.is_obstacle.all()
    np.testing.assert_allclose(scan.ends[:, 0], 3.0)


@pytest.mark.parametrize("count", [1, TUNING.min_obstacle_points - 1])
def test_few_points_in_the_air_are_no_obstacle(count: int) -> None:
    points = np.tile(CAMERA + np.array([1.0, 0.0, 0.0]), (count, 1))
    assert not len(virtual_scan(0, points, CAMERA, FLOOR, BAND).ends)
    assert len(virtual_scan(0, np.tile(points[:1], (10, 1)), CAMERA, FLOOR, BAND).ends) == 1


def test_without_points_there_is_no_ray() -> None:
    scan = virtual_scan(0, np.zeros((0, 3)), CAMERA, FLOOR, BAND)
    assert scan.ends.shape == (0, 3) and scan.is_obstacle.shape == (0,)
