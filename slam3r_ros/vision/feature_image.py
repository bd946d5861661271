"""A grey image with its intrinsics, and the SIFT features by which it is recognised."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.vision.tuning import TUNING


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """N SIFT features of an image (Lowe 2004), the strongest first."""

    pixels: NDArray[np.float32]
    """(N, 2) positions x, y in pixels; pixel centres at integers."""
    descriptors: NDArray[np.float32] | NDArray[np.uint8]
    """(N, 128) descriptors, whole numbers up to 255."""


class DescribedImage(Protocol):
    """An image of which only the features, the intrinsics and the width are needed; the image itself may be gone."""

    @property
    def features(self) -> Features:
        """The image's features."""

    @property
    def matrix(self) -> Array:
        """(3, 3) pinhole intrinsics."""

    @property
    def width(self) -> int:
        """Width of the image in pixels."""


def normalized_xy(image: DescribedImage, pixels: NDArray[np.floating]) -> Array:
    """(..., 2) normalized image coordinates x / z and y / z of pixels (..., 2)."""
    focal = [image.matrix[0, 0], image.matrix[1, 1]]
    return np.asarray((pixels - image.matrix[:2, 2]) / focal, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class FeatureImage:
    """A grey image with its intrinsics; its features are computed when they are first asked for."""

    grey: NDArray[np.uint8]
    """(height, width) grey levels."""
    matrix: Array
    """(3, 3) pinhole intrinsics."""

    def normalized_xy(self, pixels: NDArray[np.floating]) -> Array:
        """(..., 2) normalized image coordinates x / z and y / z of pixels (..., 2)."""
        return normalized_xy(self, pixels)

    def projected(self, points_camera: Array, otherwise: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 2) pixels at which points of the camera (N, 3) are seen; ``otherwise`` (N, 2) for those behind it."""
        front = points_camera[:, 2] > 0
        xy = points_camera[:, :2] / np.where(front, points_camera[:, 2], 1.0)[:, None]
        pixels = xy * self.matrix[[0, 1], [0, 1]] + self.matrix[:2, 2]
        return np.where(front[:, None], pixels, otherwise).astype(np.float32)

    @property
    def width(self) -> int:
        """Width of the image in pixels."""
        return self.grey.shape[1]

    def with_matrix(self, matrix: Array) -> FeatureImage:
        """The same image and features with other intrinsics (3, 3)."""
        other = FeatureImage(self.grey, matrix)
        if "features" in self.__dict__:
            other.__dict__["features"] = self.features
        return other

    def rays(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """(H, W, 3) rays x / z, y / z, 1 through the centres of ``shape`` = (H, W) equal cells of the image."""
        pixels = self.pixels(shape)
        return np.concatenate([self.normalized_xy(pixels), np.ones((*shape, 1))], axis=2).astype(np.float32)

    def pixels(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """(H, W, 2) pixels x, y of the centres of ``shape`` = (H, W) equal cells of the image."""
        (height, width), (rows, columns) = shape, self.grey.shape
        x, y = np.meshgrid((np.arange(width) + 0.5) * columns / width, (np.arange(height) + 0.5) * rows / height)
        return np.stack([x - 0.5, y - 0.5], axis=2).astype(np.float32)

    @cached_property
    def features(self) -> Features:
        """The image's SIFT features. To compute them takes longer than all other tracking of a frame."""
        sift = cv2.SIFT.create(
            contrastThreshold=TUNING.sift_contrast_threshold, edgeThreshold=TUNING.sift_edge_threshold
        )
        keypoints, descriptors = sift.detectAndCompute(self.grey, None)
        if descriptors is None:
            return Features(np.empty((0, 2), np.float32), np.empty((0, 128), np.float32))
        strongest = np.argsort([-each.response for each in keypoints], kind="stable")  # OpenCV: from left to right
        pixels = np.array([each.pt for each in keypoints], np.float32)
        return Features(pixels[strongest], np.asarray(descriptors, np.float32)[strongest])
