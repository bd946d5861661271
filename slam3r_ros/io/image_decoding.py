"""Image bytes to RGB, from the plain values of a sensor_msgs Image or CompressedImage; nothing here needs ROS.

The encodings are those of sensor_msgs/image_encodings and of common camera drivers. OpenCV converts them.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

ImageData: TypeAlias = "bytes | bytearray | memoryview | array[int] | NDArray[np.uint8]"


@dataclass(frozen=True, slots=True)
class _Layout:
    """How an encoding lays out its pixels."""

    channels: int
    """The number of samples of a pixel that lie side by side."""
    sample_bytes: int
    """The bytes of one sample. Of two bytes the upper one is used."""
    conversion: int | None
    """OpenCV's code for the conversion to RGB; None if the samples are RGB already."""
    rows_per_pair: int = 2
    """The rows of samples that two rows of pixels take: 3 where chroma of half the size follows the luma plane."""
    size_multiple: tuple[int, int] = (1, 1)
    """Width and height are multiples of these, since pixels share their chroma."""
    least_size: int = 1
    """The least width and height from which OpenCV makes an image."""


def _bayer(sample_bytes: int, conversion: int) -> _Layout:
    return _Layout(1, sample_bytes, conversion, least_size=3)


def _yuv_422(conversion: int) -> _Layout:
    return _Layout(2, 1, conversion, size_multiple=(2, 1))


def _yuv_420(conversion: int) -> _Layout:
    return _Layout(1, 1, conversion, rows_per_pair=3, size_multiple=(2, 2))


