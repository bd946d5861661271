"""The unit of lengths in an image, so that constants need not be tuned again for every size of the image."""

from __future__ import annotations

NOMINAL_SIDE_PX = 224
"""Shorter side in pixels of the image in whose pixels the tuned lengths of this package are given."""


def pixel_unit(shape: tuple[int, ...]) -> float:
    """How many pixels of an image of this shape (height, width) one pixel of the nominal image has.

    In smaller images it is 1: their corners are found no more exactly than to the same fraction of a pixel.
    """
    return max(1.0, min(shape[0], shape[1]) / NOMINAL_SIDE_PX)


def odd_pixels(length: float, shape: tuple[int, ...]) -> int:
    """A length in nominal pixels as an odd number of pixels of an image of this shape: the side of a window that has a
    pixel in its middle."""
    return 2 * int(length * pixel_unit(shape) / 2) + 1
