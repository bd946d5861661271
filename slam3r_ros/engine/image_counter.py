"""Counts the images of the camera's stream, those that were left out included."""

from __future__ import annotations

from slam3r_ros.types import EncodedAhead, Frame, PreparedFrame

_NEWEST_WEIGHT = 0.05
"""Weight of the newest value in the moving average of images a frame."""


class ImageCounter:
    """Gives each image that comes its place in the camera's stream."""

    def __init__(self) -> None:
        self._count = 0
        self._last_number: int | None = None  # in the camera's stream

    def start_anew(self) -> None:
        """Another map begins: the next image follows the last one."""
        self._last_number = None

    def count(self, number: int | None, images_per_frame: float) -> tuple[int, float]:
        """Index of the next image in the camera's stream, and the moving average of images a frame, of which
        ``images_per_frame`` is the value so far.

        Where images are numbered, the numbers between it and the one before are images that were left out; else the
        images are taken to follow one another.
        """
        images = 1 if number is None or self._last_number is None else max(1, number - self._last_number)
        self._last_number = number
        self._count += images
        return self._count - 1, images_per_frame + _NEWEST_WEIGHT * (images - images_per_frame)


def number_of(frame: Frame | PreparedFrame | EncodedAhead) -> int | None:
    """The number of an image in the camera's stream; None where the source does not number its images."""
    if isinstance(frame, Frame):
        return frame.number
    return frame.header.number if isinstance(frame, PreparedFrame) else frame.encoded.header.number
