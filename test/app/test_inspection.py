"""What was uploaded is found out before anything is mapped, and one sentence says why something is not taken."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from bag_writing import compressed_message, image_message, write_bag
from upload_files import archive, png, uploaded, video

from slam3r_ros.app.inspection import inspect_upload
from slam3r_ros.app.inspector import Inspector
from slam3r_ros.app.limits import UploadError, UploadLimits
from slam3r_ros.app.upload_report import UploadKind, UploadReport

IMAGE = np.full((6, 8, 3), 90, np.uint8)


def bomb_png(side: int) -> bytes:
    """Return a PNG of a few bytes whose header says that it is ``side`` x ``side`` pixels large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def test_images_a_video_and_a_bag_are_told_apart(tmp_path: Path) -> None:
    images = uploaded(tmp_path / "images", {"b.png": png(), "a.png": png(), "intrinsics.txt": b"8 8 3.5 2.5 8 6"})
    assert inspect_upload(images) == UploadReport(UploadKind.IMAGES, "2 images of 8 x 6 pixels")
    clip = uploaded(tmp_path / "video", {"clip.avi": video(tmp_path / "clip.avi")})
    assert inspect_upload(clip) == UploadReport(
        UploadKind.VIDEO, "clip.avi, 64 x 48 pixels, 5 frames in 0.5\N{NO-BREAK SPACE}s"
    )
    messages = [("/left/image", n, image_message(n, IMAGE)) for n in (1, 2, 3)]
    messages += [("/right/image", n, compressed_message(n, IMAGE)) for n in (4, 5)]
    for kind in ("mcap", "db3"):
        file = write_bag(tmp_path / kind, kind, messages)
        bag = uploaded(tmp_path / f"bag_{kind}", {file.name: file.read_bytes()})
        summary = f"{file.name}, 3 images on /left/image, 2 images on /right/image"
        assert inspect_upload(bag) == UploadReport(UploadKind.BAG, summary, ("/left/image", "/right/image"))


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a.mp4": b"no video at all"}, "'a.mp4' is no video that can be read: it is damaged or something else"),
        ({"a.png": png()}, "'a.png' is a single image: a map needs two or more of the same place"),
        ({"a.png": b"no", "b.png": b"no"}, "'a.png' is no image that can be read: it is damaged or something else"),
        ({"a.txt": b"hello"}, "'a.txt' is no video, image, ZIP archive of images or ROS 2 bag by its name"),
        ({"a.bag": b"#ROSBAG V2.0"}, "'a.bag' is a ROS 1 bag: convert it to ROS 2 with rosbags-convert"),
        ({"a.mcap.zst": b"packed"}, "'a.mcap.zst' is compressed as a whole: unpack it before the upload"),
        ({"a.png": png(), "b.mp4": b"x"}, "images and videos were uploaded together: upload one of them alone"),
        ({"a.mp4": b"x", "b.mp4": b"x"}, "2 videos were uploaded: upload one of them alone"),
        ({"a.zip": b"no archive"}, "'a.zip' cannot be unpacked: File is not a zip file"),
        ({"intrinsics.txt": b"8 8 3.5 2.5 8 6"}, "nothing was uploaded that has images"),
        (
            {"a.png": png(), "b.png": png(), "intrinsics.txt": b"8 8"},
            "'intrinsics.txt': expected fx fy cx cy width height, got '8 8'",
        ),
        (
            {"a.png": bomb_png(60_000), "b.png": png()},
            "'a.png' is too large: at most 40 million pixels are taken",
        ),
        (
            {"a.png": bomb_png(6500), "b.png": png()},
            "'a.png' of 6500 x 6500 pixels is too large: at most 40 million pixels are taken",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_in_one_sentence(files: dict[str, bytes], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UploadError) as raised:
        inspect_upload(uploaded(tmp_path, files))
    assert str(raised.value) == sentence


def test_a_heic_image_and_a_damaged_bag_name_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UploadError, match="'a.heic' is of a format that is not read, HEIC: convert"):
        inspect_upload(uploaded(tmp_path / "1", {"a.heic": b"x"}))
    for kind in ("mcap", "db3"):
        with pytest.raises(UploadError, match=f"'a.{kind}'.* cannot be read") as raised:
            inspect_upload(uploaded(tmp_path / kind, {f"a.{kind}": b"no bag"}))
        assert str(tmp_path) not in str(raised.value)


def test_a_video_is_refused_by_its_header_alone(tmp_path: Path) -> None:
    clip = {"clip.avi": video(tmp_path / "clip.avi", frames=50)}
    for limits, sentence in (
        (UploadLimits(pixels=3000), "'clip.avi' of 64 x 48 pixels is too large"),
        (UploadLimits(video_seconds=4.0), "'clip.avi' is too long: it has 50 frames in 5 s, at most"),
        (UploadLimits(video_frames=40), "'clip.avi' is too long: it has 50 frames in 5 s, at most 40 in"),
    ):
        with pytest.raises(UploadError, match=sentence):
            inspect_upload(uploaded(tmp_path / sentence, clip, limits))