# Names without an order of the channels (8UC3 ...) have OpenCV's own, BGR, as in cv_bridge.
_LAYOUTS = {
    "rgb8": _Layout(3, 1, None),
    "bgr8": _Layout(3, 1, cv2.COLOR_BGR2RGB),
    "8UC3": _Layout(3, 1, cv2.COLOR_BGR2RGB),
    "rgba8": _Layout(4, 1, cv2.COLOR_RGBA2RGB),
    "bgra8": _Layout(4, 1, cv2.COLOR_BGRA2RGB),
    "8UC4": _Layout(4, 1, cv2.COLOR_BGRA2RGB),
    "mono8": _Layout(1, 1, cv2.COLOR_GRAY2RGB),
    "8UC1": _Layout(1, 1, cv2.COLOR_GRAY2RGB),
    "mono16": _Layout(1, 2, cv2.COLOR_GRAY2RGB),
    "16UC1": _Layout(1, 2, cv2.COLOR_GRAY2RGB),
    "rgb16": _Layout(3, 2, None),
    "bgr16": _Layout(3, 2, cv2.COLOR_BGR2RGB),
    "16UC3": _Layout(3, 2, cv2.COLOR_BGR2RGB),
    "rgba16": _Layout(4, 2, cv2.COLOR_RGBA2RGB),
    "bgra16": _Layout(4, 2, cv2.COLOR_BGRA2RGB),
    "16UC4": _Layout(4, 2, cv2.COLOR_BGRA2RGB),
    "bayer_rggb8": _bayer(1, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr8": _bayer(1, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg8": _bayer(1, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg8": _bayer(1, cv2.COLOR_BayerGRBG2RGB),
    "bayer_rggb16": _bayer(2, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr16": _bayer(2, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg16": _bayer(2, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg16": _bayer(2, cv2.COLOR_BayerGRBG2RGB),
    "uyvy": _yuv_422(cv2.COLOR_YUV2RGB_UYVY),
    "yuv422": _yuv_422(cv2.COLOR_YUV2RGB_UYVY),  # the same, by its older name
    "yuyv": _yuv_422(cv2.COLOR_YUV2RGB_YUY2),
    "yuv422_yuy2": _yuv_422(cv2.COLOR_YUV2RGB_YUY2),
    "nv12": _yuv_420(cv2.COLOR_YUV2RGB_NV12),
    "nv21": _yuv_420(cv2.COLOR_YUV2RGB_NV21),
}
KNOWN_ENCODINGS = tuple(_LAYOUTS)
"""The encodings that `decode_image` takes."""

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, b"\xff\xd9"
"""The code of the JPEG marker before the compressed pixels, and the two bytes of the marker after them."""
_FILLERS = (bytes(4096), b"\xa5\x3c\x96\x5a" * 1024)
"""Bytes that may stand after a complete scan of a JPEG without changing the image."""


class ImageError(ValueError):
    """An image cannot be decoded; the message says what was expected and what came."""


class UnknownEncodingError(ImageError):
    """The encoding is none of KNOWN_ENCODINGS; another decoder may know it."""


def encoding_remark(encoding: str) -> str | None:
    """What a user should know of an encoding that is taken although its meaning is not certain; None for the others."""
    if encoding != "16UC1":
        return None
    return (
        "images of encoding 16UC1 are taken as 16 bit grey; if this is a depth image, name the topic of the colour "
        "or grey camera instead"
    )


class ImageMessage(Protocol):
    """The fields of a sensor_msgs/Image, whoever deserialised it."""

    data: Any
    """The bytes of the rows, one after the other."""
    width: int
    """The number of pixels in a row."""
    height: int
    """The number of rows of pixels."""
    encoding: str
    """The layout of a pixel, by the names of sensor_msgs/image_encodings."""
    step: int
    """The number of bytes from the beginning of one row to that of the next."""
    is_bigendian: int
    """Whether samples of two bytes have their upper byte first."""


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

    ``step`` is the length of a row in bytes, padding included; nv12 and nv21 may give it for the pixels of both planes
    together where there is no padding. Of 16 bit samples the upper 8 bits are taken. An rgb8 image is a view of
    ``data``, not a copy (not writable if ``data`` is not). Raises UnknownEncodingError, and ImageError when size, step
    and amount of data do not fit each other.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise UnknownEncodingError(f"image encoding '{encoding}' is unknown; known: {', '.join(KNOWN_ENCODINGS)}")
    _check_size(layout, width, height, encoding)
    row_bytes = width * layout.channels * layout.sample_bytes
    row_count = height * layout.rows_per_pair // 2
    flat = np.frombuffer(data, dtype=np.uint8) if len(data) else np.empty(0, np.uint8)
    if layout.rows_per_pair != 2 and flat.size == row_count * row_bytes:
        step = row_bytes
    if step < row_bytes:
        raise ImageError(f"image step: a row of {width} {encoding} pixels takes {row_bytes} bytes, got step {step}")
    if flat.size < row_count * step:
        raise ImageError(
            f"image data: {row_count} rows of step {step} take {row_count * step} bytes, got {flat.size} "
            f"({width} x {height} {encoding})"
        )
    rows = flat[: row_count * step].reshape(row_count, step)[:, :row_bytes]
    if layout.sample_bytes == 2:
        rows = rows[:, 0 if is_bigendian else 1 :: 2]
    pixels = rows if layout.channels == 1 else rows.reshape(row_count, width, layout.channels)
    return pixels if layout.conversion is None else _converted(np.ascontiguousarray(pixels), layout.conversion)


def _check_size(layout: _Layout, width: int, height: int, encoding: str) -> None:
    """Raise ImageError for a size that no image of this layout has."""
    least, (across, down) = layout.least_size, layout.size_multiple
    if min(width, height) < least:
        raise ImageError(f"image size: expected at least {least} x {least} pixels, got {width} x {height} ({encoding})")
    if width % across or height % down:
        raise ImageError(
            f"image size: {encoding} has a width that is a multiple of {across} and a height that is a "
            f"multiple of {down}, got {width} x {height}"
        )


def decode_compressed(data: ImageData, *, honour_orientation: bool = False) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of a JPEG or PNG, or another file format that OpenCV reads; 16 bit become 8.

    ``honour_orientation`` turns the image as its EXIF data asks, which a camera's intrinsics know nothing of. A JPEG
    that lacks nothing but its end mark, as some cameras send it, is taken. Raises ImageError for bytes that are no
    image, and for a JPEG or PNG that breaks off before its end (of which OpenCV would return the upper part on grey).
    """
    content = np.frombuffer(data, dtype=np.uint8) if len(data) else np.empty(0, np.uint8)
    if not content.size:
        raise ImageError("compressed image: got no data")
    head = content[:8].tobytes()
    if head.startswith(b"\xff\xd8"):
        content = _whole_jpeg(content.tobytes())
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


def _whole_jpeg(content: bytes) -> NDArray[np.uint8]:
    """A JPEG with its end mark, which is added where it alone is missing; raises ImageError if more is.

    What follows a complete scan does not change the image; in an incomplete one it would be decoded.
    """
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF and content[position + 1] != _START_OF_SCAN:
        if content[position + 1] == 0xFF:  # padding
            position += 1
        else:
            position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    if content.find(_END_OF_IMAGE, position) >= 0:  # one in an embedded preview does not count
        return np.frombuffer(content, np.uint8)
    begun = content.rstrip(b"\xff")
    candidates = [np.frombuffer(begun + filler + _END_OF_IMAGE, np.uint8) for filler in _FILLERS]
    first, second = (cv2.imdecode(candidate, cv2.IMREAD_COLOR) for candidate in candidates)
    if first is None or second is None or not np.array_equal(first, second):
        raise ImageError(f"compressed image: a JPEG that breaks off after {len(content)} bytes")
    return candidates[0]
