"""Directories of images as sources."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from slam3r_ros.io.sources import SourceError, open_source
from slam3r_ros.io.sources.base import PROBLEMS_LIMIT
from slam3r_ros.io.sources.file_order import in_order


def image_of(grey: int, height: int = 24, width: int = 32) -> np.ndarray:
    return np.full((height, width, 3), grey, np.uint8)


def write_images(folder, names, height=24, width=32) -> None:
    """Image i is uniformly 10 * i."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), image_of(10 * index, height, width))


def greys(source) -> list[int]:
    return [round(float(frame.image.mean()) / 10) for frame in source]


def test_natural_order_and_stamps_from_the_rate(tmp_path):
    write_images(tmp_path, ["a1.png", "a2.png", "a10.png", "b1.png", "b1_2.png"])
    source = open_source(str(tmp_path))
    assert greys(source) == [0, 1, 2, 3, 4]
    assert source.rate_hz == 30 and source.length == 5 and source.problems == []
    assert [frame.stamp_ns for frame in source] == [0, 33_333_333, 66_666_667, 100_000_000, 133_333_333]
    assert all(frame.camera is None for frame in source)
    assert [frame.stamp_ns for frame in open_source(str(tmp_path), rate_hz=4)][:3] == [0, 250_000_000, 500_000_000]


def test_colours_are_rgb(tmp_path):
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(tmp_path / "red.png"), red)
    (frame,) = open_source(str(tmp_path))
    assert frame.image[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("suffix", ["jpg", "JPG", "jpeg", "bmp", "webp", "tif", "ppm"])
def test_formats(tmp_path, suffix):
    write_images(tmp_path, [f"0.{suffix}", f"1.{suffix}"])
    assert greys(open_source(str(tmp_path))) == [0, 1]


def test_the_layout_with_rgb_stamps_and_intrinsics(tmp_path):
    write_images(tmp_path / "rgb", [f"{index:06d}.jpg" for index in range(3)])
    write_images(tmp_path / "depth", [f"{index:06d}.png" for index in range(3)])
    (tmp_path / "intrinsics.txt").write_text("# fx fy cx cy width height\n30.5 31.5 15.25 11.75 32 24\n")
    stamps = ["1341841278.842700", "1341841279.042700", "1341841279.242701"]
    lines = [f"{text} 0 0 0 0 0 0 1" for text in stamps]
    (tmp_path / "poses.txt").write_text("# t tx ty tz qx qy qz qw\n" + "\n".join(lines) + "\n\n")
    source = open_source(str(tmp_path))
    frames = list(source)
    assert [frame.stamp_ns for frame in frames] == [int(text.replace(".", "")) * 1000 for text in stamps]
    assert source.rate_hz == pytest.approx(5, rel=1e-4) and source.problems == []
    camera = frames[2].camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (30.5, 31.5, 15.25, 11.75)
    assert (camera.width, camera.height, camera.is_distorted) == (32, 24, False)
    faster = open_source(str(tmp_path), rate_hz=30)
    assert faster.rate_hz == 30 and next(iter(faster)).stamp_ns == 1_341_841_278_842_700_000


def test_timestamps_before_poses_and_equal_in_number(tmp_path):
    write_images(tmp_path, ["0.png", "1.png"])
    (tmp_path / "timestamps.txt").write_text("5.5\n6.5\n")
    (tmp_path / "poses.txt").write_text("1 0 0 0 0 0 0 1\n2 0 0 0 0 0 0 1\n")
    assert [frame.stamp_ns for frame in open_source(str(tmp_path))] == [5_500_000_000, 6_500_000_000]
    (tmp_path / "timestamps.txt").write_text("5.5\n")
    source = open_source(str(tmp_path))
    assert [frame.stamp_ns for frame in source] == [1_000_000_000, 2_000_000_000]
    assert source.problems == ["timestamps.txt not used: it has 1 stamps for 2 images"]
    (tmp_path / "poses.txt").write_text("one 0 0 0 0 0 0 1\n2 0 0 0 0 0 0 1\n")
    source = open_source(str(tmp_path))
    assert next(iter(source)).stamp_ns == 0
    assert "poses.txt not used: expected a time in seconds, got 'one'" in source.problems


def test_truncated_images_are_left_out_and_named_and_stamps_stay(tmp_path):
    write_images(tmp_path, [f"{index}.jpg" for index in range(4)])
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "1.jpg"), noise)
    whole = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2.jpg").write_bytes(b"")
    source = open_source(str(tmp_path), rate_hz=10)
    assert [frame.stamp_ns for frame in source] == [0, 300_000_000]
    assert [problem.split(":")[0] for problem in source.problems] == ["1.jpg left out", "2.jpg left out"]
    assert "breaks off" in source.problems[0] and "no data" in source.problems[1]
    list(source)
    assert len(source.problems) == 2, "iterating again does not say it twice"


