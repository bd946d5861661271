"""Videos and webcams as sources, and what `open_source` refuses."""

from __future__ import annotations

import struct
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic import textured_image

from slam3r_ros.io.sources import SourceError, open_source, video_reader


def write_video(path, count=12, rate=20.0, codec="MJPG", size=(64, 48)) -> None:
    """Frame i is red, 20 * i bright."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, size)
    assert writer.isOpened()
    for index in range(count):
        image = np.zeros((size[1], size[0], 3), np.uint8)
        image[..., 2] = 20 * index % 256
        writer.write(image)
    writer.release()


@pytest.mark.parametrize("name, codec", [("v.avi", "MJPG"), ("v.mp4", "mp4v")])
def test_frames_rate_and_stamps(tmp_path, name, codec):
    write_video(tmp_path / name, codec=codec)
    with open_source(str(tmp_path / name)) as source:
        frames = list(source)
        assert source.rate_hz == pytest.approx(20) and source.length == 12 and name in source.description
        assert len(list(source)) == 12, "again from the beginning"
        assert source.problems == []
    assert [frame.stamp_ns for frame in frames] == [index * 50_000_000 for index in range(12)]
    for index, frame in enumerate(frames):
        assert frame.image.shape == (48, 64, 3) and frame.camera is None
        assert np.abs(frame.image.astype(int) - [20 * index, 0, 0]).max() < 12, "red is the first channel"


def test_rate_asked_for_sets_the_stamps(tmp_path):
    write_video(tmp_path / "v.avi", 3)
    source = open_source(str(tmp_path / "v.avi"), rate_hz=8)
    assert source.rate_hz == 8 and [frame.stamp_ns for frame in source] == [0, 125_000_000, 250_000_000]


def write_with_av(path: Path, codec: str, times_ms: list[int], rate: int = 1000) -> None:
    """Frames at these times, whatever their distances."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.time_base = (
            64,
            48,
            "yuv420p",
            Fraction(1, 1000),
        )
        for index, time_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * index % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_variable_frame_rate_keeps_its_stamps(tmp_path, name):
    times = [0, 40, 80, 400, 440, 1500, 1533, 1566]
    write_with_av(tmp_path / name, "mpeg4", times)
    source = open_source(str(tmp_path / name))
    assert [frame.stamp_ns for frame in source] == pytest.approx([time * 1_000_000 for time in times], abs=1_000_000)
    evenly = open_source(str(tmp_path / name), rate_hz=10)
    assert [frame.stamp_ns for frame in evenly] == [index * 100_000_000 for index in range(len(times))]


def test_codec_that_is_not_decoded_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(video_reader._AvReader, "of", lambda _: None)  # PyAV is not installed
    write_with_av(tmp_path / "v.mp4", "libsvtav1", [0, 40, 80], 25)
    with pytest.raises(SourceError, match=r"does not decode its codec AV01, .*ffmpeg -i FILE"):
        open_source(str(tmp_path / "v.mp4"))


def test_a_video_that_ends_early_says_so(tmp_path):
    write_video(tmp_path / "v.avi", 40)
    content = (tmp_path / "v.avi").read_bytes()
    (tmp_path / "v.avi").write_bytes(content[: int(len(content) * 0.9)])
    source = open_source(str(tmp_path / "v.avi"))
    got = len(list(source))
    assert 20 < got < source.length == 40
    assert source.problems == [f"v.avi: only {got} of the 40 frames it announces can be read"]


def test_a_video_in_a_folder_has_the_camera_and_the_stamps_beside_it(tmp_path):
    folder = tmp_path / "room"
    folder.mkdir()
    write_video(folder / "rgb.avi", 4)
    (folder / "intrinsics.txt").write_text("50 51 31.5 23.5 64 48\n")
    (folder / "poses.txt").write_text("# a comment\n" + "".join(f"{7 + n / 10} 0 0 0 0 0 0 1\n" for n in range(4)))
    with open_source(str(folder)) as source:
        frames = list(source)
        assert (source.rate_hz, source.length, source.description) == (pytest.approx(10), 4, "rgb.avi of room")
        assert source.problems == []
    assert [frame.stamp_ns for frame in frames] == [7_000_000_000 + n * 100_000_000 for n in range(4)]
    assert all((frame.camera.fx, frame.camera.fy, frame.camera.width) == (50, 51, 64) for frame in frames)
    assert [round(float(frame.image[..., 0].mean()) / 20) for frame in frames] == [0, 1, 2, 3], (
        "each frame has its own stamp"
    )
    assert all(frame.camera is None for frame in open_source(str(folder / "rgb.avi"))), "the file alone has no camera"


