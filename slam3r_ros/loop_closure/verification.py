"""Geometric verification of a loop: the similarity between two places that may show the same (PnP or essential matrix),
and whether one looks as the other makes expect."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points
from slam3r_ros.loop_closure.place import Place, thumbnail_positions
from slam3r_ros.loop_closure.tuning import TUNING
from slam3r_ros.vision.feature_image import normalized_xy
from slam3r_ros.vision.relative_pose import RelativePose, estimate_relative_pose
from slam3r_ros.vision.tuning import TUNING as VISION_TUNING


@dataclass(frozen=True, slots=True, eq=False)
class LoopConstraint:
    """The measured similarity between two places that show the same, an edge of the pose graph."""

    before: int
    """Frame index of the earlier place."""
    after: int
    """Frame index of the later place."""
    T_before_after: Array
    """(4, 4) pose of the later place in the earlier one, in the earlier one's lengths."""
    log_scale: float
    """Logarithm of a length of the later place in lengths of the earlier one; 0 where it is not known."""
    log_scale_sigma: float
    """Standard deviation of the logarithm of the scale."""
    translation_sigma: float
    """Standard deviation of each component of the translation, in lengths of the earlier place."""
    depth: float
    """Median depth of what both places show, in lengths of the earlier place."""
    matches: int
    """Number of matched features that agree with the relative pose."""


def verify_loop(before: Place, after: Place, match_ratio: float = VISION_TUNING.match_ratio) -> LoopConstraint | None:
    """The similarity between two places; None where they do not show the same or their features do not determine it.
    ``match_ratio``: that of the distances of a match and the second best one, at most."""
    known = np.isfinite(before.log_depths)
    observed_xy = normalized_xy(before, before.features.pixels[known])
    recovered = estimate_relative_pose(before, after, (observed_xy, before.log_depths[known]), match_ratio)
    if recovered is None or len(recovered.pixels_after) < TUNING.min_matches:
        return None
    if recovered.inlier_share < TUNING.min_match_share:
        return None
    similarity, shared = appearance_similarity(before, after, recovered.T_after_before)
    if not (similarity >= TUNING.min_appearance_similarity and shared >= TUNING.min_shared_view):  # it may be NaN
        return None
    log_scale, spread = _log_scale(recovered, after)
    depth = float(np.exp(np.median(recovered.log_depths_before)))
    sigma, sigma_after = before.log_depth_sigma, after.log_depth_sigma
    T = invert_rigid(recovered.T_after_before)
    return LoopConstraint(
        before.index,
        after.index,
        T,
        log_scale,
        float(np.linalg.norm([spread, sigma, sigma_after])),
        TUNING.loop_translation_sigma * depth + sigma * float(np.linalg.norm(T[:3, 3])),
        depth,
        len(recovered.pixels_after),
    )


def appearance_similarity(before: Place, after: Place, T_after_before: Array) -> tuple[float, float]:
    """Similarity score of two places at a relative pose, and the share of the earlier image, as far as it has
    depths, that the later one shows.

    The score is the correlation, -1 to 1, of the later place's grey levels with those that the earlier place makes
    expect, both normalised by their surroundings; NaN where either is uniform. It finds out a pattern that exists twice
    by what is around it.
    """
    positions = thumbnail_positions()
    rays_xy = normalized_xy(before, positions * [before.width, before.height] - 0.5)
    points = (
        np.column_stack([rays_xy, np.ones(len(rays_xy))])
        * np.exp(before.thumbnail_log_depths.astype(np.float64).ravel())[:, None]
    )
    seen = transform_points(T_after_before, points)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = (seen[:, :2] / seen[:, 2:]) * [after.matrix[0, 0], after.matrix[1, 1]] + after.matrix[:2, 2] + 0.5
    at = at / [after.width, after.height]
    good = np.isfinite(at).all(axis=1) & (seen[:, 2] > 0) & (at > 0).all(axis=1) & (at < 1).all(axis=1)
    if good.sum() < TUNING.min_shared_pixels:
        return 0.0, 0.0
    expected, shown = _without_light(before.thumbnail).ravel()[good], _without_light(after.thumbnail)
    x, y = np.ascontiguousarray((at[good] * TUNING.thumbnail_px - 0.5).T[:, None], np.float32)
    found = cv2.remap(shown, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = good.sum() / np.isfinite(seen[:, 2]).sum()
        return float(np.corrcoef(expected, found)[0, 1]), float(shared)


def _without_light(thumbnail: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(S, S) grey levels of a small image less the mean around them, over the contrast there."""
    grey, sigma = thumbnail.astype(np.float32), TUNING.appearance_sigma_px
    apart = grey - cv2.GaussianBlur(grey, (0, 0), sigma)
    contrast = cv2.GaussianBlur(np.square(apart), (0, 0), sigma)
    return np.asarray(apart / np.sqrt(contrast + np.float32(TUNING.appearance_least_contrast**2)), np.float32)


def _log_scale(recovered: RelativePose, after: Place) -> tuple[float, float]:
    """Logarithm of the later place's lengths in the earlier one's, by depths known in both, and its sigma."""
    ratios = np.log(np.maximum(recovered.depths_after, 1e-9)) - after.log_depths[recovered.features_after]
    ratios = ratios[np.isfinite(ratios)]
    if len(ratios) < TUNING.min_common_depths:
        return 0.0, TUNING.unknown_scale_sigma
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    return float(middle), max((high - low) / 2, TUNING.min_loop_scale_sigma)
