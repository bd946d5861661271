"""Frames of a video file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from slam3r_ros.io.sources.base import DEFAULT_RATE_HZ, Source, SourceError, rate_of, stamp_at
from slam3r_ros.io.sources.images import images_in, read_intrinsics, read_stamps
from slam3r_ros.io.sources.video_reader import open_video
from slam3r_ros.types import Frame

_FASTEST_HZ = 1000.0
"""A file that claims more frames a second than this is not believed."""
_ROUNDING_NS = 1_000_000
"""The times of evenly spaced frames differ from the rate's by no more than this, as files round them."""
_GUESSED_SHARE = 0.9
"""Where the number of frames is guessed from a file's length, what is read ends after at least this share of it."""
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v"})
"""Suffixes by which a folder's only video is found."""


class VideoSource(Source):
    """A video file.

    Stamps count from 0, at a rate that is asked for or as the frames of the file have them, which need not be evenly
    spaced; frames have no camera. A video that a `folder` belongs to has the camera of
    its ``intrinsics.txt`` and the stamps of its ``timestamps.txt`` or ``poses.txt`` where they are there.
    """

    def __init__(self, path: Path, rate_hz: float | None = None, folder: Path | None = None) -> None:
        self._reader = open_video(path)
        own_rate, count = self._reader.rate_hz, self._reader.count
        if not (math.isfinite(own_rate) and 0 < own_rate <= _FASTEST_HZ):
            own_rate = DEFAULT_RATE_HZ
        self._own_rate_hz, self._is_even = own_rate, True  # whether no frame has had a time of its own so far
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
        index, previous_ns, position_ms = 0, -1, 0.0
        for rgb, position_ms in self._reader.frames():
            if self._stamps is not None and index >= len(self._stamps):
                break
            stamp_ns = self._stamp_ns(index, previous_ns, position_ms)
            previous_ns = stamp_ns
            camera = self._fitting(self._camera, rgb, "intrinsics.txt")
            frame = self._frame(f"frame {index} of {self._path.name}", stamp_ns, rgb, camera)
            index += 1
            if frame is not None:
                yield frame
        self._report_missing(index, position_ms)

    def _report_missing(self, count: int, position_ms: float) -> None:
        """Tell when a video ends after so many frames, the last of them at this time, before the end that it announces.

        Of frames that are not evenly spaced some files announce no number: OpenCV guesses it from length and rate, so
        the time of the last one counts.
        """
        if self.length is None or count >= self.length:
            return
        seconds = position_ms * 1e-3 if math.isfinite(position_ms) else 0.0
        end_frames = max(float(count), seconds * self._own_rate_hz + 1.0)
        if end_frames < (self.length - 0.5 if self._is_even else _GUESSED_SHARE * self.length):
            announced = f"{self.length}" if self._is_even else f"about {self.length}"
            self._report(f"{self._path.name}: only {count} of the {announced} frames it announces can be read")

    def _stamp_ns(self, index: int, previous_ns: int, position_ms: float) -> int:
        """The stamp of a frame that the file has at a position; evenly spaced ones are exact."""
        if self._stamps is not None:
            return self._stamps[index]
        even_ns, own_ns = stamp_at(index, self.rate_hz), round(position_ms * 1e6)
        is_own = self._has_own_times and math.isfinite(position_ms) and own_ns > previous_ns
        if is_own and abs(own_ns - even_ns) > _ROUNDING_NS:
            self._is_even = False
            return own_ns
        return max(even_ns, previous_ns + 1)


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
