"""A whole grey image with its intrinsics, the part of it that the networks see, and its SIFT features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.crop import WHOLE_IMAGE, CropRegion, is_inside
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.vision.image_sampling import sample_nearest
from slam3r_ros.vision.pixel_unit import NOMINAL_SIDE_PX
from slam3r_ros.vision.tuning import TUNING


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """N SIFT features of an image (Lowe 2004), the strongest first."""

    pixels: NDArray[np.float32]
    """(N, 2) positions x, y in pixels; pixel centres at integers."""
    descriptors: NDArray[np.float32] | NDArray[np.uint8]
    """(N, 128) descriptors, whole numbers up to 255."""
    are_histograms: bool = True
    """Whether the descriptors are histograms, as SIFT's, which are compared by the square roots of their shares
    (RootSIFT, Arandjelovic and Zisserman 2012); else they are compared as they are."""

    def first(self, count: int) -> Features:
        """The strongest of the features."""
        return Features(self.pixels[:count], self.descriptors[:count], self.are_histograms)

    @property
    def compared(self) -> NDArray[np.float32]:
        """(N, D) the descriptors whose Euclidean distances count."""
        descriptors = self.descriptors.astype(np.float32)
        if not self.are_histograms:
            return descriptors
        return np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1))


class DescribedImage(Protocol):
    """An image of which only the features, the intrinsics and the size are needed; the image itself may be gone."""

    @property
    def features(self) -> Features:
        """The image's features."""

    @property
    def matrix(self) -> Array:
        """(3, 3) pinhole intrinsics."""

    @property
    def width(self) -> int:
        """Width of the image in pixels."""

    @property
    def height(self) -> int:
        """Height of the image in pixels."""


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
    crop: CropRegion = WHOLE_IMAGE
    """The part of the image that the networks see: that of the pointmap which belongs to the image."""

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

    @property
    def height(self) -> int:
        """Height of the image in pixels."""
        return self.grey.shape[0]

    @property
    def crop_width_px(self) -> float:
        """Width of the crop in pixels of this image."""
        return self.crop.width * self.width

    def with_matrix(self, matrix: Array) -> FeatureImage:
        """The same image and features with other intrinsics (3, 3)."""
        other = replace(self, matrix=matrix)
        return other.with_features(self.features) if "features" in self.__dict__ else other

    def with_features(self, features: Features) -> FeatureImage:
        """The same image with features that were found elsewhere."""
        other = replace(self)
        other.__dict__["features"] = features
        return other

    def near_nominal_size(self) -> FeatureImage:
        """The image itself, or a smaller one whose shorter side is that of the nominal image (`pixel_unit`): for what
        takes too long on a large image."""
        return self.smaller(NOMINAL_SIDE_PX)

    def smaller(self, shorter_side: float) -> FeatureImage:
        """The image itself, or a smaller one whose shorter side has at most so many pixels."""
        scale = shorter_side / min(self.grey.shape)
        if scale >= 1:
            return self
        size = (round(self.width * scale), round(self.height * scale))
        x, y = size[0] / self.width, size[1] / self.height
        to_small = np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1]])  # pixel centres are at integers
        grey = np.asarray(cv2.resize(self.grey, size, interpolation=cv2.INTER_AREA), np.uint8)
        return FeatureImage(grey, to_small @ self.matrix, self.crop)

    def sampled(self, pointmap: NDArray[np.float32], pixels: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N,) values of a pointmap's pixels (H, W) at pixels (N, 2) of the image; NaN outside the pointmap."""
        positions = self.crop.positions(pixels, self.grey.shape)
        return np.where(is_inside(positions), sample_nearest(pointmap, positions), np.float32(np.nan))

    def rays(self, cells: tuple[int, int]) -> NDArray[np.float32]:
        """(H, W, 3) rays x / z, y / z, 1 through the centres of ``cells`` = (H, W) equal cells of the crop."""
        pixels = self.pixels(cells)
        return np.concatenate([self.normalized_xy(pixels), np.ones((*cells, 1))], axis=2).astype(np.float32)

    def pixels(self, cells: tuple[int, int]) -> NDArray[np.float32]:
        """(H, W, 2) pixels x, y of the centres of ``cells`` = (H, W) equal cells of the crop."""
        return self.crop.pixels(cells, self.grey.shape)

    @cached_property
    def features(self) -> Features:
        """The image's SIFT features, of the image or a smaller one. To compute them takes longer than all other
        tracking of a frame."""
        small = self.smaller(TUNING.sift_side_px).grey
        sift = cv2.SIFT.create(
            contrastThreshold=TUNING.sift_contrast_threshold, edgeThreshold=TUNING.sift_edge_threshold
        )
        keypoints, descriptors = sift.detectAndCompute(small, None)
        if descriptors is None:
            return Features(np.empty((0, 2), np.float32), np.empty((0, 128), np.float32))
        strongest = np.argsort([-each.response for each in keypoints], kind="stable")  # OpenCV: from left to right
        pixels = np.array([each.pt for each in keypoints], np.float32)
        factor = np.array([self.width / small.shape[1], self.height / small.shape[0]], np.float32)
        pixels = ((pixels + np.float32(0.5)) * factor - np.float32(0.5)) if small is not self.grey else pixels
        return Features(pixels[strongest], np.asarray(descriptors, np.float32)[strongest])
