"""A sequence of images with what is known to be true of it: depth, poses, intrinsics."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.io.image_decoding import ImageError, decode_compressed

PROBLEMS_LIMIT = 100
"""Most problems that a sequence keeps; one more line then says that there were others."""


class SequenceError(ValueError):
    """A sequence, or a file of it, cannot be used; the message names it, says why and what to do."""


@dataclass(frozen=True, slots=True)
class DepthFormat:
    """What the numbers of a depth image mean."""

    units_per_metre: float = 1000.0
    no_depth: tuple[int, ...] = (0,)
    """Numbers that say that there is no depth."""


@dataclass(frozen=True, slots=True, eq=False)
class SequenceFrame:
    """One image and its truth."""

    index: int
    """Number in the sequence as it was recorded, from 0."""
    stamp_ns: int
    """Integer nanoseconds, increasing along the sequence."""
    image_path: Path
    depth_path: Path | None
    """None where there is no depth."""
    T_world_camera: NDArray[np.float64] | None
    """(4, 4) metres, camera axes x right, y down, z forward; None where the true pose is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageSequence:
    """Images in the order they were taken; pixels are read when they are asked for."""

    name: str
    layout: str
    """Name of the layout its files have."""
    frames: tuple[SequenceFrame, ...]
    recorded_camera: Camera | None
    """Intrinsics as the files give them, with distortion."""
    depth_format: DepthFormat = field(default_factory=DepthFormat)
    rate_hz: float = 30.0
    problems: list[str] = field(default_factory=list)
    """What is wrong with it as far as it was read: one sentence each, naming the file, none twice."""

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def camera(self) -> Camera | None:
        """Pinhole intrinsics of `image` and `depth`, whose distortion is taken out; None where they are not known."""
        return None if self.recorded_camera is None else self.recorded_camera.without_distortion()

    def report(self, problem: str) -> None:
        """Add to `problems`."""
        if len(self.problems) < PROBLEMS_LIMIT and problem not in self.problems:
            self.problems.append(problem)
        elif len(self.problems) == PROBLEMS_LIMIT and problem not in self.problems:
            self.problems.append(f"more problems than these {PROBLEMS_LIMIT}")

    def image(self, frame: SequenceFrame) -> NDArray[np.uint8]:
        """(height, width, 3) RGB without distortion; raises SequenceError when the file cannot be read."""
        try:
            image = decode_compressed(frame.image_path.read_bytes())
        except (ImageError, OSError) as error:
            raise SequenceError(f"{self.name}: {frame.image_path.name}: {error}") from error
        camera = self._fitting(self.recorded_camera, image.shape)
        if camera is None or not camera.is_distorted:
            return image
        return cv2.remap(image, *camera.undistortion_maps(), cv2.INTER_LINEAR).astype(np.uint8, copy=False)

    def depth(self, frame: SequenceFrame) -> NDArray[np.float32] | None:
        """(height, width) metres along the optical axis, 0 = none, without distortion, pixels as in `image` but for
        its size, which may differ; None where there is none.

        Raises SequenceError when the file cannot be read.
        """
        if frame.depth_path is None:
            return None
        try:
            content = np.frombuffer(frame.depth_path.read_bytes(), dtype=np.uint8)
            raw = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
        except (OSError, cv2.error) as error:
            raise SequenceError(f"{self.name}: {frame.depth_path.name}: {error}") from error
        is_cut = content[:4].tobytes() == b"\x89PNG" and b"IEND" not in content[-64:].tobytes()
        if raw is None or raw.ndim != 2 or is_cut:
            raise SequenceError(
                f"{self.name}: {frame.depth_path.name}: expected a whole image of one channel, "
                f"got {content.size} bytes" + ("" if raw is None else f", {raw.dtype} {raw.shape}")
            )
        depth = raw.astype(np.float32) / np.float32(self.depth_format.units_per_metre)
        depth[np.isin(raw, self.depth_format.no_depth)] = 0
        depth[~(np.isfinite(depth) & (depth > 0))] = 0
        camera = self._fitting(self.recorded_camera, depth.shape)
        if camera is not None and camera.is_distorted:
            return cv2.remap(depth, *camera.undistortion_maps(), cv2.INTER_NEAREST).astype(np.float32, copy=False)
        return depth

    def camera_of(self, pixels: NDArray[np.uint8] | NDArray[np.float32]) -> Camera | None:
        """`camera` for an image or depth image of this size: scaled where it has the same shape, else None."""
        return self._fitting(self.camera, pixels.shape)

    def every(self, step: int, limit: int | None = None) -> ImageSequence:
        """A sequence of every ``step``-th frame, at most ``limit``; frames keep their index and stamp. Its problems are
        its own.
        """
        if step < 1:
            raise ValueError(f"every: expected a step of at least 1, got {step}")
        frames = self.frames[::step][:limit]
        return replace(self, frames=frames, rate_hz=self.rate_hz / step, problems=list(self.problems))

    def renamed(self, name: str) -> ImageSequence:
        """The same sequence under another name."""
        return replace(self, name=name)

    def _fitting(self, camera: Camera | None, shape: tuple[int, ...]) -> Camera | None:
        height, width = shape[:2]
        if camera is None or (camera.width, camera.height) == (width, height):
            return camera
        if abs(camera.width * height - camera.height * width) <= max(camera.width, camera.height):
            return camera.scaled(width, height)
        self.report(
            f"intrinsics not used for images of {width} x {height} pixels: they are for "
            f"{camera.width} x {camera.height}"
        )
        return None
