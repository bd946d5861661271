"""A saved map on the page: what is shown is what the file has, and the buttons change the file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh
from viewer_map import view, write_map_file

from slam3r_ros.cli.view import map_file_in
from slam3r_ros.geometry.se3 import invert_rigid
from slam3r_ros.io.files import FileFormatError
from slam3r_ros.io.map_axes import T_map_world
from slam3r_ros.map_file.file_lock import FileLock
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.viewer.map_actions import ActionError
from slam3r_ros.viewer.map_model import MapModel
from slam3r_ros.viewer.picking import Selection
from slam3r_ros.viewer.saved_map import SavedMapActions, show_map


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_map_file(tmp_path / "wall.slam3r", 3)


@pytest.fixture
def model(path: Path) -> MapModel:
    made = MapModel()
    show_map(path, made)
    return made


def left_half(number: int) -> Selection:
    """The left half of a keyframe's picture."""
    T = invert_rigid(T_map_world @ view(number).T_world_camera)
    return Selection(T, float(2 * np.arctan(48 / 100)), 64 / 48, (0.0, 0.0), (0.5, 1.0))


def test_all_keyframes_path_and_state_are_shown(model: MapModel) -> None:
    snapshot = model.snapshot()
    assert [chunk.id for chunk in snapshot.chunks] == [0, 1, 2]
    np.testing.assert_allclose(snapshot.chunks[2].T_world_camera, view(2).T_world_camera)
    assert (snapshot.status.state, snapshot.status.reason) == ("SAVED", "wall.slam3r")
    assert snapshot.T_map_camera is not None
    np.testing.assert_allclose(snapshot.T_map_camera, T_map_world @ view(2).T_world_camera)
    assert sum(len(piece) - 1 for piece in snapshot.path) == 2


def test_a_rectangle_removes_points_of_the_file_and_undo_brings_them_back(path: Path, model: MapModel) -> None:
    actions = SavedMapActions(path, model)
    before = [len(chunk.points) for chunk in model.snapshot().chunks]
    assert "points are removed from wall.slam3r" in actions.remove_points(left_half(0), inside=True)
    shown = [len(chunk.points) for chunk in model.snapshot().chunks]
    assert shown[0] < 0.6 * before[0]
    with MapFile(path) as file:
        stored = [int(np.isfinite(file.keyframe(id).depth).sum()) for id in file.keyframe_ids()]
    np.testing.assert_allclose(shown, stored, atol=100)  # those at the edge of the rectangle are rounded either way
    actions.undo_removal()
    assert [len(chunk.points) for chunk in model.snapshot().chunks] == before
    with pytest.raises(ActionError, match="nothing was removed"):
        actions.undo_removal()


def test_the_scale_goes_into_the_file_and_what_is_exported(path: Path, model: MapModel, tmp_path: Path) -> None:
    actions = SavedMapActions(path, model)
    before = np.ptp(trimesh.load(actions.export("ply", tmp_path)).vertices, axis=0)
    actions.set_scale(2.0)
    assert model.snapshot().unit == 2.0
    after = np.ptp(trimesh.load(actions.export("ply", tmp_path)).vertices, axis=0)
    np.testing.assert_allclose(after, 2 * before, rtol=1e-4)


def test_colmaps_folder_is_downloaded_as_one_file(path: Path, model: MapModel, tmp_path: Path) -> None:
    archive = SavedMapActions(path, model).export("colmap", tmp_path)
    assert archive.name == "wall-colmap.zip"
    names = zipfile.ZipFile(archive).namelist()
    assert "sparse/0/cameras.txt" in names and sum(name.startswith("images/") for name in names) == 1 + 3


def test_a_file_that_is_being_written_is_not_changed(path: Path, model: MapModel) -> None:
    lock = FileLock(path)
    try:
        for action in (
            lambda: SavedMapActions(path, model).set_scale(1.0),
            lambda: SavedMapActions(path, model).remove_points(left_half(0), inside=True),
        ):
            with pytest.raises(ActionError, match="being written"):
                action()
    finally:
        lock.release()


def test_a_folder_with_one_map_file_names_it(path: Path, tmp_path: Path) -> None:
    assert map_file_in(tmp_path) == path
    assert map_file_in(path) == path
    with pytest.raises(FileFormatError, match="there is no"):
        map_file_in(tmp_path / "missing")
    (tmp_path / "other.slam3r").touch()
    with pytest.raises(FileFormatError, match=r"expected one map file .* found other.slam3r, wall.slam3r"):
        map_file_in(tmp_path)
