"""Image bytes to RGB, from the plain values of a sensor_msgs Image or CompressedImage; nothing here needs ROS."""

from __future__ import annotations

from array import array
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

ImageData: TypeAlias = "bytes | bytearray | memoryview | array[int] | NDArray[np.uint8]"

_BYTES_PER_PIXEL = {"rgb8": 3, "bgr8": 3, "8UC3": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "8UC1": 1, "mono16": 2}
_CONVERSIONS = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "8UC3": cv2.COLOR_BGR2RGB,  # as in cv_bridge, OpenCV's own order
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
    "mono16": cv2.COLOR_GRAY2RGB,
}
KNOWN_ENCODINGS = tuple(_BYTES_PER_PIXEL)
"""Encodings that `decode_image` takes."""

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, b"\xff\xd9"


class ImageError(ValueError):
    """An image cannot be decoded; the message says what was expected and what came."""


class UnknownEncodingError(ImageError):
    """The encoding is none of KNOWN_ENCODINGS; another decoder may know it."""


class ImageMessage(Protocol):
    """The fields of a sensor_msgs/Image, whoever deserialised it."""

    data: Any
    width: int
    height: int
    encoding: str
    step: int
    is_bigendian: int


def decode_message(message: ImageMessage) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of a sensor_msgs/Image; see `decode_image`."""
    return decode_image(
        message.data,
        width=message.width,
        height=message.height,
        encoding=message.encoding,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )


def decode_image(
    data: ImageData, *, width: int, height: int, encoding: str, step: int, is_bigendian: bool = False
) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of raw image bytes.

    ``step`` is the length of a row in bytes, padding included. Of 16 bit greys the upper 8 bits are taken. An rgb8
    image is a view of ``data``, not a copy (not writable if ``data`` is not). Raises UnknownEncodingError, and
    ImageError when size, step and amount of data do not fit each other.
    """
    if encoding not in _BYTES_PER_PIXEL:
        raise UnknownEncodingError(f"image encoding '{encoding}' is unknown; known: {', '.join(KNOWN_ENCODINGS)}")
    if width < 1 or height < 1:
        raise ImageError(f"image size: expected at least 1 x 1 pixels, got {width} x {height}")
    row_bytes = width * _BYTES_PER_PIXEL[encoding]
    if step < row_bytes:
        raise ImageError(f"image step: a row of {width} {encoding} pixels takes {row_bytes} bytes, got step {step}")
    flat = np.frombuffer(data, dtype=np.uint8) if len(data) else np.empty(0, np.uint8)
    if flat.size < height * step:
        raise ImageError(
            f"image data: {height} rows of step {step} take {height * step} bytes, got {flat.size} "
            f"({width} x {height} {encoding})"
        )
    rows = flat[: height * step].reshape(height, step)[:, :row_bytes]
    if encoding == "mono16":
        rows = np.ascontiguousarray(rows[:, 0 if is_bigendian else 1 :: 2])
    if encoding in ("mono8", "8UC1", "mono16"):
        return _converted(rows, _CONVERSIONS[encoding])
    pixels = rows.reshape(height, width, _BYTES_PER_PIXEL[encoding])
    return pixels if encoding == "rgb8" else _converted(pixels, _CONVERSIONS[encoding])


def decode_compressed(data: ImageData, *, honour_orientation: bool = False) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of a JPEG or PNG, or another file format that OpenCV reads; 16 bit become 8.

    ``honour_orientation`` turns the image as its EXIF data asks, which a camera's intrinsics know nothing of. Raises
    ImageError for bytes that are no image, and for a JPEG or PNG that breaks off before its end (of which OpenCV would
    return the upper part on grey).
    """
    content = np.frombuffer(data, dtype=np.uint8) if len(data) else np.empty(0, np.uint8)
    if not content.size:
        raise ImageError("compressed image: got no data")
    head = content[:8].tobytes()
    if head.startswith(b"\xff\xd8"):
        _check_jpeg_is_whole(content.tobytes())
    elif head.startswith(b"\x89PNG") and b"IEND" not in content[-64:].tobytes():
        raise ImageError(f"compressed image: a PNG that breaks off after {content.size} bytes")
    flags = cv2.IMREAD_COLOR if honour_orientation else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(content, flags)
    except cv2.error as error:  # raised for sizes beyond OpenCV's limit
        raise ImageError(f"compressed image: OpenCV refuses it: {error.err}") from error
    if image is None:
        raise ImageError(
            f"compressed image: {content.size} bytes that are no readable image (they begin with {head.hex(' ')})"
        )
    return _converted(image, cv2.COLOR_BGR2RGB)


def _converted(image: NDArray[Any], conversion: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, conversion), dtype=np.uint8)


def _check_jpeg_is_whole(content: bytes) -> None:
    """Raise ImageError unless an end mark follows the first scan; one in an embedded preview does not count."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF and content[position + 1] != _START_OF_SCAN:
        if content[position + 1] == 0xFF:  # padding
            position += 1
        else:
            position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    if content.find(_END_OF_IMAGE, position) < 0:
        raise ImageError(f"compressed image: a JPEG that breaks off after {len(content)} bytes")
