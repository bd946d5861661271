"""A pointmap and the distances that parallax tells, together: each as far as it is to be believed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.odometry.flow_depth import FlowDepth
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.tuning import TUNING as VISION_TUNING


@dataclass(frozen=True, slots=True, eq=False)
class FusedDepth:
    """The network's distances and those by parallax together."""

    log_factors: NDArray[np.float32]
    """(H, W) logarithms of what the network's distances are to be multiplied by; 0 where there is none."""
    confidence: NDArray[np.float32]
    """(H, W)"""
    told: NDArray[np.bool_]
    """(H, W): where parallax told the distance."""


def fuse(log_depths: NDArray[np.float32], confidence: NDArray[np.float32], distances: FlowDepth) -> FusedDepth | None:
    """What to correct of a pointmap's log depths (H, W), NaN where it has none, and the confidence (H, W) it has then;
    None where parallax tells too little.

    How far the network errs is seen where parallax is sure. A pixel takes the mean of both, weighted by what they err;
    one without parallax takes what the network errs by around it, and no more confidence than such errors deserve.
    """
    ratios = distances.log_depths - log_depths
    sure = np.isfinite(ratios) & (distances.deviations < TUNING.fusion_sure_sigma)
    if sure.mean() < TUNING.fusion_min_sure_share:
        return None
    network = float(
        np.clip(
            1.4826 * np.median(np.abs(ratios[sure])), TUNING.fusion_min_network_sigma, TUNING.fusion_max_network_sigma
        )
    )
    with np.errstate(invalid="ignore"):
        told = np.isfinite(ratios) & (np.abs(ratios) < TUNING.fusion_gate * np.hypot(distances.deviations, network))
    weights = np.where(told, 1 / np.where(told, distances.deviations, 1) ** 2, 0).astype(np.float32)
    share = weights / (weights + 1 / network**2)
    factors = np.where(told, share * np.where(told, ratios, 0), 0).astype(np.float32)
    speaks = np.minimum(weights * TUNING.fusion_sure_sigma**2, 1)
    spread = TUNING.fusion_reach * log_depths.shape[1]
    around = cv2.GaussianBlur(speaks * factors, (0, 0), spread) / (
        cv2.GaussianBlur(speaks, (0, 0), spread) + TUNING.fusion_zero_weight
    )
    errors = np.where(told, 1 / np.sqrt(weights + 1 / network**2), network)
    calibrated = np.maximum(VISION_TUNING.confidence_times_error / errors, 1).astype(np.float32)
    return FusedDepth(
        np.where(told, factors, np.where(np.isfinite(log_depths), around, 0)).astype(np.float32),
        np.where(told, np.maximum(confidence, calibrated), np.minimum(confidence, calibrated)),
        told,
    )
