"""Every layout gives the same sequence; what is missing or wrong is named, and the rest is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic import textured_image
from wall_sequence import (
    CAMERA,
    STAMP_STEP_NS,
    depth_m,
    pose,
    stamp_ns,
    write_depth,
    write_folder,
    write_image,
    write_poses,
    write_replica,
    write_seven_scenes,
    write_tum,
)

from slam3r_lab.sequences.readers import open_sequence, sequence_folders
from slam3r_lab.sequences.sequence import SequenceError
from slam3r_lab.sequences.truth import true_pointmap

WRITERS = {"folder": write_folder, "tum-rgbd": write_tum, "7-scenes": write_seven_scenes, "replica": write_replica}


@pytest.mark.parametrize("layout", WRITERS)
def test_layouts_are_told_apart_and_read(layout: str, tmp_path: Path) -> None:
    writer: Callable[[Path, int], Path] = WRITERS[layout]
    sequence = open_sequence(writer(tmp_path / "scene", 4))
    assert (sequence.layout, len(sequence), sequence.camera, sequence.problems) == (layout, 4, CAMERA, [])
    for number, frame in enumerate(sequence.frames):
        assert frame.T_world_camera == pytest.approx(pose(number))
        depth = sequence.depth(frame)
        assert depth is not None and depth == pytest.approx(np.full((48, 64), depth_m(number)), abs=6e-4)
        assert sequence.image(frame).shape == (48, 64, 3)
        assert np.abs(sequence.image(frame).astype(int) - textured_image(number)).mean() < 8  # Replica's are JPEGs
    steps = np.diff([frame.stamp_ns for frame in sequence.frames])
    assert steps == pytest.approx(STAMP_STEP_NS if layout in ("folder", "tum-rgbd") else 1e9 / 30, rel=1e-6)


def test_seven_scenes_marks_missing_depth(tmp_path: Path) -> None:
    folder = write_seven_scenes(tmp_path / "chess" / "seq-01", 2)
    raw = np.full((48, 64), 2000, np.uint16)
    raw[0, 0], raw[0, 1] = 65535, 0
    cv2.imwrite(str(folder / "frame-000000.depth.png"), raw)
    sequence = open_sequence(folder)
    depth = sequence.depth(sequence.frames[0])
    assert depth is not None and depth[0, :3].tolist() == [0, 0, 2]
    assert sequence.name == "chess/seq-01"


def test_scene_of_seven_scenes_is_its_test_split(tmp_path: Path) -> None:
    for name in ("seq-01", "seq-02", "seq-03"):
        write_seven_scenes(tmp_path / name, 1)
    assert [path.name for path in sequence_folders(tmp_path)] == ["seq-01", "seq-02", "seq-03"]
    (tmp_path / "TestSplit.txt").write_text("sequence3\nsequence1\n")
    assert [path.name for path in sequence_folders(tmp_path)] == ["seq-01", "seq-03"]


def test_tum_calibration_takes_the_distortion_out(tmp_path: Path) -> None:
    folder = write_tum(tmp_path / "rgbd_dataset_freiburg1_desk", 2)
    (folder / "intrinsics.txt").unlink()
    sequence = open_sequence(folder)
    assert sequence.recorded_camera is not None and sequence.recorded_camera.is_distorted
    assert sequence.camera is not None and not sequence.camera.is_distorted
    changed = np.abs(sequence.image(sequence.frames[0]).astype(int) - textured_image(0)).mean()
    assert changed > 1
    depth = sequence.depth(sequence.frames[0])
    assert depth is not None and set(np.unique(depth)) <= {0, np.float32(depth_m(0))}


# ---- bad input: what can be used is used, the rest is named


def test_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match="nowhere' does not exist"):
        open_sequence(tmp_path / "nowhere")


def test_empty_folder_lists_the_layouts(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match=r"is empty; layouts known: tum-rgbd \(rgb.txt.*7-scenes.*replica.*folder"):
        open_sequence(tmp_path)


def test_file_and_unknown_layout(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(SequenceError, match="is a file: give the folder"):
        open_sequence(tmp_path / "a.txt")
    with pytest.raises(SequenceError, match="has none of the layouts known"):
        open_sequence(tmp_path)
    with pytest.raises(SequenceError, match="layout 'kitti' is unknown; known: tum-rgbd, 7-scenes, replica, folder"):
        open_sequence(tmp_path, "kitti")


def test_without_depth(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, 3)
    for path in (folder / "depth").iterdir():
        path.unlink()
    sequence = open_sequence(folder)
    assert sequence.problems == ["no depth"]
    assert sequence.depth(sequence.frames[0]) is None
    assert true_pointmap(sequence, sequence.frames[0], (32, 32)) is None


def test_without_poses_and_intrinsics(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, 3)
    (folder / "poses.txt").unlink()
    (folder / "intrinsics.txt").unlink()
    sequence = open_sequence(folder)
    assert sequence.problems == ["no true pose", "no intrinsics: depth cannot be used, so there is no true cloud"]
    assert [frame.T_world_camera for frame in sequence.frames] == [None] * 3


def test_fewer_poses_than_images(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, 5)
    write_poses(folder / "poses.txt", [0, 1, 2])
    sequence = open_sequence(folder)
    assert sequence.problems == [
        "poses.txt has 3 poses for 5 images",
        "2 of 5 images have no true pose, the first is image 3",
    ]
    assert sequence.frames[2].T_world_camera == pytest.approx(pose(2))
    assert sequence.frames[3].T_world_camera is None


def test_poses_that_are_none(tmp_path: Path) -> None:
    folder = write_seven_scenes(tmp_path, 3)
    (folder / "frame-000001.pose.txt").write_text("nan " * 16)
    (folder / "frame-000002.pose.txt").write_text("1 2 3")
    sequence = open_sequence(folder)
    assert sequence.problems == [
        "frame-000002.pose.txt not used: expected 16 numbers, got 3",
        "1 true poses left out: not finite, or no rotation",
        "2 of 3 images have no true pose, the first is image 1",
    ]


def test_a_rotation_that_is_not_quite_one_becomes_the_nearest(tmp_path: Path) -> None:
    folder = write_seven_scenes(tmp_path, 2)
    inexact = pose(1)
    inexact[:3, :3] *= 0.9998
    (folder / "frame-000001.pose.txt").write_text(" ".join(map(repr, inexact.ravel().tolist())))
    first, second = open_sequence(folder).frames
    assert first.T_world_camera == pytest.approx(pose(0))
    assert second.T_world_camera == pytest.approx(pose(1), abs=1e-12)


def test_unequal_sizes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, 3)
    cv2.imwrite(str(folder / "rgb" / "000001.png"), textured_image(1, 96, 128)[:, :, ::-1])
    cv2.imwrite(str(folder / "rgb" / "000002.png"), textured_image(2, 60, 64)[:, :, ::-1])
    sequence = open_sequence(folder)
    cameras = [sequence.camera_of(sequence.image(frame)) for frame in sequence.frames]
    assert cameras == [CAMERA, CAMERA.scaled(128, 96), None]
    assert sequence.problems == ["intrinsics not used for images of 64 x 60 pixels: they are for 64 x 48"]


def test_unsorted_numbering_is_taken_by_number(tmp_path: Path) -> None:
    for number in (10, 9, 2):
        write_image(tmp_path / f"{number}.png", number)
    sequence = open_sequence(tmp_path)
    assert [frame.image_path.stem for frame in sequence.frames] == ["2", "9", "10"]
    assert sequence.problems[0] == "numbering has gaps: 1, the first after number 2"


def test_gapped_numbering_takes_the_pose_of_the_number(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, 6)
    for number in (1, 2, 4):
        (folder / "rgb" / f"{number:06d}.png").unlink()
    sequence = open_sequence(folder)
    assert "poses.txt has 6 poses for 3 images" in sequence.problems
    for frame, number in zip(sequence.frames, (0, 3, 5), strict=True):
        assert frame.T_world_camera == pytest.approx(pose(number))
        assert frame.depth_path is not None and frame.depth_path.stem == frame.image_path.stem


def test_every_second_number_is_no_gap(tmp_path: Path) -> None:
    for number in (0, 2, 4):
        write_image(tmp_path / f"{number}.png", number)
    assert not any("numbering" in problem for problem in open_sequence(tmp_path).problems)


def test_poses_out_of_order_are_sorted(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, 3)
    write_poses(folder / "poses.txt", [2, 0, 1])
    sequence = open_sequence(folder)
    assert sequence.problems == ["poses.txt was not in the order of time: sorted"]
    assert [frame.stamp_ns for frame in sequence.frames] == [stamp_ns(number) for number in range(3)]
    assert sequence.frames[2].T_world_camera == pytest.approx(pose(2))


@pytest.mark.parametrize("layout", ["folder", "tum-rgbd"])
def test_stamps_that_do_not_match(layout: str, tmp_path: Path) -> None:
    folder = WRITERS[layout](tmp_path, 3)
    if layout == "folder":
        (folder / "timestamps.txt").write_text("".join(f"{100 + number}\n" for number in range(3)))
    else:
        write_poses(folder / "groundtruth.txt", [0, 1, 2], offset_ns=10**12)
    sequence = open_sequence(folder)
    assert sequence.problems[0].startswith("stamps do not match")
    assert sequence.problems[1] == "no true pose"


def test_stamps_of_images_find_their_poses_by_time(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, 3)
    write_poses(folder / "poses.txt", list(range(8)))
    (folder / "timestamps.txt").write_text("".join(f"{(stamp_ns(n) + 4_000_000) / 1e9}\n" for n in (1, 3, 7)))
    sequence = open_sequence(folder)
    assert sequence.problems == []
    for frame, number in zip(sequence.frames, (1, 3, 7), strict=True):
        assert frame.T_world_camera == pytest.approx(pose(number))


def test_truncated_images_are_named_when_they_are_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, 2)
    for path in (folder / "rgb" / "000000.png", folder / "depth" / "000000.png"):
        path.write_bytes(path.read_bytes()[:-30])
    sequence = open_sequence(folder)
    with pytest.raises(SequenceError, match=r"000000.png: compressed image: a PNG that breaks off"):
        sequence.image(sequence.frames[0])
    with pytest.raises(SequenceError, match=r"000000.png: expected a whole image of one channel"):
        sequence.depth(sequence.frames[0])
    assert sequence.image(sequence.frames[1]).shape == (48, 64, 3)


def test_missing_files_of_tum(tmp_path: Path) -> None:
    folder = write_tum(tmp_path, 3)
    next((folder / "rgb").iterdir()).unlink()
    (folder / "depth.txt").write_text("1.0\nx depth/a.png\n")
    sequence = open_sequence(folder)
    assert len(sequence) == 2
    assert "rgb.txt: 1 of 3 images are not there" in sequence.problems
    assert "depth.txt: a line left out: expected a stamp and a file, got '1.0'" in sequence.problems
    assert "depth.txt: a line left out: expected a time in seconds, got 'x'" in sequence.problems
    assert "no depth" in sequence.problems


def test_replica_without_its_camera_takes_the_usual_one(tmp_path: Path) -> None:
    folder = write_replica(tmp_path / "room0", 1)
    (tmp_path / "cam_params.json").write_text("{}")
    sequence = open_sequence(folder)
    assert sequence.camera is not None and sequence.camera.width == 1200
    assert sequence.problems[0].startswith("cam_params.json not used, Replica's usual camera taken")


# ---- what is true of a crop


def test_true_points_lie_on_the_wall(tmp_path: Path) -> None:
    sequence = open_sequence(write_folder(tmp_path, 2))
    truth = true_pointmap(sequence, sequence.frames[1], (32, 32))
    assert truth is not None and truth.valid.all()
    assert truth.points_world()[..., 2] == pytest.approx(np.full((32, 32), 2.0), abs=6e-4)
    pixels = truth.points_camera[..., :2] / truth.points_camera[..., 2:] * [truth.camera.fx, truth.camera.fy]
    assert pixels[5, 7] + [truth.camera.cx, truth.camera.cy] == pytest.approx([7, 5], abs=1e-4)


def test_depth_of_another_size_is_used(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, 1)
    cv2.imwrite(str(folder / "depth" / "000000.png"), np.full((24, 32), 2000, np.uint16))
    sequence = open_sequence(folder)
    truth = true_pointmap(sequence, sequence.frames[0], (32, 32))
    assert truth is not None and truth.points_camera[0, 0, 2] == 2
    assert truth.camera.fy == pytest.approx(CAMERA.fy * 32 / 48)


def test_every_takes_frames_and_keeps_their_stamps(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, 7)
    write_depth(folder / "depth" / "000006.png", 6)
    thinned = open_sequence(folder).every(3, 2)
    assert [frame.index for frame in thinned.frames] == [0, 3]
    assert [frame.stamp_ns for frame in thinned.frames] == [stamp_ns(0), stamp_ns(3)]
    assert thinned.rate_hz == pytest.approx(10 / 3)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        thinned.every(0)
