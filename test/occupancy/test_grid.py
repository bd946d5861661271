"""The occupancy grid of scans whose place is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slam3r_ros.geometry.se3 import rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.occupancy import grid as grid_module
from slam3r_ros.occupancy.grid import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from slam3r_ros.occupancy.scan import VirtualScan
from slam3r_ros.occupancy.tuning import OccupancyTuning

RESOLUTION = 0.1


def fan(x: float = 0.0, y: float = 0.0, radius: float = 2.0, *, obstacle: bool = True, index: int = 0) -> VirtualScan:
    """Rays in all directions from one place to a round wall."""
    angle = np.arange(0, 2 * math.pi, 0.02)
    ends = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle), np.zeros(len(angle))], axis=1)
    return VirtualScan(index, np.array([x, y, 0.5]), ends, np.full(len(angle), obstacle))


def value(grid: OccupancyGrid, x: float, y: float) -> int:
    image = grid.image()
    column, row = math.floor((x - image.origin[0]) / RESOLUTION), math.floor((y - image.origin[1]) / RESOLUTION)
    if not (0 <= row < image.cells.shape[0] and 0 <= column < image.cells.shape[1]):
        return UNKNOWN
    return int(image.cells[row, column])


def test_a_round_room() -> None:
    grid = OccupancyGrid(RESOLUTION)
    grid.put(0, fan())
    for angle in np.arange(0, 2 * math.pi, 0.3):
        x, y = math.cos(angle), math.sin(angle)
        assert value(grid, 2 * x, 2 * y) == OCCUPIED
        assert [value(grid, r * x, r * y) for r in (0.3, 1.0, 1.7)] == [FREE] * 3
        assert value(grid, 2.4 * x, 2.4 * y) == UNKNOWN


def test_it_grows_in_every_direction_and_keeps_what_it_has() -> None:
    grid = OccupancyGrid(RESOLUTION)
    for number, (x, y) in enumerate([(0, 0), (10, 0), (-10, 3), (0, -12)]):
        grid.put(number, fan(x, y))
    for x, y in [(0, 0), (10, 0), (-10, 3), (0, -12)]:
        assert value(grid, x + 1.0, y) == FREE
        assert value(grid, x + 2.0, y + 0.01) == OCCUPIED
    assert value(grid, 5.0, 5.0) == UNKNOWN
    assert len(grid) == 4


def test_an_obstacle_that_is_gone_becomes_free_again() -> None:
    grid = OccupancyGrid(RESOLUTION)
    grid.put(0, fan(radius=1.0))
    assert value(grid, 1.0, 0.01) == OCCUPIED
    for number in range(1, 6):
        grid.put(number, fan(radius=2.0))
    assert value(grid, 1.0, 0.01) == FREE


def test_floor_at_the_end_of_a_ray_is_free() -> None:
    grid = OccupancyGrid(RESOLUTION)
    grid.put(0, fan(obstacle=False))
    assert value(grid, 1.95, 0.01) == FREE
    assert not (grid.image().cells == OCCUPIED).any()


def test_a_better_scan_replaces_the_one_of_the_same_keyframe() -> None:
    grid = OccupancyGrid(RESOLUTION)
    grid.put(7, fan(radius=1.0))
    grid.put(7, fan(radius=2.0))
    assert value(grid, 1.0, 0.01) == FREE and len(grid) == 1


def test_a_new_or_better_scan_is_drawn_once_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_module, "TUNING", OccupancyTuning(undrawn_scans=4))
    grid, drawn = OccupancyGrid(RESOLUTION), list[int]()
    draw = grid._draw
    monkeypatch.setattr(grid, "_draw", lambda scan: (drawn.append(scan.index), draw(scan)))
    for number in range(20):
        grid.put(number, fan(0.1 * number, radius=1.0, index=number))
        if number >= 3:
            grid.put(number - 3, fan(0.1 * (number - 3), radius=2.0, index=number - 3))
    assert drawn == list(range(16))
    assert value(grid, -0.95, 0.01) == FREE and value(grid, -1.95, 0.01) == OCCUPIED
    drawn.clear()
    grid.put(2, fan(0.2, radius=1.5, index=2))  # long after the others: all are drawn again
    assert drawn == list(range(16))


def test_a_closed_loop_moves_scans() -> None:
    grid = OccupancyGrid(RESOLUTION)
    grid.put(0, fan(index=3))
    grid.put(1, fan(20.0, 0.0, index=9))
    assert grid.indices.tolist() == [3, 9]
    turn = rotation_from_vector([0.0, 0.0, math.pi / 2])
    grid.correct(Sim3([1.0, 2.0], np.stack([np.eye(3), turn]), np.zeros((2, 3))))
    assert value(grid, 1.0, 0.01) == FREE
    assert value(grid, 20.0, 0.0) == UNKNOWN
    assert value(grid, 0.01, 40.0 + 3.0) == FREE and value(grid, 0.01, 40.0 + 4.01) == OCCUPIED


def test_what_would_make_it_too_large_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_module, "TUNING", OccupancyTuning(most_cells=100_000))
    grid = OccupancyGrid(RESOLUTION)
    grid.put(0, fan())
    grid.put(1, fan(1000.0, 1000.0))
    assert grid.left_out == 1
    assert value(grid, 1.0, 0.0) == FREE and grid.image().cells.size <= 100_000


def test_scans_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_module, "TUNING", OccupancyTuning(most_scans=10))
    grid = OccupancyGrid(RESOLUTION)
    for number in range(50):
        grid.put(number, fan(0.1 * number))
    assert len(grid) <= 10 and value(grid, 4.9, 0.0) == FREE


def test_an_empty_grid_has_no_cells() -> None:
    grid = OccupancyGrid(RESOLUTION)
    assert grid.image().cells.shape == (0, 0)
    grid.put(0, VirtualScan(0, np.zeros(3), np.zeros((0, 3)), np.zeros(0, bool)))
    assert grid.image().cells.shape == (0, 0)
    grid.put(1, fan())
    grid.clear()
    assert grid.image().cells.shape == (0, 0) and len(grid) == 0
