"""Depths by the networks where parallax tells little or nothing, after they were fitted to what is measured."""

from __future__ import annotations

import cv2
import numpy as np

from slam3r_ros.dense_depth.posed_view import DepthMap, Image
from slam3r_ros.dense_depth.tuning import TUNING

SIGMA_OVER_MEDIAN = 1.4826
"""Standard deviation of normally distributed errors over the median of their absolute values."""


def filled(measured: DepthMap, prior: DepthMap) -> DepthMap:
    """The measured depths, and where there are none the prior's, fitted to those around.

    The logarithm of the ratio of both is smooth where the prior is right about the shape: its mean around a pixel,
    weighted by distance, corrects the prior there, and the spread that remains is the prior's standard deviation. Where
    too little is measured around, or the spread is large, nothing is filled in.
    """
    both = measured.is_known & prior.is_known
    if np.count_nonzero(both) < TUNING.min_fit_share * both.size:
        return measured
    ratios = np.where(both, np.log(measured.depth) - np.log(prior.depth), 0).astype(np.float32)
    weights = both.astype(np.float32)
    total = _around(weights)
    mean = _around(weights * ratios) / np.maximum(total, 1e-6)
    spread = SIGMA_OVER_MEDIAN * 0.85 * _around(weights * np.abs(ratios - mean)) / np.maximum(total, 1e-6)
    sigma = np.maximum(np.maximum(spread, prior.sigma), TUNING.sigma_floor)
    fills = ~measured.is_known & prior.is_known & (total > TUNING.min_fit_weight) & (sigma <= TUNING.max_sigma)
    depth = np.where(fills, prior.depth * np.exp(mean), measured.depth)
    return DepthMap(depth.astype(np.float32), np.where(fills, sigma, measured.sigma).astype(np.float32))


def _around(values: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), TUNING.fit_reach * values.shape[1]), np.float32)
