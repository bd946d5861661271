"""Removing points from a map file, and its scale: what is gone, what stays to the bit, and how it comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from viewer_map import DEPTH, write_map_file

from slam3r_ros.map_file.editing import MapFileEditor
from slam3r_ros.map_file.errors import MapFileError, MapFileInUseError
from slam3r_ros.map_file.file_lock import FileLock
from slam3r_ros.map_file.reader import MapFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A map file of three keyframes along a wall."""
    return write_map_file(tmp_path / "wall.slam3r", 3)


def depths(path: Path) -> list[NDArray[np.float32]]:
    with MapFile(path) as file:
        return [file.keyframe(id).depth for id in file.keyframe_ids()]


def points(path: Path) -> NDArray[np.float32]:
    with MapFile(path) as file:
        return file.points().points_world


def is_right(points_world: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether points lie to the right of the second keyframe's camera."""
    right: NDArray[np.bool_] = points_world[:, 0] > 0.5
    return right


def test_points_are_gone_from_keyframes_and_map_and_come_back(path: Path) -> None:
    before, before_points = depths(path), points(path)
    editor = MapFileEditor(path)
    assert not editor.can_undo
    count = editor.remove_points(is_right)
    after = depths(path)
    assert count == sum(int(np.isnan(depth).sum()) for depth in after)
    assert np.isnan(after[1][:, 32:]).all() and not np.isnan(after[1][:, :31]).any()
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new[np.isfinite(new)], old[np.isfinite(new)])  # the others stay to the bit
    left = points(path)
    assert 0 < len(left) < len(before_points) and left[:, 0].max() < 0.5 + 1e-3

    assert editor.remove_points(lambda each: np.ones(len(each), bool)) > 0
    assert len(points(path)) == 0
    editor.undo()
    np.testing.assert_allclose(points(path), left, atol=1e-4)
    editor.undo()
    for old, new in zip(before, depths(path), strict=True):
        np.testing.assert_array_equal(new, old)
    np.testing.assert_array_equal(points(path), before_points)
    assert not editor.can_undo


def test_nothing_is_written_where_nothing_is_hit(path: Path) -> None:
    content = path.read_bytes()
    editor = MapFileEditor(path)
    assert editor.remove_points(lambda each: each[:, 2] > 2 * DEPTH) == 0
    assert path.read_bytes() == content and not editor.can_undo


def test_the_scale_is_the_users(path: Path) -> None:
    MapFileEditor(path).set_scale(2.5)
    with MapFile(path) as file:
        assert (file.scale().metres_per_unit, file.scale().source) == (2.5, "user")
        assert file.reconstruction().metres_per_unit == 2.5


def test_a_file_that_is_being_written_is_left_alone(path: Path) -> None:
    lock = FileLock(path)
    try:
        with pytest.raises(MapFileInUseError, match="being written"):
            MapFileEditor(path).remove_points(is_right)
    finally:
        lock.release()
    assert not any(np.isnan(depth).any() for depth in depths(path))


def test_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.slam3r").write_text("no map")
    with pytest.raises(MapFileError, match=r"no\.slam3r"):
        MapFileEditor(tmp_path / "no.slam3r").remove_points(is_right)