def test_stamps_of_another_number_of_frames_are_not_used(tmp_path):
    write_video(tmp_path / "v.avi", 3, rate=10.0)
    (tmp_path / "timestamps.txt").write_text("1\n2\n")
    source = open_source(str(tmp_path))
    assert [frame.stamp_ns for frame in source] == [0, 100_000_000, 200_000_000]
    assert source.problems == ["timestamps.txt not used: it has 2 stamps for 3 images"]


def test_several_videos_in_a_folder_have_to_be_told_apart(tmp_path):
    for name in ("a.avi", "b.avi"):
        write_video(tmp_path / name, 2)
    with pytest.raises(SourceError, match="no images and several videos: give one of a.avi, b.avi"):
        open_source(str(tmp_path))


def write_textured(path: Path, codec: str, flags: str = "", count: int = 6) -> list[np.ndarray]:
    """Frames of the pattern that `textured_image` draws; returns them."""
    av = pytest.importorskip("av")
    images = [textured_image(number, 96, 128) for number in range(count)]
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.options = {"flags": flags} if flags else {}
        for image in images:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode())
    return images


@pytest.mark.parametrize(("codec", "flags"), [("libx264", "+ildct+ilme"), ("libsvtav1", "")])
def test_what_opencv_decodes_wrong_or_not_at_all_is_read_by_pyav(tmp_path, codec, flags):
    """OpenCV 5 gives one grey image for all interlaced frames, and decodes no AV1."""
    images = write_textured(tmp_path / "v.mp4", codec, flags)
    source = open_source(str(tmp_path / "v.mp4"))
    frames = list(source)
    assert (source.rate_hz, source.length, source.problems) == (10, 6, [])
    assert [frame.stamp_ns for frame in frames] == [100_000_000 * number for number in range(6)]
    errors = [np.abs(frame.image.astype(int) - image).mean() for frame, image in zip(frames, images, strict=True)]
    assert max(errors) < 25 and frames[0].image.flags.c_contiguous


@pytest.mark.parametrize("degrees", [90, 180])
def test_both_readers_turn_a_video_as_the_file_asks(tmp_path, degrees):
    """The matrix in the file's track header is that of a phone which was held upright or upside down."""
    write_textured(tmp_path / "v.mp4", "libx264")
    content = bytearray((tmp_path / "v.mp4").read_bytes())
    one = 1 << 16
    place = content.find(struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30), content.find(b"tkhd"))
    turned = (0, one, 0, -one, 0, 0, 96 * one, 0, 1 << 30) if degrees == 90 else (-one, 0, 0, 0, -one, 0, 0, 0, 1 << 30)
    content[place : place + 36] = struct.pack(">9i", *turned)
    (tmp_path / "v.mp4").write_bytes(content)
    by_av = video_reader._AvReader.of(tmp_path / "v.mp4")
    assert by_av is not None
    by_opencv = list(video_reader._OpenCvReader(tmp_path / "v.mp4").frames())
    for (image, time_ms), (other, other_ms) in zip(by_av.frames(), by_opencv, strict=True):
        assert image.shape == other.shape == ((128, 96, 3) if degrees == 90 else (96, 128, 3))
        assert np.abs(image.astype(int) - other).mean() < 3 and time_ms == pytest.approx(other_ms, abs=1)


