"""What dense depth takes and gives: images with their cameras, and depth images with their standard deviations."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid

Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class PosedView:
    """An undistorted grey image, its camera and where it was taken."""

    grey: NDArray[np.uint8]
    """(H, W)"""
    matrix: Array
    """(3, 3) pinhole intrinsics; pixel centres at integers."""
    T_world_camera: Array
    """(4, 4) scene units."""

    def __post_init__(self) -> None:
        grey = self.grey
        if grey.dtype != np.uint8 or grey.ndim != 2:
            raise ValueError(f"PosedView.grey: expected uint8 (H, W), got {grey.dtype} {grey.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), as OpenCV has it."""
        return self.grey.shape[1], self.grey.shape[0]

    def scaled(self, factor: float) -> PosedView:
        """The same view with an image that is smaller by a factor of at most 1."""
        if factor == 1:
            return self
        width, height = (max(1, round(side * factor)) for side in self.size)
        by_axis = np.array([width / self.size[0], height / self.size[1]])
        matrix = self.matrix.copy()
        matrix[:2] *= by_axis[:, None]
        matrix[:2, 2] += 0.5 * by_axis - 0.5
        grey = cv2.resize(self.grey, (width, height), interpolation=cv2.INTER_AREA)
        return PosedView(np.asarray(grey, np.uint8), matrix, self.T_world_camera)

    def placed(self, T_world_camera: Array) -> PosedView:
        """The same image taken from elsewhere (4, 4)."""
        return replace(self, T_world_camera=T_world_camera)

    def rays(self) -> Image:
        """(H, W, 3) x / z, y / z and 1 of every pixel."""
        width, height = self.size
        x = (np.arange(width) - self.matrix[0, 2]) / self.matrix[0, 0]
        y = (np.arange(height) - self.matrix[1, 2]) / self.matrix[1, 1]
        columns, rows = np.meshgrid(x, y)
        return np.stack([columns, rows, np.ones_like(columns)], axis=2).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class DepthMap:
    """The depth of every pixel of a view, and how far to trust it."""

    depth: Image
    """(H, W) along the optical axis, scene units; NaN where it is not known."""
    sigma: Image
    """(H, W) standard deviation of the logarithm of depth; infinite where depth is not known."""

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """(H, W)"""
        return np.isfinite(self.depth)

    def only(self, kept: NDArray[np.bool_]) -> DepthMap:
        """The same where ``kept`` (H, W), unknown elsewhere."""
        return DepthMap(np.where(kept, self.depth, np.float32(np.nan)), np.where(kept, self.sigma, np.float32(np.inf)))

    @classmethod
    def unknown(cls, view: PosedView) -> DepthMap:
        """A view that nothing is known of."""
        shape = view.grey.shape
        return cls(np.full(shape, np.nan, np.float32), np.full(shape, np.inf, np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class EpipolarGeometry:
    """Where pixels of a reference at any inverse depth are seen by a partner.

    The homogeneous pixel is ``M (x, y, 1) + inverse_depth * epipole`` (Hartley and Zisserman 2004, section 13.1: the
    homography of a plane that is parallel to the reference's image).
    """

    at_infinity: Array
    """(3, 3) M, the homography of the plane at infinity."""
    epipole: Array
    """(3,) the reference's camera centre as the partner sees it, homogeneous, in pixels."""

    @classmethod
    def between(cls, reference: PosedView, partner: PosedView) -> EpipolarGeometry:
        """Of two views."""
        T = invert_rigid(partner.T_world_camera) @ reference.T_world_camera
        return cls(
            partner.matrix @ T[:3, :3] @ np.linalg.inv(reference.matrix),
            partner.matrix @ T[:3, 3],
        )

    def homography(self, inverse_depth: float) -> Array:
        """(3, 3) from the reference's pixels to the partner's, for the plane of that inverse depth."""
        matrix = self.at_infinity.copy()
        matrix[:, 2] += inverse_depth * self.epipole
        return matrix


def normalised_contrast(grey: NDArray[np.uint8], window: int, floor: float, gain: float) -> Image:
    """(H, W) grey levels less the mean of their window, over its deviation, times a gain: light does not matter."""
    values = grey.astype(np.float32)
    mean = cv2.boxFilter(values, -1, (window, window))
    square = cv2.sqrBoxFilter(values, cv2.CV_32F, (window, window))
    deviation = np.sqrt(np.maximum(square - mean * mean, 0))
    return np.asarray(gain * (values - mean) / (deviation + floor), np.float32)
