"""Pictures as H.264 in an MP4 file."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.film.tuning import TUNING
from slam3r_ros.io.files import OutputError, make_writable


class VideoFile:
    """An MP4 file that is there when the block ends and at least one picture was added; an error leaves what was there
    before. Raises OutputError where it cannot be written."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        """``size``: height and width of the pictures, even numbers."""
        try:
            import av
        except ModuleNotFoundError as error:
            raise OutputError("a film needs PyAV: pip install slam3r_ros[film]") from error
        self._av, self._errors = av, (av.error.FFmpegError, OSError)
        self._path = path
        target = Path(os.path.realpath(path))  # a link is kept, and what it leads to is replaced
        self._target, self._partial = target, target.with_name(f".{target.name}.{os.getpid()}.partial.mp4")
        make_writable(path.absolute().parent)
        if path.is_dir():
            raise OutputError(f"cannot write '{path}': it is a folder")
        self._rate, self._size = Fraction(fps).limit_denominator(1001), size
        self.count = 0
        """How many pictures were added."""

    def __enter__(self) -> VideoFile:
        height, width = self._size
        try:
            self._container: Any = self._av.open(str(self._partial), "w", options={"movflags": "+faststart"})
            self._stream = self._container.add_stream("libx264", rate=self._rate)
        except self._errors as error:
            raise OutputError(f"cannot write '{self._path}': {error}") from error
        self._stream.options = {"crf": str(TUNING.rate_factor), "preset": "veryfast"}
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        return self

    def add(self, image: NDArray[np.uint8]) -> None:
        """Add a picture (height, width, 3) RGB."""
        frame = self._av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = self.count, 1 / self._rate
        try:
            self._container.mux(self._stream.encode(frame))
        except self._errors as error:
            raise OutputError(f"cannot write '{self._path}': {error}") from error
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self.count:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if kind is None and self.count:
                _synchronize(self._partial)
                self._partial.replace(self._target)
        except self._errors as failure:
            if kind is None:
                raise OutputError(f"cannot write '{self._path}': {failure}") from failure
        finally:
            self._partial.unlink(missing_ok=True)


def _synchronize(path: Path) -> None:
    """Have a file reach the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
