"""Frames of a video file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from slam3r_ros.io.sources.base import DEFAULT_RATE_HZ, Source, SourceError, rate_of, stamp_at
from slam3r_ros.io.sources.images import images_in, read_intrinsics, read_stamps
from slam3r_ros.types import Frame

_FASTEST_HZ = 1000.0
"""A file that claims more frames a second than this is not believed."""
_ROUNDING_NS = 1_000_000
"""The times of evenly spaced frames differ from the rate's by no more than this, as files round them."""
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v"})
"""Suffixes by which a folder's only video is found."""


class VideoSource(Source):
    """A video file that OpenCV reads.

    Stamps count from 0, at a rate that is asked for or as the frames of the file have them, which need not be evenly
    spaced; frames have no camera. A video that a `folder` belongs to has the camera of
    its ``intrinsics.txt`` and the stamps of its ``timestamps.txt`` or ``poses.txt`` where they are there.
    """

    def __init__(self, path: Path, rate_hz: float | None = None, folder: Path | None = None) -> None:
        capture = _open(path)
        try:
            own_rate = float(capture.get(cv2.CAP_PROP_FPS))
            count = int(max(capture.get(cv2.CAP_PROP_FRAME_COUNT), 0))
            if not capture.read()[0]:
                raise SourceError(
                    f"video '{path}' has no frame that can be read: OpenCV does not decode its codec{_codec(capture)}, "
                    "or the file is damaged; convert it, for example with 'ffmpeg -i FILE -c:v libx264 NEW.mp4'"
                )
        finally:
            capture.release()
        if not (math.isfinite(own_rate) and 0 < own_rate <= _FASTEST_HZ):
            own_rate = DEFAULT_RATE_HZ
        super().__init__(
            f"video {path.name}" if folder is None else f"{path.name} of {folder.name}",
            rate_hz or own_rate,
            count or None,
        )
        self._path = path
        self._has_own_times = rate_hz is None
        places = [] if folder is None else [folder]
        self._camera = read_intrinsics(places)
        self._stamps = read_stamps(places, count, self._report)
        if self._stamps is not None and rate_hz is None:
            self.rate_hz = rate_of(self._stamps)

    def _frames(self) -> Iterator[Frame]:
        capture = _open(self._path)
        try:
            index, previous_ns = 0, -1
            while (image := capture.read()[1]) is not None and (self._stamps is None or index < len(self._stamps)):
                rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
                stamp_ns = self._stamp_ns(index, previous_ns, float(capture.get(cv2.CAP_PROP_POS_MSEC)))
                previous_ns = stamp_ns
                camera = self._fitting(self._camera, rgb, "intrinsics.txt")
                frame = self._frame(f"frame {index} of {self._path.name}", stamp_ns, rgb, camera)
                index += 1
                if frame is not None:
                    yield frame
        finally:
            capture.release()
        if self.length is not None and index < self.length:
            self._report(f"{self._path.name}: only {index} of the {self.length} frames it announces can be read")

    def _stamp_ns(self, index: int, previous_ns: int, position_ms: float) -> int:
        """The stamp of a frame that the file has at a position; evenly spaced ones are exact."""
        if self._stamps is not None:
            return self._stamps[index]
        even_ns, own_ns = stamp_at(index, self.rate_hz), round(position_ms * 1e6)
        is_own = self._has_own_times and math.isfinite(position_ms) and own_ns > previous_ns
        return own_ns if is_own and abs(own_ns - even_ns) > _ROUNDING_NS else max(even_ns, previous_ns + 1)


def _codec(capture: cv2.VideoCapture) -> str:
    """The name of a video's codec with a blank before it; nothing where the file does not say it."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(8, "little", signed=True)[:4]
    name = code.decode("ascii", errors="replace").strip("\0 ")
    return f" {name}" if name.isprintable() and name else ""


def video_in(folder: Path) -> Path | None:
    """The only video file of a folder that has no images, neither in itself nor in ``rgb/``; None if there is none.

    Raises SourceError where there are several.
    """
    if images_in(folder) or images_in(folder / "rgb"):
        return None
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file())
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise SourceError(f"directory '{folder}' has no images and several videos: give one of {names}")
    return files[0] if files else None


def _open(path: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        capture.release()
        raise SourceError(
            f"source '{path}' is no video that OpenCV can read; a recording that was broken off may lack its index"
        )
    return capture
