"""Encodings whose pixels share samples, YUV and Bayer, against an independent reference over random sizes and steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slam3r_ros.io.image_decoding import ImageError, decode_image


def rgb_from_yuv(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """ITU-R BT.601 of limited range, where luma below 16 is black, in floats."""
    luma, blue, red = 1.164383 * (np.maximum(y, 16).astype(float) - 16), u.astype(float) - 128, v.astype(float) - 128
    rgb = [luma + 1.596027 * red, luma - 0.391762 * blue - 0.812968 * red, luma + 2.017232 * blue]
    return np.clip(np.stack(rgb, axis=2), 0, 255)


def padded_rows(rows: np.ndarray, padding: int, rng: np.random.Generator) -> bytes:
    filler = rng.integers(0, 256, (len(rows), padding), np.uint8)
    return np.concatenate([rows, filler], axis=1).tobytes()


@settings(max_examples=150, deadline=None)
@given(
    encoding=st.sampled_from(["uyvy", "yuv422", "yuyv", "yuv422_yuy2"]),
    half_width=st.integers(1, 20),
    height=st.integers(1, 20),
    padding=st.integers(0, 33),
    seed=st.integers(0, 1000),
)
def test_packed_yuv(encoding: str, half_width: int, height: int, padding: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (height, 4 * half_width), np.uint8)
    first_luma = 1 if encoding in ("uyvy", "yuv422") else 0
    y, chroma = rows[:, first_luma::2], rows[:, 1 - first_luma :: 2]
    expected = rgb_from_yuv(y, chroma[:, 0::2].repeat(2, axis=1), chroma[:, 1::2].repeat(2, axis=1))
    step = 4 * half_width + padding
    got = decode_image(
        padded_rows(rows, padding, rng), width=2 * half_width, height=height, encoding=encoding, step=step
    )
    assert got.dtype == np.uint8 and np.abs(got - expected).max() <= 2


@settings(max_examples=150, deadline=None)
@given(
    encoding=st.sampled_from(["nv12", "nv21"]),
    half_width=st.integers(1, 20),
    half_height=st.integers(1, 20),
    padding=st.integers(0, 33),
    seed=st.integers(0, 1000),
)
def test_planar_yuv(encoding: str, half_width: int, half_height: int, padding: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height = 2 * half_width, 2 * half_height
    rows = rng.integers(0, 256, (3 * half_height, width), np.uint8)
    chroma = rows[height:].reshape(half_height, half_width, 2).repeat(2, axis=0).repeat(2, axis=1)
    u, v = chroma[..., 0], chroma[..., 1]
    expected = rgb_from_yuv(rows[:height], *((u, v) if encoding == "nv12" else (v, u)))
    data = padded_rows(rows, padding, rng)
    got = decode_image(data, width=width, height=height, encoding=encoding, step=width + padding)
    assert np.abs(got - expected).max() <= 2


@pytest.mark.parametrize("step", [8, 12, 16])
def test_planar_yuv_without_padding_whatever_its_step_counts(step: int) -> None:
    data = np.random.default_rng(0).integers(0, 256, 8 * 6 * 3 // 2, np.uint8).tobytes()
    expected = decode_image(data, width=8, height=6, encoding="nv12", step=8)
    assert np.array_equal(decode_image(data, width=8, height=6, encoding="nv12", step=step), expected)


def mosaic_colours(order: str, height: int, width: int) -> np.ndarray:
    """(height, width) the channel (0 red, 1 green, 2 blue) that each pixel of a Bayer sensor sees."""
    tile = np.array(["rgb".index(letter) for letter in order]).reshape(2, 2)
    return np.tile(tile, (height // 2 + 1, width // 2 + 1))[:height, :width]


def bilinear_inside(mosaic: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(height - 2, width - 2, 3) each channel as the mean of its nearest samples, without the outermost pixels."""
    height, width = mosaic.shape
    expected = np.zeros((height - 2, width - 2, 3))
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            near = mosaic[row - 1 : row + 2, column - 1 : column + 2].astype(float)
            seen = colours[row - 1 : row + 2, column - 1 : column + 2]
            for channel in range(3):
                if colours[row, column] == channel:
                    expected[row - 1, column - 1, channel] = near[1, 1]
                else:
                    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool) if channel == 1 else np.ones((3, 3), bool)
                    expected[row - 1, column - 1, channel] = near[(seen == channel) & cross].mean()
    return expected


@settings(max_examples=150, deadline=None)
@given(
    order=st.sampled_from(["rggb", "bggr", "gbrg", "grbg"]),
    bits=st.sampled_from([8, 16]),
    is_bigendian=st.booleans(),
    width=st.integers(3, 14),
    height=st.integers(3, 14),
    padding=st.integers(0, 33),
    seed=st.integers(0, 1000),
)
def test_bayer(order: str, bits: int, is_bigendian: bool, width: int, height: int, padding: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mosaic = rng.integers(0, 256, (height, width), np.uint8)
    rows = mosaic
    if bits == 16:
        lower = rng.integers(0, 256, (height, width), np.uint8)
        pair = (mosaic, lower) if is_bigendian else (lower, mosaic)
        rows = np.stack(pair, axis=2).reshape(height, 2 * width)
    data, step = padded_rows(rows, padding, rng), rows.shape[1] + padding
    got = decode_image(
        data, width=width, height=height, encoding=f"bayer_{order}{bits}", step=step, is_bigendian=is_bigendian
    )
    expected = bilinear_inside(mosaic, mosaic_colours(order, height, width))
    assert got.shape == (height, width, 3) and np.abs(got[1:-1, 1:-1] - expected).max() <= 1


@pytest.mark.parametrize(
    ("encoding", "width", "height", "message"),
    [
        ("yuyv", 3, 2, "multiple of 2 and a height that is a multiple of 1, got 3 x 2"),
        ("nv12", 4, 3, "multiple of 2 and a height that is a multiple of 2, got 4 x 3"),
        ("bayer_rggb8", 2, 8, "at least 3 x 3 pixels, got 2 x 8"),
    ],
)
def test_a_size_that_shared_samples_do_not_allow(encoding: str, width: int, height: int, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        decode_image(bytes(1000), width=width, height=height, encoding=encoding, step=2 * width)
