"""Fusion of a pointmap's depths with two-view depths (`flow_depth`): their mean, weighted by inverse variances."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.odometry.flow_depth import FlowDepth
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.tuning import TUNING as VISION_TUNING

SIGMA_OVER_MEDIAN = 1.4826
"""Standard deviation of normally distributed errors over the median of their absolute values."""


@dataclass(frozen=True, slots=True, eq=False)
class FusedDepth:
    """How a pointmap (H, W) has to be changed by two-view depths."""

    log_factors: NDArray[np.float32]
    """(H, W) logarithms of the factors by which the pointmap's depths are to be multiplied; 0 where it has none."""
    confidence: NDArray[np.float32]
    """(H, W) the confidence that the depths deserve afterwards."""
    has_two_view_depth: NDArray[np.bool_]
    """(H, W) whether a two-view depth took part."""


def fuse(log_depths: NDArray[np.float32], confidence: NDArray[np.float32], two_view: FlowDepth) -> FusedDepth | None:
    """Fuse the logarithms of a pointmap's depths (H, W), NaN where it has none, with two-view depths, and adapt its
    confidence (H, W); None where there are too few two-view depths.

    The networks' standard deviation is measured where two-view depths are sure. A pixel with both depths takes their
    mean, weighted by inverse variances. A pixel without a two-view depth takes the mean correction around it, and at
    most the confidence that the networks' errors deserve.
    """
    log_ratios = two_view.log_depths - log_depths
    sure = np.isfinite(log_ratios) & (two_view.sigmas < TUNING.fusion_sure_sigma)
    if sure.mean() < TUNING.fusion_min_sure_share:
        return None
    limits = TUNING.fusion_min_network_sigma, TUNING.fusion_max_network_sigma
    network_sigma = float(np.clip(SIGMA_OVER_MEDIAN * np.median(np.abs(log_ratios[sure])), *limits))
    with np.errstate(invalid="ignore"):
        gate = TUNING.fusion_gate * np.hypot(two_view.sigmas, network_sigma)
        used = np.isfinite(log_ratios) & (np.abs(log_ratios) < gate)
    information = np.where(used, 1 / np.where(used, two_view.sigmas, 1) ** 2, 0).astype(np.float32)
    share = information / (information + 1 / network_sigma**2)
    log_factors = np.where(used, share * np.where(used, log_ratios, 0), 0).astype(np.float32)
    sigmas = np.where(used, 1 / np.sqrt(information + 1 / network_sigma**2), network_sigma)
    deserved = np.maximum(VISION_TUNING.confidence_times_error / sigmas, 1).astype(np.float32)
    around = _mean_around(log_factors, np.minimum(information * TUNING.fusion_sure_sigma**2, 1))
    return FusedDepth(
        np.where(used, log_factors, np.where(np.isfinite(log_depths), around, 0)).astype(np.float32),
        np.where(used, np.maximum(confidence, deserved), np.minimum(confidence, deserved)),
        used,
    )


def _mean_around(log_factors: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) the mean of the corrections (H, W) around each pixel, weighted by ``weights`` (H, W) and distance, and
    drawn to zero where there are few of them."""
    sigma_px = TUNING.fusion_reach * log_factors.shape[1]
    weighted, total = (cv2.GaussianBlur(each, (0, 0), sigma_px) for each in (weights * log_factors, weights))
    return np.asarray(weighted / (total + TUNING.fusion_zero_weight))
