"""Strategies for images and camera_info that a broken driver may send: any field may be wrong, alone or with others."""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Time
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from slam3r_ros.io.image_decoding import KNOWN_ENCODINGS

_MODELS = ("", "plumb_bob", "rational_polynomial", "equidistant", "fisheye", "radtan", "magic", "\x00")
_FRAMES = ("cam", "", "/cam", "map", "/", "a b", "x" * 300, "kamera_ä")
_LARGEST_SIDE = 72
_UINT32 = st.one_of(st.integers(0, 100), st.integers(0, 2**32 - 1))
_NUMBER = st.one_of(st.floats(width=64), st.floats(-1e3, 1e3), st.just(0.0))


@st.composite
def headers(draw: st.DrawFn, number: int = 0) -> Header:
    """A header whose stamp mostly follows that of the message before it, ``number`` being its place."""
    usual = Time(sec=1_700_000_000 + number // 30, nanosec=number % 30 * 33_333_333)
    strange = st.builds(Time, sec=st.integers(-(2**31), 2**31 - 1), nanosec=_UINT32)
    stamp = draw(st.one_of(st.just(usual), st.just(usual), st.just(Time()), strange))
    return Header(stamp=stamp, frame_id=draw(st.sampled_from(_FRAMES)))


@st.composite
def images(draw: st.DrawFn, number: int = 0) -> Image:
    """An image whose size, step, encoding and data may contradict one another."""
    height, width = draw(st.integers(0, _LARGEST_SIDE)), draw(st.integers(0, _LARGEST_SIDE))
    encoding = draw(st.one_of(st.sampled_from(sorted(KNOWN_ENCODINGS)), st.sampled_from(["", "rgb", "8UC9", "mono8 "])))
    step = draw(st.one_of(st.just(width * 3), st.integers(0, 8 * _LARGEST_SIDE), _UINT32))
    count = draw(st.one_of(st.just(min(height * step, 200_000)), st.integers(0, 20_000)))
    data = np.random.default_rng(draw(st.integers(0, 9))).bytes(count)
    claimed = draw(st.one_of(st.just((height, width)), st.tuples(_UINT32, _UINT32)))
    return Image(
        header=draw(headers(number)),
        height=claimed[0],
        width=claimed[1],
        encoding=encoding,
        is_bigendian=draw(st.integers(0, 255)),
        step=step,
        data=array.array("B", data),
    )


def good_image(number: int, width: int = 64) -> Image:
    """An rgb8 image of noise without fault, 48 pixels high."""
    data = np.random.default_rng(number).bytes(48 * width * 3)
    head = Header(stamp=Time(sec=1_700_000_000 + number // 30, nanosec=number % 30 * 33_333_333), frame_id="cam")
    return Image(header=head, height=48, width=width, encoding="rgb8", step=3 * width, data=array.array("B", data))


@st.composite
def compressed_images(draw: st.DrawFn, number: int = 0) -> CompressedImage:
    """Bytes that are said to be a JPEG or a PNG."""
    start = draw(st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBP"]))
    data = array.array("B", start + draw(st.binary(max_size=200)))
    return CompressedImage(header=draw(headers(number)), format=draw(st.sampled_from(["jpeg", "", "16UC1"])), data=data)


@st.composite
def camera_infos(draw: st.DrawFn, number: int = 0) -> CameraInfo:
    """Intrinsics of which any number may be anything."""

    def numbers(count: int) -> st.SearchStrategy[list[float]]:
        return st.lists(_NUMBER, min_size=count, max_size=count)

    usual_k = [60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]
    region = RegionOfInterest(
        x_offset=draw(_UINT32), y_offset=draw(_UINT32), height=draw(_UINT32), width=draw(_UINT32), do_rectify=True
    )
    return CameraInfo(
        header=draw(headers(number)),
        height=draw(st.one_of(st.just(48), _UINT32)),
        width=draw(st.one_of(st.just(64), _UINT32)),
        distortion_model=draw(st.sampled_from(_MODELS)),
        d=draw(st.lists(_NUMBER, max_size=15)),
        k=draw(st.one_of(st.just(usual_k), numbers(9))),
        r=draw(numbers(9)),
        p=draw(numbers(12)),
        binning_x=draw(_UINT32),
        binning_y=draw(_UINT32),
        roi=draw(st.one_of(st.just(RegionOfInterest()), st.just(region))),
    )


def messages(number: int) -> st.SearchStrategy[Image | CameraInfo]:
    """A message of any kind for a node that takes raw images."""
    good_images = st.builds(good_image, st.just(number), st.sampled_from([64, 72]))
    return st.one_of(images(number), images(number), camera_infos(number), good_images)
