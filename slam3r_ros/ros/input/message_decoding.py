"""Image messages to RGB arrays; encodings that this package does not decode itself go through cv_bridge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from slam3r_ros.io.image_decoding import ImageError, UnknownEncodingError, decode_compressed, decode_message


def decode(message: Image | CompressedImage) -> NDArray[np.uint8]:
    """Return the (height, width, 3) RGB image of a message; raises ImageError saying what is wrong with it."""
    if isinstance(message, CompressedImage):
        return decode_compressed(message.data)
    try:
        return decode_message(message)
    except UnknownEncodingError as unknown:
        try:
            return decode_with_cv_bridge(message)
        except ImageError as error:
            raise ImageError(f"{unknown}; {error}") from error


def decode_with_cv_bridge(message: Image) -> NDArray[np.uint8]:
    """Return the (height, width, 3) RGB image of a message in a rare encoding, such as 32FC1 or yuv444.

    cv_bridge is imported only when such an image comes: its compiled part needs NumPy 1 in some distributions. Raises
    ImageError if it does not import, and if it does not know the encoding either.
    """
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except (ImportError, AttributeError) as error:
        raise ImageError(
            f"image encoding '{message.encoding}' needs cv_bridge, which does not import here ({error})"
        ) from error
    failures = (CvBridgeError, RuntimeError, LookupError, ValueError, TypeError, AttributeError)  # of its versions
    try:
        decoded = CvBridge().imgmsg_to_cv2(message, "rgb8")
    except failures as error:
        raise ImageError(f"image encoding '{message.encoding}' is unknown to cv_bridge too: {error}") from error
    return np.ascontiguousarray(decoded, dtype=np.uint8)
