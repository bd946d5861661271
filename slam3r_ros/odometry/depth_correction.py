"""Correction of a pointmap by its tracks: the differences between its depths and those of the tracked landmarks, spread
over the image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.image_sampling import sample_nearest


def depth_corrections(
    log_depths: NDArray[np.float32], places: Array, log_ratios: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Factors (H, W) for the depths of a pointmap, whose logarithms are (H, W), NaN where it has none.

    At ``places`` (N, 2), columns and rows as shares of the image, tracks say that the depth should be larger by factors
    with the logarithms ``log_ratios`` (N,). Around them the field of corrections is their mean, weighted by nearness in
    the image and in depth, like a joint bilateral filter. Far from all tracks, and where the pointmap has no depth, the
    factor is 1.
    """
    height, width = log_depths.shape
    there = sample_nearest(log_depths, places)
    usable = np.isfinite(log_ratios) & (np.abs(log_ratios) < TUNING.correction_max_log_ratio) & np.isfinite(there)
    places, there = places[usable].astype(np.float32), there[usable]
    log_ratios = log_ratios[usable].astype(np.float32)
    centres = (np.arange(TUNING.correction_grid, dtype=np.float32) + 0.5) / TUNING.correction_grid
    own = log_depths[np.ix_((centres * height).astype(np.intp), (centres * width).astype(np.intp))]
    by_row = np.square((centres[:, None] - places[:, 1]) / TUNING.correction_reach)
    by_column = np.square((centres[:, None] - places[:, 0]) / TUNING.correction_reach)
    squares = by_row[:, None] + by_column + np.square((own[..., None] - there) / TUNING.correction_depth_reach)
    weights = np.where(np.isfinite(squares), np.exp(-0.5 * squares), 0.0).astype(np.float32)
    field = (weights @ log_ratios) / (weights.sum(axis=2) + TUNING.correction_zero_weight)
    interpolated = cv2.resize(field.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.exp(interpolated), dtype=np.float32)
