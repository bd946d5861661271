"""Exports of every format: what is chosen, in which unit, and what is never lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from slanted_wall import keyframe, reconstruction

from slam3r_ros.export.formats import FORMATS, export
from slam3r_ros.export.npz import ARRAYS
from slam3r_ros.export.scene import ExportOptions, ExportScene
from slam3r_ros.io.files import OutputError
from slam3r_ros.io.ply import read_ply
from slam3r_ros.io.save import NothingMappedError
from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.types import MapPoints


def target(folder: Path, name: str) -> Path:
    return folder / f"map{FORMATS[name].suffix}"


def emptied() -> MapPoints:
    return MapPoints(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), np.empty(0, np.float32))


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_replaces_a_good_result_by_an_empty_one(name: str, tmp_path: Path) -> None:
    path = target(tmp_path / "new" / "folder", name)
    exported = export(reconstruction(), name, path)
    assert exported.count == (10 if name == "tum" else 500) and exported.path == path
    before = {file: file.read_bytes() for file in path.parent.rglob("*") if file.is_file()}
    assert before
    empty = replace(reconstruction(), points=emptied(), trajectory=[])
    with pytest.raises(NothingMappedError, match="no (points|poses) to export: .* stays as it is"):
        export(empty, name, path)
    assert {file: file.read_bytes() for file in path.parent.rglob("*") if file.is_file()} == before
    with pytest.raises(NothingMappedError, match="is not written"):
        export(empty, name, target(tmp_path / "other", name))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_replaces_an_earlier_one_and_leaves_nothing_beside_it(name: str, tmp_path: Path) -> None:
    path = target(tmp_path, name)
    export(reconstruction(4), name, path)
    export(reconstruction(2), name, path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    if name == "colmap":
        assert len(list((path / "images").iterdir())) == 2


@pytest.mark.parametrize("name", FORMATS)
def test_what_cannot_be_written_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("words")
    path = target(tmp_path / "file", name)
    with pytest.raises(OutputError, match=r"cannot (make|write)"):
        export(reconstruction(), name, path)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_points_are_chosen_by_confidence_and_number() -> None:
    scene = ExportScene.of(reconstruction(), ExportOptions(confidence=5.5))
    assert len(scene.points) == 250 and scene.points.confidence.min() >= 5.5
    few = [ExportScene.of(reconstruction(), ExportOptions(max_points=100)).points for _ in range(2)]
    assert len(few[0]) == 100 and np.array_equal(few[0].points_world, few[1].points_world)
    assert np.ptp(few[0].confidence) > 7, "drawn from all of them"
    assert len(ExportScene.of(reconstruction(), ExportOptions(max_points=500)).points) == 500


@pytest.mark.parametrize(
    ("known", "given", "unit"), [(0.0, None, 1.0), (2.5, None, 2.5), (2.5, 4.0, 4.0), (0, 3.0, 3.0)]
)
def test_lengths_are_metres_where_they_are_known(
    known: float, given: float | None, unit: float, tmp_path: Path
) -> None:
    source, options = reconstruction(metres_per_unit=known), ExportOptions(metres_per_unit=given)
    exported = export(source, "ply", tmp_path / "map.ply", options)
    assert exported.lengths == ("scene units" if unit == 1 else "metres")
    assert f"lengths in {exported.lengths}".encode() in (tmp_path / "map.ply").read_bytes()
    x, y, z = source.points.points_world.T
    np.testing.assert_allclose(read_ply(tmp_path / "map.ply").points_world, unit * np.stack([z, -x, -y], 1), rtol=1e-6)
    export(source, "tum", tmp_path / "map.tum", options)
    pose = read_trajectory(tmp_path / "map.tum")[4].T_world_camera
    tx, ty, tz = source.trajectory[4].T_world_camera[:3, 3]
    np.testing.assert_allclose(pose[:3, 3], unit * np.array([tz, -tx, -ty]), rtol=1e-6)


def test_points_that_are_not_finite_are_left_out() -> None:
    source = reconstruction()
    source.points.points_world[7, 1] = np.nan
    assert len(ExportScene.of(source).points) == 499


def test_the_arrays_of_an_npz_are_the_documented_ones(tmp_path: Path) -> None:
    source = reconstruction(metres_per_unit=2.0)
    export(source, "npz", tmp_path / "map.npz")
    with np.load(tmp_path / "map.npz") as arrays:
        names = {name if not name[-6:].isdigit() else f"{name[:-6]}NNNNNN" for name in arrays.files}
        assert names == set(ARRAYS)
        view = keyframe(2)
        np.testing.assert_array_equal(arrays["image_000002"], view.image)
        np.testing.assert_array_equal(arrays["depth_000002"], 2 * view.depth)
        np.testing.assert_array_equal(arrays["keyframe_ids"], [0, 1, 2, 3])
        np.testing.assert_array_equal(arrays["keyframe_stamps_ns"], 10**9 + 10**8 * np.arange(4))
        np.testing.assert_array_equal(arrays["keyframe_intrinsics"][1], [160, 120, 150, 140, 83, 57.5])
        np.testing.assert_array_equal(arrays["loops"], [[0, 3]])
        assert (
            arrays["metres_per_unit"].shape == ()
            and arrays["metres_per_unit"] == 2
            and arrays["trajectory_poses"].shape == (10, 4, 4)
        )
        # A pixel's depth, taken to the map by pose and intrinsics, lies on the wall: z = 2 + 0.3 x in the engine's.
        fx, fy, cx, cy = arrays["keyframe_intrinsics"][2][2:]
        z = arrays["depth_000002"][10, 20]
        column, row = (20 + 0.5) * 2 - 0.5, (10 + 0.5) * 2 - 0.5
        ray = np.array([(column - cx) / fx, (row - cy) / fy, 1.0]) * z
        forward, left, _ = arrays["keyframe_poses"][2][:3, :3] @ ray + arrays["keyframe_poses"][2][:3, 3]
        assert forward == pytest.approx(2 * 2 - 0.3 * left, abs=1e-4)


@pytest.mark.parametrize("name", ["ply", "pcd"])
def test_open3d_reads_positions_and_colours(name: str, tmp_path: Path) -> None:
    open3d = pytest.importorskip("open3d")
    source = reconstruction()
    export(source, name, tmp_path / f"map.{name}")
    cloud = open3d.io.read_point_cloud(str(tmp_path / f"map.{name}"))
    x, y, z = source.points.points_world.T
    np.testing.assert_allclose(np.asarray(cloud.points), np.stack([z, -x, -y], axis=1), atol=1e-6)
    np.testing.assert_allclose(np.asarray(cloud.colors) * 255, source.points.colours, atol=0.01)


def test_trimesh_reads_positions_and_colours_of_a_ply(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    source = reconstruction()
    export(source, "ply", tmp_path / "map.ply")
    cloud = trimesh.load(tmp_path / "map.ply")
    x, y, z = source.points.points_world.T
    np.testing.assert_allclose(cloud.vertices, np.stack([z, -x, -y], axis=1), atol=1e-6)
    np.testing.assert_array_equal(cloud.colors[:, :3], source.points.colours)
