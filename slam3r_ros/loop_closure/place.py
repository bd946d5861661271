"""A keyframe as it is remembered: what it is recognised by, and how far away that was."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points
from slam3r_ros.vision.feature_image import FeatureImage, Features, normalized_xy
from slam3r_ros.vision.image_sampling import sample_nearest
from slam3r_ros.vision.relative_pose import RelativePose, estimate_relative_pose
from slam3r_ros.vision.tuning import TUNING as VISION_TUNING

MOST_FEATURES = 300
"""Remembered of a place, the strongest of those with a depth first."""
SMALL = 56
"""Side of the image that is remembered, pixels."""
FEWEST_MATCHES, LEAST_SHARE = 25, 0.6
"""That must agree with the motion between two places, and their share of all."""
LEAST_LIKENESS, LEAST_SHARED = 0.65, 0.3
"""Correlation of what is seen with what the earlier place makes expect, and the share of that which must be in view."""
FEWEST_SHARED_PIXELS = 50
"""Of the small image that must be in view for there to be a correlation."""
FEWEST_SCALES, LEAST_SCALE_DEVIATION = 10, 0.05
"""Depths in both places that tell how their lengths compare; least that this is taken to err by."""
SHIFT_DEVIATION = 0.05
"""Of the shift between them, depths, where the depths are exact."""
UNKNOWN_DEVIATION = 10.0
"""Of the logarithm of a scale that nothing tells."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """About 55 kB."""

    index: int
    """Of the frame."""
    descriptor: NDArray[np.float32]
    """(encoder width,) mean of its tokens."""
    features: Features
    matrix: Array
    """(3, 3) intrinsics."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    log_depths: Array
    """(N,) of the features, along the optical axis, in the world's lengths when it was mapped; NaN where not known."""
    deviations: Array
    """(N,) of these, to be expected; neighbours err together."""
    small: NDArray[np.uint8]
    """(SMALL, SMALL) the image's grey levels."""
    small_log_depths: NDArray[np.float16]
    """(SMALL, SMALL) depths there as above."""
    T_world_camera: Array
    """(4, 4) when it was mapped."""

    @property
    def depth(self) -> float:
        """A typical one."""
        known = self.log_depths[np.isfinite(self.log_depths)]
        return float(np.exp(np.median(known))) if len(known) else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class PlaceView:
    """A keyframe from which a place can be made."""

    index: int
    descriptor: NDArray[np.float32]
    """(encoder width,) mean of its tokens."""
    image: FeatureImage
    points_world: NDArray[np.float32]
    """(H, W, 3); zero where there is none."""
    confidence: NDArray[np.float32]
    """(H, W) of them."""
    T_world_camera: Array
    """(4, 4)"""


