"""Bags as sources: both storages, raw and compressed, stamps, cameras, choice of the topic, damage."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from bag_writing import compressed_message, image_message, info_message, write_bag

from slam3r_ros.io.sources import SourceError, open_source

START_NS = 1_700_000_000_123_456_789
PERIOD_NS = 100_000_000
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 16, 3), np.uint8)


def stamp(index: int) -> int:
    return START_NS + index * PERIOD_NS


def recording(topic="/camera/image_raw", make=image_message, info="/camera/camera_info", delay_ns=5_000_000):
    """Six images, each followed by its CameraInfo; recorded a little after they were taken."""
    for index, image in enumerate(IMAGES):
        yield topic, stamp(index) + delay_ns, make(stamp(index), image)
        if info:
            yield info, stamp(index) + delay_ns, info_message(stamp(index), 16, 12, 20.0 + index)


@pytest.mark.parametrize("kind", ["mcap", "db3"])
@pytest.mark.parametrize(
    "topic, make", [("/camera/image_raw", image_message), ("/camera/image_raw/compressed", compressed_message)]
)
@pytest.mark.parametrize("given", ["file", "directory"])
def test_images_stamps_and_cameras(tmp_path, kind, topic, make, given):
    file = write_bag(tmp_path / "bag", kind, recording(topic, make))
    with open_source(str(file if given == "file" else file.parent)) as source:
        frames = list(source)
        assert source.length == 6 and source.problems == []
        assert source.rate_hz == pytest.approx(10)
        assert topic in source.description
        assert [frame.stamp_ns for frame in source] == [stamp(index) for index in range(6)], "again from the beginning"
    assert [frame.stamp_ns for frame in frames] == [stamp(index) for index in range(6)]
    assert all(np.array_equal(frame.image, image) for frame, image in zip(frames, IMAGES, strict=True))
    # The first image is before the first CameraInfo, and has it all the same; then the newest one counts.
    assert [frame.camera.fx for frame in frames] == [20, 20, 21, 22, 23, 24]
    assert (frames[0].camera.width, frames[0].camera.height, frames[0].camera.cx) == (16, 12, 7.5)


def test_rate_asked_for_leaves_the_stamps(tmp_path):
    file = write_bag(tmp_path / "bag", "mcap", recording())
    source = open_source(str(file), rate_hz=25)
    assert source.rate_hz == 25
    assert [frame.stamp_ns for frame in source] == [stamp(index) for index in range(6)]


def test_a_header_without_stamp_takes_the_time_of_recording(tmp_path):
    file = write_bag(tmp_path / "bag", "mcap", [("/image", stamp(0), image_message(0, IMAGES[0]))])
    (frame,) = open_source(str(file))
    assert frame.stamp_ns == stamp(0) and frame.camera is None


def test_several_image_topics_must_be_chosen_from(tmp_path):
    left, right = recording("/left/image_raw", info=None), recording("/right/image_raw", info="/right/camera_info")
    file = write_bag(tmp_path / "bag", "mcap", [*left, *right])
    with pytest.raises(
        SourceError, match=r"several image topics, name one: /left/image_raw \(6\), /right/image_raw \(6\)"
    ):
        open_source(str(file))
    with pytest.raises(SourceError, match=r"no image topic '/up'; it has: /left/image_raw"):
        open_source(str(file), topic="/up")
    assert len(list(open_source(str(file), topic="left/image_raw"))) == 6
    assert next(iter(open_source(str(file), topic="/right/image_raw"))).camera.fx == 20


def test_the_camera_is_the_one_beside_the_image(tmp_path):
    messages = [
        ("/left/camera_info", stamp(0), info_message(stamp(0), 16, 12, 33.0)),
        ("/right/camera_info", stamp(0), info_message(stamp(0), 16, 12, 44.0)),
        ("/right/image", stamp(1), image_message(stamp(1), IMAGES[0])),
    ]
    (frame,) = open_source(str(write_bag(tmp_path / "two", "mcap", messages)))
    assert frame.camera.fx == 44
    (frame,) = open_source(str(write_bag(tmp_path / "one", "mcap", [messages[0], messages[2]])))
    assert frame.camera.fx == 33, "the only one there is, wherever it is"


P = np.array([42.0, 0, 8, -5, 0, 43, 6, 0, 0, 0, 1, 0])


def calibrated_bag(folder, topic, make=image_message):
    """One image, with K and D of the image as it was taken and P of what rectification makes of it."""
    info = replace(info_message(stamp(0), 16, 12, 50.0), d=np.array([-0.3, 0.1, 0, 0, 0]), p=P)
    infos = f"{topic.removesuffix('/compressed').rpartition('/')[0]}/camera_info"
    return write_bag(folder, "mcap", [(infos, stamp(0), info), (topic, stamp(0), make(stamp(0), IMAGES[0]))])


@pytest.mark.parametrize(
    "topic, is_rectified",
    [
        ("/camera/image_rect", True),
        ("/image_rect_color", True),
        ("/camera/rectified", True),
        ("/camera/image_raw", False),
        ("/camera/image_direct", False),
        ("/camera/image_unrectified", False),
        ("/rect/image", False),
    ],
)
def test_a_topic_named_rectified_takes_p_without_distortion(tmp_path, topic, is_rectified):
    (frame,) = open_source(str(calibrated_bag(tmp_path / "bag", topic)))
    assert (frame.camera.fx, frame.camera.is_distorted) == ((42, False) if is_rectified else (50, True))


def test_rectified_images_under_another_name_and_compressed(tmp_path):
    (frame,) = open_source(str(calibrated_bag(tmp_path / "named", "/camera/image")), rectified=True)
    assert (frame.camera.fx, frame.camera.fy, frame.camera.cx, frame.camera.cy) == (42, 43, 8, 6)
    assert not frame.camera.is_distorted
    (frame,) = open_source(str(calibrated_bag(tmp_path / "small", "/image_rect/compressed", compressed_message)))
    assert frame.camera.fx == 42


def test_images_as_taken_come_with_what_rectification_would_make_of_them(tmp_path):
    (frame,) = open_source(str(calibrated_bag(tmp_path / "bag", "/camera/image")))
    assert (frame.camera.fx, frame.rectification.camera.fx, frame.rectification.camera.is_distorted) == (50, 42, False)
    assert frame.rectification.rotation == tuple(np.eye(3).ravel())


def test_a_bag_without_images(tmp_path):
    file = write_bag(tmp_path / "bag", "db3", [("/camera_info", 1, info_message(1, 16, 12, 20.0))])
    with pytest.raises(SourceError, match="no topic of type sensor_msgs/msg/Image"):
        open_source(str(file))


def test_images_and_cameras_that_cannot_be_used_are_problems(tmp_path):
    corrupt = compressed_message(stamp(2), IMAGES[2])
    corrupt.data = corrupt.data[:100]
    messages = [
        ("/camera_info", stamp(0), info_message(stamp(0), 16, 12, 0.0)),
        ("/image", stamp(1), image_message(stamp(1), IMAGES[1], encoding="yuv444")),
        ("/image", stamp(2), image_message(stamp(2), IMAGES[2], step=1000)),
        ("/image", stamp(3), image_message(stamp(3), IMAGES[3])),
        ("/image", stamp(4), image_message(stamp(4), IMAGES[4][:1, :1])),
    ]
    source = open_source(str(write_bag(tmp_path / "raw", "mcap", messages)))
    (frame,) = source
    assert frame.stamp_ns == stamp(3) and frame.camera is None
    text = "\n".join(source.problems)
    assert len(source.problems) == 4
    for expected in (
        "/camera_info not used: focal lengths",
        "'yuv444' is unknown",
        "12000 bytes",
        "at least 2 x 2",
    ):
        assert expected in text

    compressed = [("/image", stamp(2), corrupt), ("/image", stamp(3), compressed_message(stamp(3), IMAGES[3]))]
    source = open_source(str(write_bag(tmp_path / "compressed", "mcap", compressed)))
    assert [frame.stamp_ns for frame in source] == [stamp(3)]
    assert "breaks off" in source.problems[0]


@pytest.mark.parametrize("kind", ["mcap", "db3"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5])
def test_a_bag_that_is_cut_off_is_refused(tmp_path, kind, share):
    file = write_bag(tmp_path / "bag", kind, recording())
    content = file.read_bytes()
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SourceError, match=rf"cut.{kind}' cannot be read"):
        list(open_source(str(cut)))


def test_damage_inside_a_bag_never_raises_later(tmp_path):
    file = write_bag(tmp_path / "bag", "db3", recording())
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    opened = 0
    for attempt in range(20):
        damaged = bytearray(content)
        for position in rng.integers(4096 * (attempt % 2), len(content), 40):
            damaged[position] = rng.integers(256)
        (tmp_path / "damaged.db3").write_bytes(damaged)
        try:
            source = open_source(str(tmp_path / "damaged.db3"), topic="/camera/image_raw")
        except SourceError:
            continue
        opened += 1
        list(source)
    assert opened


@pytest.mark.parametrize(("encoding", "bytes_per_pixel"), [("yuv422_yuy2", 2), ("bayer_grbg8", 1), ("16UC1", 2)])
def test_encodings_of_common_cameras(tmp_path, encoding, bytes_per_pixel):
    data = np.full(12 * 16 * bytes_per_pixel, 128, np.uint8)
    message = image_message(stamp(0), IMAGES[0], encoding=encoding, step=16 * bytes_per_pixel, data=data)
    source = open_source(str(write_bag(tmp_path / "bag", "mcap", [("/image", stamp(0), message)])))
    (frame,) = source
    assert frame.image.shape == (12, 16, 3) and np.ptp(frame.image) == 0
    assert [problem.split(" are ")[0] for problem in source.problems] == (
        ["images of encoding 16UC1"] if encoding == "16UC1" else []
    )


def test_closing_ends_an_iteration(tmp_path):
    source = open_source(str(write_bag(tmp_path / "bag", "mcap", recording())))
    frames = iter(source)
    assert len(list(islice(frames, 2))) == 2
    source.close()
    assert list(frames) == []


def test_two_bags_in_one_directory(tmp_path):
    for name in ("a", "b"):
        write_bag(tmp_path / name, "mcap", recording()).rename(tmp_path / f"{name}.mcap")
    with pytest.raises(SourceError, match=r"several bags .* give one of a.mcap, b.mcap"):
        open_source(str(tmp_path))
    (tmp_path / "b.mcap").unlink()
    assert len(list(open_source(str(tmp_path)))) == 6
