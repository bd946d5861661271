"""Images as messages and files carry them: JPEG and PNG, and depths as image_transport's compressedDepth has them."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

_HEADER = struct.Struct("<iff")
"""Of compressedDepth: the kind of quantization, and its two parameters."""
_INVERSE_DEPTH = 1
"""The kind of quantization by which raw = a / depth + b."""
_LARGEST = 65535
_LEVELS_PER_RATIO = 500
"""Levels of inverse depth, times the ratio of the farthest to the nearest depth: an error of 0.1 % at the farthest."""
_PNG_EFFORT = [cv2.IMWRITE_PNG_COMPRESSION, 1]
"""The fastest compression: a higher one takes several times as long for a few percent."""


class CompressionError(ValueError):
    """Bytes do not hold the image that they should."""


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """An image (height, width, 3) RGB as JPEG of this quality, 1 to 100."""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


def decode_jpeg(data: bytes | memoryview) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of a JPEG or PNG. Raises CompressionError."""
    return _decode(data, cv2.IMREAD_COLOR_RGB, np.uint8)


def encode_grey(image: NDArray[np.uint8]) -> bytes:
    """An image (height, width) as PNG."""
    _, encoded = cv2.imencode(".png", image, _PNG_EFFORT)
    return encoded.tobytes()


def decode_grey(data: bytes | memoryview) -> NDArray[np.uint8]:
    """(height, width) of a grey image. Raises CompressionError."""
    return _decode(data, cv2.IMREAD_GRAYSCALE, np.uint8)


def encode_depth(depth: NDArray[np.float32]) -> bytes:
    """Depths (h, w) as "32FC1; compressedDepth png": inverse depths in steps of at most 0.1 % of the farthest depth,
    unless one is 130 times the nearest; what is not finite or not positive is lost."""
    known = np.isfinite(depth) & (depth > 0)
    inverse = np.divide(1.0, depth, out=np.zeros(depth.shape, np.float64), where=known)
    near, far = (float(inverse[known].max()), float(inverse[known].min())) if known.any() else (1.0, 1.0)
    levels = float(min(_LARGEST - 1, np.ceil(_LEVELS_PER_RATIO * near / far)))
    a = np.float32(levels / max(near - far, 1e-6 * near))
    b = np.float32(1.0 - a * far)
    raw = np.where(known, np.clip(np.rint(a * inverse + b), 1, _LARGEST), 0).astype(np.uint16)
    _, encoded = cv2.imencode(".png", raw, _PNG_EFFORT)
    return _HEADER.pack(_INVERSE_DEPTH, a, b) + encoded.tobytes()


def decode_depth(data: bytes | memoryview) -> NDArray[np.float32]:
    """(h, w) depths of `encode_depth`, NaN where none is known. Raises CompressionError."""
    if len(data) <= _HEADER.size:
        raise CompressionError(f"expected a depth image, got {len(data)} bytes")
    kind, a, b = _HEADER.unpack_from(data)
    if kind != _INVERSE_DEPTH:
        raise CompressionError(f"expected a depth image of inverse depths, got kind {kind}")
    raw = _decode(memoryview(data)[_HEADER.size :], cv2.IMREAD_UNCHANGED, np.uint16)
    with np.errstate(divide="ignore"):
        depth = a / (raw.astype(np.float64) - b)
    return np.where(raw > 0, depth, np.nan).astype(np.float32)


def _decode(data: bytes | memoryview, flags: int, dtype: type[np.uint8 | np.uint16]) -> NDArray[np.uint8]:
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if len(data) else None
    if decoded is None or decoded.dtype != dtype:
        raise CompressionError(f"expected an image of {dtype.__name__}, got {len(data)} bytes that hold none")
    return decoded  # type: ignore[return-value]