def place_of(view: PlaceView) -> Place:
    """What is to be remembered of a keyframe; describing its image takes most of the time."""
    points = transform_points(invert_rigid(view.T_world_camera), view.points_world)[..., 2]
    known = view.points_world.any(axis=2) & (points > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_depths = np.where(known, np.log(points), np.nan).astype(np.float32)
    features, shape = view.image.features, view.image.grey.shape
    places = (features.pixels + 0.5) / [shape[1], shape[0]]
    at_features, confidence = sample_nearest(log_depths, places), sample_nearest(view.confidence, places)
    kept = np.argsort(~np.isfinite(at_features), kind="stable")[:MOST_FEATURES]
    return Place(
        view.index,
        view.descriptor,
        Features(features.pixels[kept], features.descriptors[kept].astype(np.uint8)),
        view.image.matrix,
        view.image.width,
        view.image.grey.shape[0],
        at_features[kept].astype(np.float64),
        VISION_TUNING.confidence_times_error / confidence[kept].astype(np.float64),
        np.asarray(cv2.resize(view.image.grey, (SMALL, SMALL), interpolation=cv2.INTER_AREA), np.uint8),
        sample_nearest(log_depths, _grid()).reshape(SMALL, SMALL).astype(np.float16),
        view.T_world_camera,
    )


@dataclass(frozen=True, slots=True, eq=False)
class LoopConstraint:
    """Two places that see the same thing."""

    before: int
    """Index of the first."""
    after: int
    """Index of the second."""
    T_before_after: Array
    """(4, 4), in the first's lengths."""
    log_scale: float
    """Of the first's lengths of one of the second's; 0 where it is not known."""
    log_scale_deviation: float
    """How far it may be wrong."""
    shift_deviation: float
    """The same of the shift, the first's lengths."""
    depth: float
    """Typical one of what both see, the first's lengths."""
    matches: int


def loop_between(before: Place, after: Place) -> LoopConstraint | None:
    """The similarity between two places, None where they do not see the same thing or it does not tell."""
    known = np.isfinite(before.log_depths)
    slopes = normalized_xy(before, before.features.pixels[known])
    recovered = estimate_relative_pose(before, after, (slopes, before.log_depths[known]))
    if recovered is None or len(recovered.pixels_after) < FEWEST_MATCHES or recovered.inlier_share < LEAST_SHARE:
        return None
    alike, shared = likeness(before, after, recovered.T_after_before)
    if not (alike >= LEAST_LIKENESS and shared >= LEAST_SHARED):  # NaN where nothing but one grey level is seen
        return None
    log_scale, spread = _log_scale(recovered, after)
    depth = float(np.exp(np.median(recovered.log_depths_before)))
    wrong, wrong_after = (_deviation(place) for place in (before, after))
    T = invert_rigid(recovered.T_after_before)
    return LoopConstraint(
        before.index,
        after.index,
        T,
        log_scale,
        float(np.linalg.norm([spread, wrong, wrong_after])),
        SHIFT_DEVIATION * depth + wrong * float(np.linalg.norm(T[:3, 3])),
        depth,
        len(recovered.pixels_after),
    )


def likeness(before: Place, after: Place, T_after_before: Array) -> tuple[float, float]:
    """How much the later place looks like what the earlier one makes expect, as a correlation of grey levels, -1 to 1
    (NaN where one of them is all there is), and the share of the earlier image that it is expected to see. A pattern
    that is there twice is found out by what is around it.
    """
    places = _grid()
    slopes = normalized_xy(before, places * [before.width, before.height] - 0.5)
    points = (
        np.column_stack([slopes, np.ones(len(slopes))])
        * np.exp(before.small_log_depths.astype(np.float64).ravel())[:, None]
    )
    seen = transform_points(T_after_before, points)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = (seen[:, :2] / seen[:, 2:]) * [after.matrix[0, 0], after.matrix[1, 1]] + after.matrix[:2, 2] + 0.5
    at = at / [after.width, after.height]
    good = np.isfinite(at).all(axis=1) & (seen[:, 2] > 0) & (at > 0).all(axis=1) & (at < 1).all(axis=1)
    if good.sum() < FEWEST_SHARED_PIXELS:
        return 0.0, 0.0
    expected = before.small.ravel()[good].astype(np.float32)
    x, y = np.ascontiguousarray((at[good] * SMALL - 0.5).T[:, None], np.float32)
    found = cv2.remap(after.small.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.corrcoef(expected, found)[0, 1]), float(good.mean())


def _deviation(place: Place) -> float:
    """A typical one of a place's depths; 0 where it has none."""
    known = place.deviations[np.isfinite(place.log_depths)]
    return float(np.median(known)) if len(known) else 0.0


def _grid() -> Array:
    """(SMALL * SMALL, 2) middles of a small image's pixels, columns and rows as shares of it."""
    middles = (np.arange(SMALL) + 0.5) / SMALL
    return np.stack(np.meshgrid(middles, middles), axis=2).reshape(-1, 2)


def _log_scale(recovered: RelativePose, after: Place) -> tuple[float, float]:
    """Of the first place's lengths of one of the second's, and how far it may be wrong: by depths known in both."""
    ratios = np.log(np.maximum(recovered.depths_after, 1e-9)) - after.log_depths[recovered.features_after]
    ratios = ratios[np.isfinite(ratios)]
    if len(ratios) < FEWEST_SCALES:
        return 0.0, UNKNOWN_DEVIATION
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    return float(middle), max((high - low) / 2, LEAST_SCALE_DEVIATION)
