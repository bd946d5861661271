"""The map against a dictionary that does the same one point after the other."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slam3r_ros.engine import point_map as world_map
from slam3r_ros.engine import voxel_hash_map as voxel_table
from slam3r_ros.engine.free_space import FreeSpace
from slam3r_ros.engine.point_map import PointMap
from slam3r_ros.engine.voxel_hash_map import CHUNK, VoxelHashMap, voxel_keys
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.settings import MapSettings
from slam3r_ros.types import MapPoints

Cell = tuple[int, int, int]


class NaiveMap:
    """What PointMap promises, a point at a time."""

    def __init__(self, settings: MapSettings) -> None:
        self.voxel_size, self.maximum = settings.voxel_size, settings.maximum_points
        self.cells: dict[Cell, tuple[np.ndarray, np.ndarray, float, float]] = {}  # with confidence and weight

    def put(self, point: np.ndarray, colour: np.ndarray, confidence: float, weight: float) -> None:
        cell = tuple(int(c) for c in np.floor(point.astype(np.float32).astype(float) * (1 / self.voxel_size)))
        if cell in self.cells:
            mean, shade, highest, total = self.cells[cell]
            point, colour = (
                (total * old + weight * new) / (total + weight) for old, new in ((mean, point), (shade, colour))
            )
            confidence, weight = max(confidence, highest), total + weight
        self.cells[cell] = (point, colour, confidence, weight)

    def add(self, points: np.ndarray, colours: np.ndarray, confidence: np.ndarray) -> None:
        for point, colour, value in zip(points, colours, confidence, strict=True):
            if np.isfinite(point).all() and np.isfinite(value):
                self.put(point.astype(float), colour.astype(float), float(value), float(value) ** 2)
        full = len(self.cells) > self.maximum
        while full and len(self.cells) > 0.75 * self.maximum:
            stored = list(self.cells.values())
            self.voxel_size, self.cells = self.voxel_size * 2, {}
            for entry in stored:
                self.put(*entry)


def assert_same(got: MapPoints, expected: NaiveMap) -> None:
    assert len(got) == len(expected.cells)
    points, colours, confidence, _ = (np.array(column) for column in zip(*expected.cells.values(), strict=True))
    np.testing.assert_allclose(got.points_world, points, rtol=1e-5, atol=1e-7)
    assert np.abs(got.colours - colours).max() <= 1.5, "colours are rounded each time"
    assert np.array_equal(got.confidence, confidence.astype(np.float32))


def random_points(seed: int, count: int, spread: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    points = rng.normal(scale=spread, size=(count, 3)).astype(np.float32)
    # Few levels of confidence, so that ties are common.
    return points, rng.integers(0, 256, (count, 3), np.uint8), rng.integers(1, 6, count).astype(np.float32)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**31 - 1), st.floats(0.02, 2), st.sampled_from([1000, 1500, 10**6]))
def test_same_as_a_dictionary(seed, spread, maximum):
    chosen = MapSettings(point_confidence=0.0, voxel_size=0.03, maximum_points=maximum)
    fast, naive = PointMap(chosen), NaiveMap(chosen)
    for frame in range(4):
        points = random_points(seed + frame, 600, spread)
        fast.add(*points)
        naive.add(*points)
    assert fast.voxel_size == naive.voxel_size
    assert_same(fast.points(), naive)


def test_same_as_a_dictionary_in_chunks_and_with_growth(monkeypatch):
    monkeypatch.setattr(voxel_table, "CHUNK", 64)
    monkeypatch.setattr(world_map, "CHUNK", 64)
    monkeypatch.setattr(world_map, "TUNING", replace(world_map.TUNING, reserved_map_points=100))
    chosen = MapSettings(point_confidence=0.0, voxel_size=0.02, maximum_points=1500)
    fast, naive = PointMap(chosen), NaiveMap(chosen)
    for frame in range(3):
        points = random_points(frame, 400)
        fast.add(*points)
        naive.add(*points)
    assert fast.voxel_size == chosen.voxel_size
    assert_same(fast.points(), naive)


def test_added_are_the_voxels_that_were_empty():
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=0.05))
    seen: set[Cell] = set()
    for frame in range(5):
        points, colours, confidence = random_points(frame, 2000)
        added = fast.add(points, colours, confidence)
        cells = [tuple(cell) for cell in np.floor(added.points_world.astype(float) * (1 / 0.05)).astype(int)]
        offered = {tuple(cell) for cell in np.floor(points.astype(float) * (1 / 0.05)).astype(int)}
        assert len(set(cells)) == len(cells)
        assert set(cells) == offered - seen
        seen |= offered
    assert len(fast) == len(seen)


def put(fast: PointMap, x: float, confidence: float, frame: int = 0, *, is_provisional: bool = False) -> int:
    """Add a point on the x axis, as grey as 50 x; how many points that added."""
    point, colour = np.float32([[x, 0.5, 0.5]]), np.full((1, 3), round(50 * x), np.uint8)
    return len(fast.add(point, colour, np.float32([confidence]), frame, is_provisional=is_provisional))


def test_points_of_a_voxel_become_their_mean_by_squared_confidence_and_are_reported_once():
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=1.0))
    first = fast.add(np.float32([[0.2, 0.5, 0.5]]), np.uint8([[10, 10, 10]]), np.float32([2]))
    assert len(first) == 1
    assert put(fast, 0.7, 1) == 0  # (4 x 0.2 + 1 x 0.7) / 5
    assert fast.points().points_world[0, 0] == pytest.approx(0.3)
    assert put(fast, 0.9, 5) == 0  # (5 x 0.3 + 25 x 0.9) / 30
    assert fast.points().points_world[0, 0] == pytest.approx(0.8)
    assert fast.points().colours.tolist() == [[40, 40, 40]] and fast.points().confidence.tolist() == [5]
    assert first.points_world[0, 0] == np.float32(0.2), "what was handed out does not change"


def test_provisional_points_go_when_others_come_and_change_nothing_after_that():
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=1.0))
    assert put(fast, 0.2, 9, is_provisional=True) == 1
    assert put(fast, 0.6, 1) == 1, "the first point of its kind is reported"
    assert put(fast, 0.1, 9, is_provisional=True) == 0
    assert fast.points().points_world[0, 0] == np.float32(0.6) and fast.points().confidence.tolist() == [1]
    assert len(fast) == 1


@pytest.mark.parametrize("keep", [True, False])
def test_provisional_points_of_some_frames_stay_or_go(keep: bool):
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=1.0))
    for frame in range(5):
        put(fast, frame + 0.5, 1, frame, is_provisional=True)
    put(fast, 2.5, 1, 2)
    fast.settle(1, 3, keep=keep)
    kept = [0.5, 1.5, 2.5, 3.5, 4.5] if keep else [0.5, 2.5, 4.5]
    assert fast.points().points_world[:, 0].tolist() == kept and len(fast) == len(kept)
    assert put(fast, 1.5, 1, 6) == (not keep), "a voxel that was emptied is new again"
    fast.settle(0, 9, keep=False)
    assert (0.5 in fast.points().points_world[:, 0]) is False
    assert (3.5 in fast.points().points_world[:, 0]) is keep
    fast.settle(0, 9, keep=False)  # what is gone is not counted again
    assert len(fast) == len(fast.points())


def looking_along_x(depth: float) -> FreeSpace:
    """A camera at the origin that looks along x, and sees a wall at that depth."""
    T_camera_world = np.eye(4)
    T_camera_world[:3, :3] = [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    depths = np.full((8, 8), depth, np.float32)
    return FreeSpace.of(Camera(8, 8, 8.0, 8.0, 3.5, 3.5), T_camera_world, depths, np.full((8, 8), 0.01, np.float32))


def test_what_several_views_look_through_in_succession_goes():
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=0.1))
    for x in (1.02, 4.02, 8.02):
        fast.add(np.float32([[x, 0.02, 0.02]]), np.uint8([[1, 1, 1]]), np.float32([3]))
    times = world_map.TUNING.views_that_carve
    for _ in range(times - 1):
        fast.carve(looking_along_x(4.1))
    fast.add(np.float32([[1.02, 0.02, 0.02]]), np.uint8([[1, 1, 1]]), np.float32([3]))  # somebody sees it again
    for _ in range(times - 1):
        fast.carve(looking_along_x(4.1))
    assert len(fast) == 3
    fast.carve(looking_along_x(4.1))
    assert fast.points().points_world[:, 0].tolist() == np.float32([4.02, 8.02]).tolist() and len(fast) == 2
    assert len(fast.add(np.float32([[1.02, 0.02, 0.02]]), np.uint8([[1, 1, 1]]), np.float32([3]))) == 1


def test_emptied_voxels_leave_room_before_the_others_are_doubled():
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=1.0, maximum_points=1000))
    line = np.zeros((1400, 3), np.float32)
    line[:, 0] = np.arange(1400) + 0.5
    colours, confidence = np.zeros((1400, 3), np.uint8), np.ones(1400, np.float32)
    fast.add(line[:700], colours[:700], confidence[:700], 1, is_provisional=True)
    fast.settle(1, 1, keep=False)
    assert len(fast) == 0
    assert len(fast.add(line[700:], colours[700:], confidence[700:], 2)) == 700
    assert fast.voxel_size == 1.0 and len(fast) == 700


def test_negative_coordinates_have_voxels_of_the_same_size():
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=1.0))
    fast.add(np.float32([[-0.5, 0, 0], [0.5, 0, 0], [-1.5, 0, 0]]), np.zeros((3, 3), np.uint8), np.ones(3, np.float32))
    assert len(fast) == 3


def test_what_is_not_finite_is_dropped():
    points = np.float32(
        [[np.nan, 0, 0], [0, np.inf, 0], [0, 0, -np.inf], [1, 1, 1], [2, 2, 2], [3, 3, 3], [3e38, 0, 0]]
    )
    confidence = np.float32([1, 1, 1, np.nan, np.inf, 1, 1])
    fast = PointMap(MapSettings(point_confidence=0.0))
    added = fast.add(points, np.zeros((7, 3), np.uint8), confidence)
    assert added.points_world.tolist() == [[3, 3, 3]] and len(fast) == 1


def test_nothing_added_gives_nothing():
    fast = PointMap(MapSettings(point_confidence=0.0))
    nothing = (np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), np.empty(0, np.float32))
    assert len(fast.add(*nothing)) == 0 and len(fast.points()) == 0
    assert len(fast.add(np.full((5, 3), np.nan, np.float32), np.zeros((5, 3), np.uint8), np.ones(5, np.float32))) == 0


@pytest.mark.parametrize("spread", [1.0, 1e6])
def test_maximum_holds_and_doubling_loses_nothing_else(spread):
    chosen = MapSettings(point_confidence=0.0, voxel_size=0.001, maximum_points=2000)
    fast = PointMap(chosen)
    everything = []
    for frame in range(20):
        points, colours, confidence = random_points(frame, 500, spread)
        everything.append(points)
        fast.add(points, colours, confidence)
        assert len(fast) <= 2000
    doublings = math.log2(fast.voxel_size / 0.001)
    assert doublings == round(doublings) >= 1
    # Every point ever given still has one of the map in its voxel.
    cells_of = lambda points: {tuple(c) for c in np.floor(points.astype(float) / fast.voxel_size).astype(int)}  # noqa: E731
    assert cells_of(fast.points().points_world) == cells_of(np.concatenate(everything))


def test_added_after_a_doubling_are_new_at_the_new_size():
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=1.0, maximum_points=1000))
    line = np.zeros((1600, 3), np.float32)
    line[:, 0] = np.arange(1600) + 0.25
    colours, confidence = np.zeros((1600, 3), np.uint8), np.arange(1600, dtype=np.float32) + 1
    assert len(fast.add(line[:901], colours[:901], confidence[:901])) == 901
    added = fast.add(line[901:], colours[901:], confidence[901:])
    assert fast.voxel_size == 4.0 and len(fast) == 400, "800 voxels of side 2 would leave too little room"
    # The voxel 900..904 was there already; from 904 on they are new.
    cells = (added.points_world[:, 0] // 4).astype(int)
    assert cells.tolist() == list(range(226, 400))
    confidence_of_cell = np.arange(904, 1600).reshape(-1, 4) + 1.0
    mean = (confidence_of_cell**2 * line[904:, 0].reshape(-1, 4)).sum(axis=1) / (confidence_of_cell**2).sum(axis=1)
    np.testing.assert_allclose(added.points_world[:, 0], mean, rtol=1e-6)


def test_another_size_of_voxels_fuses_all_points_again():
    fast, slow = PointMap(MapSettings(voxel_size=0.01)), NaiveMap(MapSettings(voxel_size=0.01))
    given = random_points(7, 500)
    fast.add(*given)
    slow.add(*given)
    fast.set_voxel_size(0.03)
    stored, slow.voxel_size, slow.cells = list(slow.cells.values()), 0.03, {}
    for entry in stored:
        slow.put(*entry)
    assert fast.voxel_size == 0.03 and len(fast) < len(stored)
    assert_same(fast.points(), slow)
    coarse = len(fast)
    fast.set_voxel_size(0.001)
    assert len(fast) == coarse, "what was fused stays fused"
    fast.add(*given)
    assert len(fast) > coarse


def test_another_maximum_holds_at_once():
    points = PointMap(MapSettings(voxel_size=0.01, maximum_points=5000))
    points.add(*random_points(3, 4000, spread=1.0))
    assert len(points) > 2000
    points.set_maximum(1000)
    assert len(points) <= 1000 and points.voxel_size > 0.01


def test_one_frame_larger_than_the_maximum():
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=1e-6, maximum_points=1000))
    points, colours, confidence = random_points(0, CHUNK + 5000, 10.0)
    added = fast.add(points, colours, confidence)
    assert 100 < len(fast) <= 1000
    assert np.array_equal(added.points_world, fast.points().points_world)


def test_points_returns_copies():
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=0.01))
    added = fast.add(*random_points(0, 100))
    before = fast.points()
    for values in (added, fast.points()):
        values.points_world[:], values.colours[:], values.confidence[:] = 7, 7, 7
    after = fast.points()
    assert np.array_equal(before.points_world, after.points_world) and np.array_equal(before.colours, after.colours)


def test_clear_forgets_points_and_size():
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=0.001, maximum_points=1000))
    fast.add(*random_points(0, 3000))
    assert fast.voxel_size > 0.001
    fast.clear()
    assert len(fast) == 0 and fast.voxel_size == 0.001
    points = random_points(1, 200)
    fast.add(*points)
    naive = NaiveMap(MapSettings(point_confidence=0.0, voxel_size=0.001))
    naive.add(*points)
    assert_same(fast.points(), naive)


def test_memory_is_bounded():
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=0.001, maximum_points=5000))
    for frame in range(30):
        fast.add(*random_points(frame, 2000, 1.0))
    assert fast.memory_bytes < 2_000_000
    assert len(fast._columns["confidence"]) <= 5000 + CHUNK


def test_wrong_shapes_are_refused():
    points, colours, confidence = random_points(0, 10)
    with pytest.raises(ValueError, match=r"expected \(N, 3\) points"):
        PointMap(MapSettings(point_confidence=0.0)).add(points, colours[:9], confidence)


def test_table_survives_keys_that_all_collide():
    # Keys that differ only where the hash does not look much: long runs of taken slots.
    table = VoxelHashMap(1000)
    keys = np.arange(3000, dtype=np.int64) << 50
    numbers, made = table.find_or_add(keys)
    assert np.array_equal(numbers, np.arange(3000)) and np.array_equal(made, np.arange(3000))
    again, made_again = table.find_or_add(keys[::-1].copy())
    assert np.array_equal(again, np.arange(3000)[::-1]) and len(made_again) == 0


def test_voxel_keys_differ_for_voxels_that_differ():
    rng = np.random.default_rng(0)
    cells = np.unique(rng.integers(-(2**19), 2**19, (100_000, 3)), axis=0)
    keys, has_key = voxel_keys((cells + 0.5).astype(np.float32), 1.0)
    assert has_key.all() and len(np.unique(keys)) == len(cells)


# ---- closed loops ------------------------------------------------------------------------------------------------


def correction(indices: list[int], shifts: list[list[float]], scales: list[float] | None = None) -> MapCorrection:
    count = len(indices)
    turns = np.tile(np.eye(3), (count, 1, 1))
    return MapCorrection(np.array(indices), Sim3(np.array(scales or [1.0] * count), turns, np.array(shifts, float)))


def rows(points: MapPoints) -> set[tuple[float, ...]]:
    return {tuple(row) for row in np.column_stack([points.points_world, points.colours, points.confidence])}


def test_points_move_with_the_frame_that_told_them_and_keep_colour_and_confidence(monkeypatch):
    monkeypatch.setattr(world_map, "CHUNK", 700)
    fast, expected = PointMap(MapSettings(point_confidence=0.0, voxel_size=0.001)), set()
    shifts, scales = [[0.0, 0, 0], [0.0, 40, 0], [8.0, 0, 16]], [1.0, 1.0, 2.0]
    for frame in (3, 5, 8, 9, 30):
        points, colours, confidence = random_points(frame, 500)
        confidence += np.arange(500, dtype=np.float32) / 1000
        fast.add(points, colours, confidence, frame)
    stored = [set(map(tuple, random_points(frame, 500)[0])) for frame in (3, 5, 8, 9, 30)]
    part = np.array([0, 0, 1, 1, 2])  # of the keyframes 4, 8 and 10
    before = fast.points()
    for row in np.column_stack([before.points_world, before.colours, before.confidence]):
        told_by = next(number for number, points in enumerate(stored) if tuple(row[:3]) in points)
        moved = np.float32(scales[part[told_by]]) * row[:3] + np.array(shifts[part[told_by]], np.float32)
        expected.add((*moved.astype(np.float32), *row[3:]))
    fast.correct(correction([4, 8, 10], shifts, scales))
    after = rows(fast.points())
    assert len(fast) == len(before) == len(expected) > 2000
    np.testing.assert_allclose(sorted(after), sorted(expected), atol=1e-6)


def test_a_correction_of_nothing_changes_nothing():
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=0.02))
    for frame in range(4):
        fast.add(*random_points(frame, 3000), frame)
    before = fast.points()
    fast.correct(correction([0, 2], [[0, 0, 0], [0, 0, 0]]))
    after = fast.points()
    assert np.array_equal(before.points_world, after.points_world) and np.array_equal(before.colours, after.colours)
    assert np.array_equal(before.confidence, after.confidence)
    empty = PointMap(MapSettings(point_confidence=0.0))
    empty.correct(correction([0], [[1, 0, 0]]))
    assert len(empty) == 0


def test_points_that_meet_become_their_mean_and_move_on_with_the_frame_of_the_more_confident_one():
    fast = PointMap(MapSettings(point_confidence=0.0, voxel_size=1.0))
    fast.add(np.float32([[0.5, 0.5, 0.5], [9.5, 0.5, 0.5]]), np.uint8([[1, 1, 1], [2, 2, 2]]), np.float32([3, 4]), 1)
    fast.add(np.float32([[5.6, 0.5, 0.5], [14.5, 0.5, 0.5]]), np.uint8([[3, 3, 3], [4, 4, 4]]), np.float32([5, 2]), 7)
    fast.correct(correction([0, 7], [[0, 0, 0], [-5.0, 0, 0]]))
    got = fast.points()
    # (9 x 1 + 25 x 3) / 34 is 2.5, (16 x 2 + 4 x 4) / 20 is 2.4.
    assert got.colours.tolist() == [[2, 2, 2], [2, 2, 2]] and got.confidence.tolist() == [5, 4]
    np.testing.assert_allclose(got.points_world[:, 0], [(9 * 0.5 + 25 * 0.6) / 34, 9.5], rtol=1e-6)
    assert len(fast.add(np.float32([[0.7, 0.2, 0.2]]), np.uint8([[9, 9, 9]]), np.float32([1]), 8)) == 0
    fast.correct(correction([0, 7], [[0, 0, 0], [0, 2.0, 0]]))  # each with the frame that told it
    # The point that came last, at 0.2, has a weight of 1 beside 34.
    np.testing.assert_allclose(fast.points().points_world[:, 1], [(34 * 0.5 + 0.2) / 35 + 2, 0.5], rtol=1e-6)


def test_after_many_corrections_the_map_is_bounded_and_still_the_best_of_every_voxel(monkeypatch):
    monkeypatch.setattr(world_map, "TUNING", replace(world_map.TUNING, reserved_map_points=100))
    fast, random = (
        PointMap(MapSettings(point_confidence=0.0, voxel_size=0.02, maximum_points=2000)),
        np.random.default_rng(0),
    )
    for frame in range(30):
        fast.add(*random_points(frame, 400), frame)
        if frame % 3 == 2:
            moved = random.normal(0, 0.05, (2, 3)).tolist()
            fast.correct(correction([0, frame], moved, [float(np.exp(random.normal(0, 0.1))), 1.0]))
        assert len(fast) <= 2000
        points = fast.points().points_world
        cells = np.floor(points.astype(float) * (1 / fast.voxel_size))
        assert len(np.unique(cells, axis=0)) == len(points)
    assert fast.memory_bytes < 2_000_000


def test_whatever_happens_to_a_map_its_length_is_that_of_its_points(monkeypatch):
    monkeypatch.setattr(world_map, "TUNING", replace(world_map.TUNING, views_that_carve=1))
    fast, random = PointMap(MapSettings(voxel_size=0.05, maximum_points=1500)), np.random.default_rng(1)
    for frame in range(60):
        points, colours, confidence = random_points(frame, 300, 0.3)
        points[:, 0] += 2
        added = fast.add(points, colours, confidence, frame, is_provisional=bool(random.integers(2)))
        assert len(np.unique(np.floor(added.points_world / fast.voxel_size), axis=0)) == len(added)
        if random.integers(3) == 0:
            fast.settle(int(random.integers(frame + 1)), frame, keep=bool(random.integers(2)))
        if random.integers(3) == 0:
            fast.carve(looking_along_x(float(random.uniform(1, 2))))
        got = fast.points()
        assert len(got) == len(fast) and (got.confidence > 0).all()
        assert len(np.unique(np.floor(got.points_world / fast.voxel_size), axis=0)) == len(got)