@pytest.mark.parametrize(("share", "is_told"), [(1.0, False), (0.5, True)])
def test_uneven_frames_of_which_the_file_has_no_number_are_not_taken_for_missing(tmp_path, share, is_told):
    """Matroska holds no number of frames; OpenCV guesses it from length and rate."""
    write_with_av(tmp_path / "v.mkv", "mpeg4", list(np.cumsum(np.tile([20, 110, 40], 12))), rate=30)
    content = (tmp_path / "v.mkv").read_bytes()
    (tmp_path / "v.mkv").write_bytes(content[: int(share * len(content))])
    source = open_source(str(tmp_path / "v.mkv"))
    assert len(list(source)) < (source.length or 0)
    assert [problem for problem in source.problems if "announces" in problem] == source.problems
    assert bool(source.problems) is is_told


@pytest.mark.parametrize("content", [b"", b"this is no video", bytes(5000)])
def test_a_file_that_is_no_video(tmp_path, content):
    (tmp_path / "v.mp4").write_bytes(content)
    with pytest.raises(SourceError, match=r"v.mp4' is no video that OpenCV can read"):
        open_source(str(tmp_path / "v.mp4"))


@pytest.mark.parametrize(
    "text, message",
    [
        ("nothing/here.mp4", "'nothing/here.mp4' does not exist .looked for /"),
        ("", "'' does not exist"),
        ("~nosuchuser/v.mp4", "'~nosuchuser/v.mp4' does not exist: Could not determine home"),
        ("webcam:first", "expected webcam or webcam:NUMBER"),
        ("webcam:-1", "expected webcam or webcam:NUMBER"),
        ("webcam:93", "camera 93 cannot be opened"),
    ],
)
def test_what_cannot_be_opened_is_named(text, message):
    with pytest.raises(SourceError, match=message):
        open_source(text)


def test_files_of_other_kinds_are_told_what_to_do(tmp_path):
    for name, message in (
        ("a.png", "give the directory"),
        ("a.bag", "rosbags-convert"),
        ("a.HEIC", "not read, HEIC: convert"),
        ("a.zip", "is an archive: unpack it"),
        ("map.slam3r", "is a result, not images: 'slam3r_ros view'"),
    ):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(SourceError, match=message):
            open_source(str(tmp_path / name))
    write_video(tmp_path / "v.avi", 2)
    with pytest.raises(SourceError, match="is no bag, so it has no topic '/image'"):
        open_source(str(tmp_path / "v.avi"), topic="/image")
    with pytest.raises(SourceError, match="is no bag, so it has no camera_info"):
        open_source(str(tmp_path / "v.avi"), rectified=True)


def test_what_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SourceError, match=f"source '{tmp_path}' cannot be read: Permission denied"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("rate_hz", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none(tmp_path, rate_hz):
    with pytest.raises(SourceError, match="expected more than 0 frames a second"):
        open_source("webcam:0", rate_hz=rate_hz)


class FakeCamera:
    """A camera that gives three images and then no more."""

    def __init__(self, index: int) -> None:
        self.index, self.left, self.rate, self.released = index, 3, 15.0, False
        FakeCamera.newest = self

    def isOpened(self) -> bool:
        return self.index < 2

    def get(self, what: int) -> float:
        return self.rate if what == cv2.CAP_PROP_FPS else 0.0

    def set(self, what: int, value: float) -> bool:
        assert what == cv2.CAP_PROP_FPS
        self.rate = value
        return True

    def read(self):
        self.left -= 1
        return (True, np.full((48, 64, 3), (1, 2, 3), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.released = True


def test_webcam(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCamera)
    before = time.time_ns()
    with open_source("webcam:1") as source:
        frames = list(source)
    assert FakeCamera.newest.index == 1 and FakeCamera.newest.released
    assert source.rate_hz == 15 and source.length is None
    assert len(frames) == 3 and frames[0].image[0, 0].tolist() == [3, 2, 1]
    assert before <= frames[0].stamp_ns <= frames[2].stamp_ns <= time.time_ns()
    assert source.problems == ["camera 1 stopped giving images after 3"]
    assert open_source("webcam", rate_hz=60).rate_hz == 60 and FakeCamera.newest.index == 0
    assert FakeCamera.newest.rate == 60
    with pytest.raises(SourceError, match="camera 2 cannot be opened"):
        open_source("webcam:2")
    assert FakeCamera.newest.released


def test_closing_ends_an_iteration(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCamera)
    source = open_source("webcam:0")
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == [] and FakeCamera.newest.released