def test_an_archive_of_images_is_unpacked_in_its_order_and_nothing_leaves_the_folder(tmp_path: Path) -> None:
    members = {
        "../../outside.png": png(),
        "set/2.png": png(),
        "set/10.png": png(),
        "other/1.png": png(),
        "__MACOSX/set/._2.png": b"x",
        ".hidden.png": png(),
        "readme.html": b"x",
    }
    uploads = uploaded(tmp_path, {"images.zip": archive(tmp_path / "images.zip", members)})
    assert inspect_upload(uploads).summary == "4 images of 8 x 6 pixels"
    assert sorted(uploads.names) == ["other_1.png", "outside.png", "set_10.png", "set_2.png"]
    assert sorted(path.name for path in uploads.path.iterdir()) == sorted(uploads.names)
    assert not list(tmp_path.glob("*.png")) and not (tmp_path.parent / "outside.png").exists()
    rgbd = {f"scene/{folder}/{n}.png": png() for folder in ("rgb", "depth") for n in (1, 2, 3)}
    rgbd["scene/poses.txt"] = b"1 0\n2 0\n3 0\n"
    uploads = uploaded(tmp_path / "2", {"images.zip": archive(tmp_path / "rgbd.zip", rgbd)})
    inspect_upload(uploads)
    assert sorted(uploads.names) == ["1.png", "2.png", "3.png", "poses.txt"]


def test_an_archive_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "a.zip", {"a.png": b"\0" * 10_000_000, "b.png": png()})
    assert len(bomb) < 20_000
    uploads = uploaded(tmp_path, {"a.zip": bomb}, UploadLimits(total_bytes=1 << 20))
    with pytest.raises(UploadError, match="^'a.zip' is 9.5 MiB large when it is unpacked: at most 1.0 MiB are taken$"):
        inspect_upload(uploads)
    assert uploads.names == () and list(uploads.path.iterdir()) == []
    many = archive(tmp_path / "b.zip", {f"{n}.png": b"x" for n in range(11)})
    with pytest.raises(UploadError, match="^'b.zip' has 11 files: at most 10 may be uploaded$"):
        inspect_upload(uploaded(tmp_path / "2", {"b.zip": many}, UploadLimits(files=10)))


def test_an_archive_that_lies_about_its_sizes_is_not_unpacked_further(tmp_path: Path) -> None:
    content = bytearray(archive(tmp_path / "a.zip", {"a.png": b"\0" * 5_000_000}))
    for place in (content.index(b"PK\x03\x04") + 22, content.index(b"PK\x01\x02") + 24):
        content[place : place + 4] = struct.pack("<I", 50)
    uploads = uploaded(tmp_path, {"a.zip": bytes(content)})
    with pytest.raises(UploadError, match=r"'a.zip' cannot be unpacked|more than the 50 bytes"):
        inspect_upload(uploads)
    assert sum(path.stat().st_size for path in uploads.path.iterdir()) <= 50


def test_an_archive_without_images_or_with_a_password_is_refused(tmp_path: Path) -> None:
    clip = archive(tmp_path / "a.zip", {"clip.mp4": b"x"})
    with pytest.raises(UploadError, match="^'a.zip' has no images: an archive is taken where it has images"):
        inspect_upload(uploaded(tmp_path / "1", {"a.zip": clip}))
    locked = bytearray(archive(tmp_path / "b.zip", {"a.png": png(), "b.png": png()}))
    with zipfile.ZipFile(tmp_path / "b.zip") as opened:
        places = [member.header_offset for member in opened.infolist()]
    start = 0
    while (start := locked.find(b"PK\x01\x02", start) + 1) > 0:
        locked[start + 7] |= 1
    for place in places:
        locked[place + 6] |= 1
    with pytest.raises(UploadError, match="^'b.zip' is encrypted: upload it without a password$"):
        inspect_upload(uploaded(tmp_path / "2", {"b.zip": bytes(locked)}))


def test_the_inspecting_process_answers_and_survives_what_it_cannot_read(tmp_path: Path) -> None:
    inspector = Inspector()
    try:
        images = uploaded(tmp_path / "1", {"images.zip": archive(tmp_path / "a.zip", {"1.png": png(), "2.png": png()})})
        assert inspector.inspect(images).summary == "2 images of 8 x 6 pixels"
        assert images.names == ("1.png", "2.png")
        with pytest.raises(UploadError, match="'a.mp4' is no video that can be read"):
            inspector.inspect(uploaded(tmp_path / "2", {"a.mp4": b"no video"}))
    finally:
        inspector.close()
