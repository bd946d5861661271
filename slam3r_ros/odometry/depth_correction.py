"""Depths between the tracks: how far a frame's points are from what its tracks say, spread over the image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.image_sampling import sample_nearest


def depth_corrections(
    log_depths: NDArray[np.float32], places: Array, ratios: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Factors (H, W) on the distances of a frame's points, whose log depths are (H, W), NaN where there is no point.

    The tracks at ``places`` (N, 2), columns and rows as shares of the image, say that the depth there is larger by
    factors whose logarithms are ``ratios`` (N,). Around them the field is their mean, weighted by how near they are in
    the image and in depth; far from all of them, and where there is no point, it is 1.
    """
    height, width = log_depths.shape
    there = sample_nearest(log_depths, places)
    usable = np.isfinite(ratios) & (np.abs(ratios) < TUNING.correction_max_log_ratio) & np.isfinite(there)
    places, ratios, there = places[usable].astype(np.float32), ratios[usable].astype(np.float32), there[usable]
    middles = (np.arange(TUNING.correction_grid, dtype=np.float32) + 0.5) / TUNING.correction_grid
    own = log_depths[np.ix_((middles * height).astype(np.intp), (middles * width).astype(np.intp))]
    by_row = np.square((middles[:, None] - places[:, 1]) / TUNING.correction_reach)
    by_column = np.square((middles[:, None] - places[:, 0]) / TUNING.correction_reach)
    squares = by_row[:, None] + by_column + np.square((own[..., None] - there) / TUNING.correction_depth_reach)
    weights = np.where(np.isfinite(squares), np.exp(-0.5 * squares), 0.0).astype(np.float32)
    field = (weights @ ratios) / (weights.sum(axis=2) + TUNING.correction_zero_weight)
    spread = cv2.resize(field.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.exp(spread), dtype=np.float32)
