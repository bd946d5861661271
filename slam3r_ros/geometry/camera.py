"""Camera intrinsics and what cropping and undistorting does to them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

DISTORTION_LENGTHS = {"none": (0,), "plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
"""Distortion models (sensor_msgs/distortion_models) and how many coefficients each may have."""


class CameraError(ValueError):
    """Intrinsics that cannot be used; the message names the value."""


@dataclass(frozen=True, slots=True)
class Camera:
    """Intrinsics of an image; pixel centres at integers."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = "none"
    distortion: tuple[float, ...] = ()
    """Coefficients in OpenCV's order."""

    def __post_init__(self) -> None:
        values = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(np.isfinite(values)):
            raise CameraError(f"camera intrinsics must be finite, got fx fy cx cy and distortion {values}")
        if self.width < 1 or self.height < 1:
            raise CameraError(f"camera size must be positive, got {self.width} x {self.height}")
        if self.fx <= 0 or self.fy <= 0:
            raise CameraError(
                f"focal lengths must be positive, got fx = {self.fx}, fy = {self.fy} (an uncalibrated camera?)"
            )
        if self.distortion_model not in DISTORTION_LENGTHS:
            known = ", ".join(DISTORTION_LENGTHS)
            raise CameraError(f"distortion model '{self.distortion_model}' is unknown; known: {known}")
        lengths = DISTORTION_LENGTHS[self.distortion_model]
        if len(self.distortion) not in lengths:
            raise CameraError(f"{self.distortion_model} takes {lengths} coefficients, got {len(self.distortion)}")

    @property
    def is_distorted(self) -> bool:
        """Whether straight lines are bent: any coefficient that is not zero."""
        return any(self.distortion) or self.distortion_model == "equidistant"

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) the pinhole part."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    def without_distortion(self) -> Camera:
        """The pinhole camera of the undistorted image."""
        return replace(self, distortion_model="none", distortion=())

    def scaled(self, width: int, height: int) -> Camera:
        """Intrinsics after a resize to ``width`` x ``height``."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def cropped(self, left: int, top: int, width: int, height: int) -> Camera:
        """Intrinsics after cutting out ``width`` x ``height`` pixels from (left, top)."""
        return replace(self, width=width, height=height, cx=self.cx - left, cy=self.cy - top)

    def undistortion_maps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Maps for cv2.remap that take this camera's image to that of `without_distortion`."""
        size, coefficients = (self.width, self.height), np.array(self.distortion, dtype=np.float64)
        if self.distortion_model == "equidistant":
            maps = cv2.fisheye.initUndistortRectifyMap(
                self.matrix, coefficients, np.eye(3), self.matrix, size, cv2.CV_32FC1
            )
        else:
            maps = cv2.initUndistortRectifyMap(self.matrix, coefficients, None, self.matrix, size, cv2.CV_32FC1)
        return maps[0].astype(np.float32), maps[1].astype(np.float32)