def test_problems_are_bounded(tmp_path):
    for index in range(PROBLEMS_LIMIT + 20):
        (tmp_path / f"{index}.png").write_bytes(b"no image")
    source = open_source(str(tmp_path))
    assert list(source) == []
    assert len(source.problems) == PROBLEMS_LIMIT + 1 and "more problems" in source.problems[-1]


def test_intrinsics_of_another_size(tmp_path):
    write_images(tmp_path, ["0.png"])
    (tmp_path / "intrinsics.txt").write_text("60 60 31.5 23.5 64 48")
    (frame,) = open_source(str(tmp_path))
    assert (frame.camera.width, frame.camera.height, frame.camera.fx, frame.camera.cx) == (32, 24, 30, 15.5)
    (tmp_path / "intrinsics.txt").write_text("60 60 31.5 31.5 64 64")
    source = open_source(str(tmp_path))
    (frame,) = source
    assert frame.camera is None
    assert source.problems == ["intrinsics.txt not used: it is for 64 x 64 pixels, images have 32 x 24"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("1 2 3", "expected fx fy cx cy width height, got '1 2 3'"),
        ("a b c d e f", "expected"),
        ("0 0 1 1 32 24", "focal"),
    ],
)
def test_wrong_intrinsics_are_refused(tmp_path, text, message):
    write_images(tmp_path, ["0.png"])
    (tmp_path / "intrinsics.txt").write_text(text)
    with pytest.raises(SourceError, match=f"intrinsics.txt.*{message}"):
        open_source(str(tmp_path))


def test_hidden_files_and_other_files_are_no_images(tmp_path):
    write_images(tmp_path, ["0.png"])
    (tmp_path / "._0.png").write_bytes(b"from a Mac")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "folder.png").mkdir()
    source = open_source(str(tmp_path))
    assert source.length == 1 and greys(source) == [0] and source.problems == []


@pytest.mark.parametrize(
    "names",
    [
        ["1", "2", "10", "100"],
        ["0001", "2", "00010", "100"],
        ["frame-2", "frame-10", "Frame-11"],
        ["0.0", "0.05", "0.1", "0.25", "0.5", "1.0", "10.0"],
        ["-1.5", "-1", "0", "5e-05", "0.25", "1e3"],
        ["t=0.5", "t=0.75", "t=1.25", "t=10.5"],
        ["1.1", "1.2", "1.9", "1.10", "1.11", "2.1"],
        ["1700000000.5000000", "1700000000.50000000", "1700000000.500000000"],
        ["1305031102.175304", "1305031102.211214", "1305031110.000001"],
        ["at 9.05.10", "at 9.05.11", "at 10.05.1"],
        ["2026-1-9 8-05-59", "2026-1-10 7-00-00", "2026-11-1 0-00-00"],
        ["IMG", "IMG (2)", "IMG (10)"],
        ["a1", "a1_2", "a1_10", "b"],
    ],
)
def test_names_in_the_order_in_which_they_were_given(names):
    files = [Path(f"{name}.png") for name in names]
    assert in_order(reversed(files)) == files == in_order(sorted(files))


def test_images_that_are_not_read_are_told(tmp_path):
    (tmp_path / "IMG_1.HEIC").write_bytes(b"x")
    (tmp_path / "IMG_2.heic").write_bytes(b"x")
    with pytest.raises(
        SourceError, match=r"has no images .*; 2 images such as IMG_1.HEIC are passed over: HEIC is not"
    ):
        open_source(str(tmp_path))
    write_images(tmp_path, ["0.png"])
    source = open_source(str(tmp_path))
    assert greys(source) == [0] and "2 images such as IMG_1.HEIC" in source.problems[0]


def test_stamps_that_do_not_grow_are_told_and_not_used(tmp_path):
    write_images(tmp_path, ["0.png", "1.png", "2.png"])
    (tmp_path / "timestamps.txt").write_text("5\n5\n5\n")
    source = open_source(str(tmp_path), rate_hz=10)
    assert [frame.stamp_ns for frame in source] == [0, 100_000_000, 200_000_000]
    assert source.problems == ["timestamps.txt not used: its stamps do not grow"]


def test_an_empty_directory(tmp_path):
    with pytest.raises(SourceError, match=r"has no images \(known: .*\.jpg.*\) and no rgb/"):
        open_source(str(tmp_path))


def test_an_image_too_small_for_the_engine(tmp_path):
    write_images(tmp_path, ["0.png"], 1, 1)
    source = open_source(str(tmp_path))
    assert list(source) == [] and "0.png left out: Frame.image: expected at least 2 x 2" in source.problems[0]


def test_folders_below_that_have_images_are_named(tmp_path):
    for name in ("left", "right", "run/a"):
        (tmp_path / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / name / "0.png"), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(SourceError, match="no images .* there are images in left, right, run/a: give one of these"):
        open_source(str(tmp_path))
