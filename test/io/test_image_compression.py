"""Images and depths as messages carry them: what comes back, how exactly, and what is refused."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from slam3r_ros.io.image_compression import (
    CompressionError,
    decode_depth,
    decode_grey,
    decode_jpeg,
    encode_depth,
    encode_grey,
    encode_jpeg,
)


@pytest.mark.parametrize(("nearest", "farthest"), [(0.5, 0.6), (0.02, 2.0), (1.0, 1.0), (3.0, 390.0)])
def test_depths_come_back_within_a_thousandth(nearest: float, farthest: float) -> None:
    depth = np.random.default_rng(0).uniform(nearest, farthest, (40, 60)).astype(np.float32)
    depth[:, 0], depth[0, 1:4] = [nearest] * 40, [np.nan, np.inf, -1.0]
    back = decode_depth(encode_depth(depth))
    known = np.isfinite(depth) & (depth > 0)
    assert (np.isfinite(back) == known).all()
    np.testing.assert_allclose(back[known], depth[known], rtol=1.1e-3)


def test_the_form_is_that_of_image_transport() -> None:
    """raw = a / depth + b, as compressed_depth_image_transport's decoder has it: depth = a / (raw - b)."""
    depth = np.array([[1.0, 2.0], [4.0, np.nan]], np.float32)
    kind, a, b = struct.unpack_from("<iff", data := encode_depth(depth))
    raw = cv2.imdecode(np.frombuffer(data[12:], np.uint8), cv2.IMREAD_UNCHANGED)
    assert kind == 1 and raw is not None and raw.dtype == np.uint16 and raw[1, 1] == 0
    np.testing.assert_allclose(a / (raw[0] - b), [1.0, 2.0], rtol=1e-3)


def test_an_image_without_any_depth_is_one() -> None:
    assert np.isnan(decode_depth(encode_depth(np.full((3, 5), np.nan, np.float32)))).all()


def test_colours_keep_their_order_and_grey_is_exact() -> None:
    image = np.broadcast_to(np.array([200, 100, 20], np.uint8), (16, 24, 3)).copy()
    np.testing.assert_allclose(decode_jpeg(encode_jpeg(image, 90)), image, atol=3)
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(decode_grey(encode_grey(grey)), grey)


@pytest.mark.parametrize("data", [b"", b"no image", encode_depth(np.ones((4, 4), np.float32))[:-20], b"\0" * 40])
def test_what_holds_no_image_is_refused(data: bytes) -> None:
    for decode in (decode_depth, decode_grey, decode_jpeg):
        with pytest.raises(CompressionError, match="expected"):
            decode(data)
