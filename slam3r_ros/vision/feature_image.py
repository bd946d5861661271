"""A grey image as the tracks see it: its camera, and the features it is recognised by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array

CONTRAST, EDGE = 0.01, 20.0
"""SIFT's thresholds (Lowe 2004), low ones: the images are small, and false matches are found out."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What is described of an image, the strongest first."""

    pixels: NDArray[np.float32]
    """(N, 2) x, y."""
    descriptors: NDArray[np.float32] | NDArray[np.uint8]
    """(N, 128) whole numbers up to 255."""


class Seen(Protocol):
    """What of an image can be recognised."""

    @property
    def features(self) -> Features:
        """What is described of it."""

    @property
    def matrix(self) -> Array:
        """(3, 3) intrinsics."""

    @property
    def width(self) -> int:
        """Pixels."""


def slopes_of(seen: Seen, pixels: NDArray[np.floating]) -> Array:
    """(..., 2) x / z and y / z of pixels (..., 2)."""
    focal = [seen.matrix[0, 0], seen.matrix[1, 1]]
    return np.asarray((pixels - seen.matrix[:2, 2]) / focal, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class FeatureImage:
    """A grey image and its camera."""

    grey: NDArray[np.uint8]
    """(height, width)"""
    matrix: Array
    """(3, 3) intrinsics."""

    def slopes(self, pixels: NDArray[np.floating]) -> Array:
        """(..., 2) x / z and y / z of pixels (..., 2)."""
        return slopes_of(self, pixels)

    @property
    def width(self) -> int:
        """Pixels."""
        return self.grey.shape[1]

    def with_matrix(self, matrix: Array) -> FeatureImage:
        """The same image with other intrinsics (3, 3)."""
        other = FeatureImage(self.grey, matrix)
        if "features" in self.__dict__:
            other.__dict__["features"] = self.features
        return other

    def rays(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """(H, W, 3) x / z, y / z and 1 of the middles of ``shape`` (H, W) equal parts of the image."""
        pixels = self.pixels(shape)
        return np.concatenate([self.slopes(pixels), np.ones((*shape, 1))], axis=2).astype(np.float32)

    def pixels(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """(H, W, 2) x, y of these middles."""
        (height, width), (rows, columns) = shape, self.grey.shape
        x, y = np.meshgrid((np.arange(width) + 0.5) * columns / width, (np.arange(height) + 0.5) * rows / height)
        return np.stack([x - 0.5, y - 0.5], axis=2).astype(np.float32)

    @cached_property
    def features(self) -> Features:
        """Described when they are asked for first, since that takes longer than all else of a frame."""
        sift = cv2.SIFT.create(contrastThreshold=CONTRAST, edgeThreshold=EDGE)
        keypoints, descriptors = sift.detectAndCompute(self.grey, None)
        if descriptors is None:
            return Features(np.empty((0, 2), np.float32), np.empty((0, 128), np.float32))
        strongest = np.argsort([-each.response for each in keypoints], kind="stable")  # OpenCV: from left to right
        pixels = np.array([each.pt for each in keypoints], np.float32)
        return Features(pixels[strongest], np.asarray(descriptors, np.float32)[strongest])
