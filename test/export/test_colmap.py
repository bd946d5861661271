"""COLMAP's model, as pycolmap reads it: poses, intrinsics, points, and pixels that show what they should."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from slanted_wall import CAMERA, keyframe, pose, reconstruction

from slam3r_ros.export import colmap
from slam3r_ros.export.formats import export
from slam3r_ros.export.observations import observations
from slam3r_ros.io.files import OutputError
from slam3r_ros.io.map_axes import T_map_world
from slam3r_ros.io.save import NothingMappedError

pycolmap = pytest.importorskip("pycolmap")
METRES = 2.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "model"
    exported = export(reconstruction(metres_per_unit=METRES), "colmap", path)
    assert exported.count == 500 and exported.lengths == "metres"
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> pycolmap.Reconstruction:
    return pycolmap.Reconstruction(folder / "sparse" / "0")


def test_poses_take_the_map_to_the_camera(model: pycolmap.Reconstruction) -> None:
    assert sorted(image.name for image in model.images.values()) == [f"{n:06d}.png" for n in range(4)]
    for image in model.images.values():
        number = int(image.name[:6])
        T_map_camera = T_map_world @ pose(number)
        T_map_camera[:3, 3] *= METRES
        np.testing.assert_allclose(image.cam_from_world().matrix(), np.linalg.inv(T_map_camera)[:3], atol=1e-9)


def test_all_images_share_one_camera_whose_pixel_centres_are_at_halves(model: pycolmap.Reconstruction) -> None:
    (camera,) = model.cameras.values()
    assert camera.model_name == "PINHOLE" and (camera.width, camera.height) == (160, 120)
    assert camera.params.tolist() == [CAMERA.fx, CAMERA.fy, CAMERA.cx + 0.5, CAMERA.cy + 0.5]


def test_points_and_colours_are_those_of_the_map(model: pycolmap.Reconstruction) -> None:
    x, y, z = METRES * reconstruction().points.points_world.T
    got = np.array([model.points3D[n + 1].xyz for n in range(500)])
    np.testing.assert_allclose(got, np.stack([z, -x, -y], axis=1), atol=1e-6)
    colours = np.array([model.points3D[n + 1].color for n in range(500)])
    np.testing.assert_array_equal(colours, reconstruction().points.colours)
    assert min(point.track.length() for point in model.points3D.values()) >= 1
    assert model.compute_mean_track_length() > 2


def test_observations_are_projections(model: pycolmap.Reconstruction) -> None:
    for image in model.images.values():
        assert image.num_points2D() > 100
        for seen in image.points2D:
            projected = image.project_point(model.points3D[seen.point3D_id].xyz)
            np.testing.assert_allclose(projected, seen.xy, atol=2e-3)


def test_pixels_of_the_exported_images_have_the_colours_of_the_points(
    folder: Path, model: pycolmap.Reconstruction
) -> None:
    """A pixel has 4 to 6 levels of red per pixel: half a pixel off would be a mean difference above 2."""
    differences = []
    for image in model.images.values():
        pixels = cv2.imread(str(folder / "images" / image.name))[:, :, ::-1].astype(np.float32)
        for seen in image.points2D:
            column, row = seen.xy - 0.5  # OpenCV's coordinates
            if 1 < column < 158 and 1 < row < 118:
                colour = cv2.getRectSubPix(pixels, (1, 1), (float(column), float(row)))[0, 0]
                differences.append(np.abs(colour - model.points3D[seen.point3D_id].color))
    assert len(differences) > 1000
    assert np.median(differences) < 0.5 and np.mean(differences) < 0.7


def test_a_keyframe_does_not_see_what_its_depth_contradicts() -> None:
    points, view = reconstruction().points.points_world, keyframe(1)
    hidden = replace(view, depth=view.depth * np.float32(0.9))
    unknown = replace(view, depth=np.full_like(view.depth, np.nan))
    seen, *others = observations(points, [view, hidden, unknown])
    assert len(seen.points) > 100 and [len(other.points) for other in others] == [0, 0]
    behind = points - np.float32([0, 0, 10])
    assert [len(each.points) for each in observations(behind, [view])] == [0]


def test_points_that_no_keyframe_sees_are_left_out(tmp_path: Path) -> None:
    source = reconstruction()
    source.points.points_world[:10, 2] += 1
    assert export(source, "colmap", tmp_path / "model").count == 490
    model = pycolmap.Reconstruction(tmp_path / "model" / "sparse" / "0")
    assert sorted(model.points3D) == list(range(11, 501))
    source.points.points_world[:, 2] += 1
    with pytest.raises(OutputError, match="no point is seen by a keyframe"):
        export(source, "colmap", tmp_path / "model")
    assert len(pycolmap.Reconstruction(tmp_path / "model" / "sparse" / "0").points3D) == 490
    with pytest.raises(NothingMappedError, match="no keyframes with images to export"):
        export(replace(source, keyframes=[]), "colmap", tmp_path / "model")


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="holds other files than those of an export"):
        export(reconstruction(), "colmap", tmp_path / "home")
    assert (tmp_path / "home" / "thesis.tex").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_an_earlier_model_is_there_until_the_new_one_is(tmp_path: Path) -> None:
    path, missing, looks = tmp_path / "model", 0, 0
    export(reconstruction(2), "colmap", path)
    ended = threading.Event()

    def replace_often() -> None:
        for number in range(12):
            export(reconstruction(2 + number % 2), "colmap", path)
        ended.set()

    thread = threading.Thread(target=replace_often)
    thread.start()
    while not ended.is_set():
        missing += not (path / "sparse" / "0" / "points3D.txt").is_file()
        looks += 1
    thread.join()
    assert missing == 0 and looks > 12
    assert len(pycolmap.Reconstruction(path / "sparse" / "0").images) == 3
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_export_that_breaks_off_leaves_the_earlier_model(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    export(reconstruction(2), "colmap", path)

    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(colmap, "_write_points", fail)
    with pytest.raises(error):
        export(reconstruction(3), "colmap", path)
    assert len(pycolmap.Reconstruction(path / "sparse" / "0").images) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_a_link_to_a_model_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "model").symlink_to(tmp_path / "disk")
    export(reconstruction(2), "colmap", tmp_path / "model")
    assert (tmp_path / "model").is_symlink()
    assert len(pycolmap.Reconstruction(tmp_path / "disk" / "sparse" / "0").images) == 2
