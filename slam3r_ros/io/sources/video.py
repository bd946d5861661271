"""Frames of a video file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from slam3r_ros.io.sources.base import DEFAULT_RATE_HZ, Source, SourceError, stamp_at
from slam3r_ros.types import Frame

_FASTEST_HZ = 1000.0
"""A file that claims more frames a second than this is not believed."""


class VideoSource(Source):
    """A video file that OpenCV reads; stamps count from 0 at the rate."""

    def __init__(self, path: Path, rate_hz: float | None = None) -> None:
        capture = _open(path)
        try:
            own_rate = float(capture.get(cv2.CAP_PROP_FPS))
            count = int(max(capture.get(cv2.CAP_PROP_FRAME_COUNT), 0))
            if not capture.read()[0]:
                raise SourceError(f"video '{path}' has no frame that can be read")
        finally:
            capture.release()
        if not (math.isfinite(own_rate) and 0 < own_rate <= _FASTEST_HZ):
            own_rate = DEFAULT_RATE_HZ
        super().__init__(f"video {path.name}", rate_hz or own_rate, count or None)
        self._path = path

    def _frames(self) -> Iterator[Frame]:
        capture = _open(self._path)
        try:
            index = 0
            while (image := capture.read()[1]) is not None:
                rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
                frame = self._frame(f"frame {index} of {self._path.name}", stamp_at(index, self.rate_hz), rgb, None)
                index += 1
                if frame is not None:
                    yield frame
        finally:
            capture.release()
        if self.length is not None and index < self.length:
            self._report(f"{self._path.name}: only {index} of the {self.length} frames it announces can be read")


def _open(path: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        capture.release()
        raise SourceError(f"source '{path}' is no video that OpenCV can read")
    return capture
