"""The map behind the page: bounded, moved by loops, and what it hands out never changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from viewer_map import CAMERA, DEPTH, FRAMES_BETWEEN, STEP, WALL, pose, view

from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.io.map_axes import T_map_world
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.viewer.map_model import MapModel, ViewPlacement
from slam3r_ros.viewer.tuning import TUNING


def model_of(count: int) -> MapModel:
    model = MapModel()
    for number in range(count):
        model.apply(view(number))
        model.put_pose(FRAMES_BETWEEN * number, pose(number))
    return model


def test_a_keyframes_points_lie_in_the_maps_axes() -> None:
    (chunk,) = model_of(1).snapshot().chunks
    points = chunk.points_map()
    assert points.shape == (48 * 64, 3)
    np.testing.assert_allclose(points[:, 0], DEPTH, rtol=1e-3)  # x is forward
    left, up = (CAMERA.cx * DEPTH / CAMERA.fx, CAMERA.cy * DEPTH / CAMERA.fy)
    np.testing.assert_allclose(points[:, 1:].max(axis=0), [left, up], rtol=1e-3)
    np.testing.assert_allclose(points[:, 1:].min(axis=0), [-left, -up], rtol=1e-3)
    assert chunk.points.colours.max(axis=0).tolist() == list(WALL)
    assert chunk.thumbnail().shape == (48, 64, 3)


def test_a_view_with_a_known_number_replaces_the_earlier_one() -> None:
    model = model_of(3)
    model.apply(view(1, depth=3.0))
    snapshot = model.snapshot()
    assert [chunk.id for chunk in snapshot.chunks] == [0, 1, 2]
    np.testing.assert_allclose(snapshot.chunks[1].points_map()[:, 0], 3.0, rtol=1e-3)


def test_what_has_not_changed_is_the_same_object() -> None:
    model = model_of(3)
    before = model.snapshot()
    model.apply(view(3))
    after = model.snapshot()
    assert all(one is other for one, other in zip(before.chunks, after.chunks, strict=False))
    assert len(before.chunks) == 3 and len(after.chunks) == 4


def test_a_closed_loop_moves_keyframes_path_and_live_camera_and_is_remembered() -> None:
    model = model_of(3)
    shift, grown = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), np.array([1.0, 2.0])
    changes = Sim3(grown, np.stack([np.eye(3)] * 2), shift)
    loops = np.array([[1, 2 * FRAMES_BETWEEN + 1]])
    model.apply(MapCorrection(np.array([0, 2 * FRAMES_BETWEEN]), changes, loops))
    snapshot = model.snapshot()
    corrected = view(2).corrected(MapCorrection(np.array([0, 2 * FRAMES_BETWEEN]), changes))
    assert [chunk.scale for chunk in snapshot.chunks] == [1.0, 1.0, 2.0]
    np.testing.assert_allclose(snapshot.chunks[2].T_world_camera, corrected.T_world_camera)
    expected = corrected.points().points_world @ T_map_world[:3, :3].T
    np.testing.assert_allclose(snapshot.chunks[2].points_map().mean(axis=0), expected.mean(axis=0), rtol=1e-3)
    assert snapshot.T_map_camera is not None
    np.testing.assert_allclose(snapshot.T_map_camera, T_map_world @ corrected.T_world_camera)
    np.testing.assert_allclose(snapshot.path[-1][-1], snapshot.T_map_camera[:3, 3])
    assert snapshot.loops == ((0, 2),)
    assert snapshot.newest_view is not None and float(snapshot.newest_view.depth[0, 0]) == 2 * DEPTH


def test_placements_move_keyframes_that_are_known() -> None:
    model = model_of(2)
    model.place_views([ViewPlacement(1, pose(7), 0.5), ViewPlacement(99, pose(0), 1.0)])
    chunks = model.snapshot().chunks
    assert [chunk.scale for chunk in chunks] == [1.0, 0.5]
    np.testing.assert_allclose(chunks[1].T_world_camera, pose(7))


def test_points_are_bounded_and_the_rest_still_covers_the_image() -> None:
    model = MapModel(replace(TUNING, most_stored_points=20_000))
    for number in range(40):
        model.apply(view(number))
    chunks = model.snapshot().chunks
    sizes = [len(chunk.points) for chunk in chunks]
    assert len(chunks) == 40 and 10_000 < sum(sizes) <= 20_000
    assert min(sizes) == TUNING.least_stored_points
    points = chunks[0].points_map()
    counts, _, _ = np.histogram2d(points[:, 1], points[:, 2], bins=(4, 3))
    assert counts.min() > 0.6 * len(points) / 12  # spread evenly


def test_keyframes_are_bounded_and_the_newest_are_kept() -> None:
    model = MapModel(replace(TUNING, most_keyframes=50, always_kept_keyframes=8))
    for number in range(400):
        model.apply(view(number))
    ids = [chunk.id for chunk in model.snapshot().chunks]
    assert len(ids) <= 50 and ids[-8:] == list(range(392, 400)) and ids[0] == 0
    assert max(np.diff(ids)) <= 32


def test_the_path_is_bounded_and_only_its_end_is_made_anew() -> None:
    model = MapModel(replace(TUNING, most_path_points=100, path_piece_points=16))
    for index in range(1000):
        model.put_pose(index, pose(index))
    before = model.snapshot().path
    assert sum(len(piece) - 1 for piece in before) <= 100
    np.testing.assert_array_equal(before[0][-1], before[1][0])
    for index in range(1000, 1000 + 17):
        model.put_pose(index, pose(index))
    after = model.snapshot().path
    assert all(one is other for one, other in zip(before[:-1], after, strict=False))
    assert after[-1] is not before[-1]
    np.testing.assert_allclose(np.diff(np.concatenate(after)[:3, 1]), [-16 * STEP] * 2)


def test_a_new_map_has_another_number_and_nothing_in_it() -> None:
    model = model_of(2)
    model.set_scale(2.0)
    before = model.snapshot()
    model.clear()
    after = model.snapshot()
    assert after.map_number == before.map_number + 1
    assert not after.chunks and not after.path and after.T_map_camera is None and after.newest_view is None
    assert after.unit == 2.0 and after.length_text(1.5) == "3 m"
