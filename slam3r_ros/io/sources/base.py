"""What every source of frames is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.io.camera_info import camera_of_size
from slam3r_ros.types import Frame, InputError

DEFAULT_RATE_HZ = 30.0
"""Assumed where nothing says how fast the frames were taken."""
PROBLEMS_LIMIT = 100
"""Most problems that a source keeps; one more line then says that there were others."""


class SourceError(ValueError):
    """A source cannot be opened; the message names it, says why and what to do."""


class Source(ABC):
    """Frames in the order they were taken. Iterate as often as you like; each time starts at the beginning.

    What is wrong with a single frame does not end the iteration: the frame is left out (or comes without a camera) and
    `problems` says so.
    """

    def __init__(self, description: str, rate_hz: float, length: int | None) -> None:
        self.description = description
        """What this is, for people."""
        self.rate_hz = rate_hz
        """Frames a second: the rate asked for, else that of the recording."""
        self.length = length
        """Frames that there should be; None if that is not known."""
        self.problems: list[str] = []
        """What was wrong so far, one sentence each, naming file or frame, none twice."""
        self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames():
            if self._closed:
                return
            yield frame

    @abstractmethod
    def _frames(self) -> Iterator[Frame]:
        """A new iteration from the beginning; what it opens it closes."""

    def close(self) -> None:
        """End the iterations in progress at their next frame."""
        self._closed = True

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _report(self, problem: str) -> None:
        if len(self.problems) < PROBLEMS_LIMIT and problem not in self.problems:
            self.problems.append(problem)
        elif len(self.problems) == PROBLEMS_LIMIT and problem not in self.problems:
            self.problems.append(f"more problems than these {PROBLEMS_LIMIT}")

    def _fitting(self, camera: Camera | None, image: NDArray[np.uint8], origin: str) -> Camera | None:
        """The camera for an image: scaled where the image has another size of the same shape, else None."""
        height, width = image.shape[:2]
        fitting = None if camera is None else camera_of_size(camera, width, height)
        if camera is not None and fitting is None:
            self._report(
                f"{origin} not used: it is for {camera.width} x {camera.height} pixels, images have {width} x {height}"
            )
        return fitting

    def _frame(self, name: str, stamp_ns: int, image: NDArray[np.uint8], camera: Camera | None) -> Frame | None:
        """A frame, or None and a problem where the engine could not use the image."""
        try:
            return Frame(stamp_ns, image, camera)
        except InputError as error:
            self._report(f"{name} left out: {error}")
            return None


def stamp_at(index: int, rate_hz: float) -> int:
    """Integer nanoseconds of frame ``index`` of a recording without stamps, from 0."""
    return round(index * 1e9 / rate_hz)


def rate_of(stamps_ns: list[int]) -> float:
    """Frames a second of a recording, by the median distance of stamps; DEFAULT_RATE_HZ where that is not positive."""
    distances = np.diff(np.array(stamps_ns, dtype=np.int64))
    median_ns = float(np.median(distances)) if len(distances) else 0.0
    return 1e9 / median_ns if median_ns > 0 else DEFAULT_RATE_HZ
