"""The frames of a video file: by OpenCV or, where that decodes nothing right, by PyAV if it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.io.sources.base import SourceError

_CONVERT = "convert it, for example with 'ffmpeg -i FILE -c:v libx264 NEW.mp4'"
_INSTALL = "or install PyAV, which decodes more: pip install 'slam3r_ros[film]'"


class VideoReader(Protocol):
    """A video file that can be read, again and again."""

    rate_hz: float
    """Frames a second as the file says it, 0 or not finite where it does not."""
    count: int
    """Frames that the file announces, in some formats guessed from its length; 0 where it says nothing."""

    def frames(self) -> Iterator[tuple[NDArray[np.uint8], float]]:
        """(H, W, 3) RGB of each frame, turned as the file asks, and its time in the file in milliseconds."""


def open_video(path: Path) -> VideoReader:
    """A reader of a video file; raises SourceError where no frame of it can be read."""
    by_opencv = _OpenCvReader(path)
    if not by_opencv.trouble and not by_opencv.stands_still:
        return by_opencv
    by_av = _AvReader.of(path)
    if by_av is not None and (by_opencv.trouble or by_av.is_interlaced):  # OpenCV 5 gives grey for interlaced frames
        return by_av
    if by_opencv.trouble:
        raise SourceError(by_opencv.trouble)
    return by_opencv


class _OpenCvReader:
    """A video file by OpenCV."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rate_hz, self.count = 0.0, 0
        self.trouble = ""
        """Why no frame can be read, in one sentence; empty where one can."""
        self.stands_still = False
        """Whether the second frame is the first one again."""
        if not path.stat().st_size:
            self.trouble = f"source '{path}' is no video that OpenCV can read: the file is empty"
            return
        capture = cv2.VideoCapture(str(path))
        try:
            if not capture.isOpened():
                self.trouble = (
                    f"source '{path}' is no video that OpenCV can read; a recording that was broken off may lack its "
                    "index"
                )
                return
            self.rate_hz = float(capture.get(cv2.CAP_PROP_FPS))
            self.count = int(max(capture.get(cv2.CAP_PROP_FRAME_COUNT), 0))
            first, second = capture.read()[1], capture.read()[1]
            if first is None:
                self.trouble = (
                    f"video '{path}' has no frame that can be read: OpenCV does not decode its codec{_codec(capture)}, "
                    f"or the file is damaged; {_CONVERT}, {_INSTALL}"
                )
            self.stands_still = first is not None and second is not None and np.array_equal(first, second)
        finally:
            capture.release()

    def frames(self) -> Iterator[tuple[NDArray[np.uint8], float]]:
        """See `VideoReader`."""
        capture = cv2.VideoCapture(str(self._path))
        try:
            while (image := capture.read()[1]) is not None:
                rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
                yield rgb, float(capture.get(cv2.CAP_PROP_POS_MSEC))
        finally:
            capture.release()


class _AvReader:
    """A video file by PyAV."""

    def __init__(self, av: Any, path: Path) -> None:
        """Raises what `av` does, and StopIteration where there is no frame."""
        self._av, self._path = av, path
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            self.rate_hz = float(stream.average_rate or 0)
            self.count = int(stream.frames)
            self.is_interlaced = bool(next(container.decode(stream)).interlaced_frame)
            """Whether the frames are made of two half images each, as those of old camcorders."""

    @classmethod
    def of(cls, path: Path) -> _AvReader | None:
        """A reader; None where PyAV is not installed or reads no frame either."""
        try:
            import av
        except ModuleNotFoundError:
            return None
        try:
            return cls(av, path)
        except (av.error.FFmpegError, OSError, IndexError, StopIteration):
            return None

    def frames(self) -> Iterator[tuple[NDArray[np.uint8], float]]:
        """See `VideoReader`."""
        with self._av.open(str(self._path)) as container:
            decoded = container.decode(container.streams.video[0])
            first_s: float | None = None
            while True:
                try:
                    frame = next(decoded)
                except (StopIteration, self._av.error.FFmpegError, OSError):  # the end, or what is damaged begins
                    return
                time_s = frame.time or 0.0
                first_s = time_s if first_s is None else first_s
                image = np.rot90(frame.to_ndarray(format="rgb24"), k=round((frame.rotation or 0) / 90))
                yield np.ascontiguousarray(image), 1e3 * (time_s - first_s)


def _codec(capture: cv2.VideoCapture) -> str:
    """The name of a video's codec with a blank before it; nothing where the file does not say it."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(8, "little", signed=True)[:4]
    name = code.decode("ascii", errors="replace").strip("\0 ")
    return f" {name}" if name.isprintable() and name else ""
