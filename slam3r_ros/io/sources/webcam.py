"""Frames of a camera that OpenCV opens by number."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import cv2
import numpy as np

from slam3r_ros.io.sources.base import DEFAULT_RATE_HZ, Source, SourceError
from slam3r_ros.types import Frame


class WebcamSource(Source):
    """A camera of this machine. Stamps are this machine's time when the image came; it never ends by itself."""

    def __init__(self, index: int, rate_hz: float | None = None) -> None:
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(
                f"camera {index} cannot be opened: is it connected (ls /dev/video*), free and readable for this user?"
            )
        if rate_hz is not None:
            self._capture.set(cv2.CAP_PROP_FPS, rate_hz)
        own_rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        own_rate = own_rate if math.isfinite(own_rate) and own_rate > 0 else DEFAULT_RATE_HZ
        super().__init__(f"webcam {index}", rate_hz or own_rate, None)
        self._index = index

    def _frames(self) -> Iterator[Frame]:
        count = 0
        while not self._closed:
            ok, image = self._capture.read()
            stamp_ns = time.time_ns()
            if not ok or image is None:
                self._report(f"camera {self._index} stopped giving images after {count}")
                return
            count += 1
            rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            frame = self._frame(f"image {count} of camera {self._index}", stamp_ns, rgb, None)
            if frame is not None:
                yield frame

    def close(self) -> None:
        """Let go of the camera."""
        super().close()
        self._capture.release()
