"""A place-recognition keyframe: what a keyframe is recognised by later, and how far away that was."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points
from slam3r_ros.loop_closure.tuning import TUNING
from slam3r_ros.vision.feature_image import FeatureImage, Features
from slam3r_ros.vision.tuning import TUNING as VISION_TUNING


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A keyframe as place recognition remembers it, in about 105 kB."""

    index: int
    """Index of the keyframe's frame."""
    descriptor: NDArray[np.float32]
    """(encoder width,) mean of the frame's encoder tokens, by which similar places are retrieved."""
    features: Features
    """The F strongest SIFT features, those with a depth first."""
    matrix: Array
    """(3, 3) pinhole intrinsics."""
    width: int
    """Width of the image in pixels."""
    height: int
    """Height of the image in pixels."""
    log_depths: Array
    """(F,) logarithms of the features' depths along the optical axis, in the world's lengths when the keyframe was
    mapped; NaN where not known."""
    log_depth_sigmas: Array
    """(F,) standard deviations of these logarithms; neighbouring features err together."""
    thumbnail: NDArray[np.uint8]
    """(S, S) grey levels of the image, made small; S is `LoopClosureTuning.thumbnail_px`."""
    thumbnail_log_depths: NDArray[np.float16]
    """(S, S) logarithms of the depths at the thumbnail's pixels, as those of the features."""
    T_world_camera: Array
    """(4, 4) pose of the keyframe when it was mapped."""

    @property
    def depth(self) -> float:
        """Median depth of the features; 1 where none is known."""
        known = self.log_depths[np.isfinite(self.log_depths)]
        return float(np.exp(np.median(known))) if len(known) else 1.0

    @property
    def log_depth_sigma(self) -> float:
        """Median standard deviation of the logarithms of the known depths; 0 where none is known."""
        known = self.log_depth_sigmas[np.isfinite(self.log_depths)]
        return float(np.median(known)) if len(known) else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class PlaceView:
    """A keyframe of which a place can be made."""

    index: int
    """Index of the keyframe's frame."""
    descriptor: NDArray[np.float32]
    """(encoder width,) mean of the frame's encoder tokens."""
    image: FeatureImage
    """Grey image and intrinsics of the keyframe."""
    points_world: NDArray[np.float32]
    """(H, W, 3) the keyframe's points in the world; zero where there is none."""
    confidence: NDArray[np.float32]
    """(H, W) confidences of the points."""
    T_world_camera: Array
    """(4, 4) pose of the keyframe."""


def describe_place(view: PlaceView, most_features: int = TUNING.place_features) -> Place:
    """What place recognition remembers of a keyframe; computing the image's features takes most of the time."""
    points = transform_points(invert_rigid(view.T_world_camera), view.points_world)[..., 2]
    known = view.points_world.any(axis=2) & (points > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_depths = np.where(known, np.log(points), np.nan).astype(np.float32)
    image, features = view.image, view.image.features
    at_features, confidence = (image.sampled(each, features.pixels) for each in (log_depths, view.confidence))
    size = TUNING.thumbnail_px
    whole_px = thumbnail_positions() * [image.width, image.height] - 0.5
    kept = np.argsort(~np.isfinite(at_features), kind="stable")[:most_features]
    return Place(
        view.index,
        view.descriptor,
        Features(features.pixels[kept], features.descriptors[kept].astype(np.uint8), features.are_histograms),
        image.matrix,
        image.width,
        image.height,
        at_features[kept].astype(np.float64),
        VISION_TUNING.confidence_times_error / confidence[kept].astype(np.float64),
        np.asarray(cv2.resize(image.grey, (size, size), interpolation=cv2.INTER_AREA), np.uint8),
        image.sampled(log_depths, whole_px).reshape(size, size).astype(np.float16),
        view.T_world_camera,
    )


def thumbnail_positions() -> Array:
    """(S * S, 2) centres of the thumbnail's pixels, columns and rows as shares of the image."""
    middles = (np.arange(TUNING.thumbnail_px) + 0.5) / TUNING.thumbnail_px
    return np.stack(np.meshgrid(middles, middles), axis=2).reshape(-1, 2)
