"""Whether confidence says where the points are good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

CURVE_STEPS = 20
"""Bins of the curve, each with the same number of points; also the steps in which points are taken away."""


@dataclass(frozen=True, slots=True)
class CalibrationPoint:
    """A twentieth of the points, by confidence."""

    confidence: float
    """Mean."""
    mean_error_cm: float
    median_error_cm: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Confidence against the distance of each pixel's point to its true one, after the alignment of the cloud."""

    points: int
    curve: tuple[CalibrationPoint, ...]
    """From the least to the most confident."""
    sparsification_error: float
    """AUSE (Ilg et al. 2018): the mean error of what remains as the least confident points are taken away, minus the
    same with the worst points taken away, over the mean error of all, averaged over the shares taken away. 0:
    confidence orders the points as their errors do."""
    random_sparsification_error: float
    """The same of a confidence that says nothing."""
    rank_correlation: float
    """Spearman's, of confidence with error; -1: confidence orders the points as their errors do."""


def calibrate(confidence: NDArray[np.floating], error_m: NDArray[np.floating]) -> Calibration | None:
    """Compare (N,) confidences with (N,) errors in metres; None for fewer points than bins."""
    if len(confidence) < CURVE_STEPS:
        return None
    error = error_m.astype(np.float64)
    by_confidence = np.argsort(confidence, kind="stable")
    bins = np.array_split(by_confidence, CURVE_STEPS)
    curve = tuple(
        CalibrationPoint(
            float(confidence[chosen].mean(dtype=np.float64)),
            100 * float(error[chosen].mean()),
            100 * float(np.median(error[chosen])),
        )
        for chosen in bins
    )
    best = _remaining_error(np.sort(error)[::-1])
    is_flat = len(np.unique(confidence)) < 2 or len(np.unique(error)) < 2
    return Calibration(
        points=len(error),
        curve=curve,
        sparsification_error=float(np.mean(_remaining_error(error[by_confidence]) - best)),
        random_sparsification_error=float(np.mean(1.0 - best)) if error.any() else 0.0,
        rank_correlation=0.0 if is_flat else float(spearmanr(confidence, error).statistic),
    )


def _remaining_error(taken_first: NDArray[np.float64]) -> NDArray[np.float64]:
    """(`CURVE_STEPS`,) mean error without the first 0, 1/20, 2/20 ... of the points, over that of all."""
    total = np.cumsum(taken_first[::-1])[::-1]
    starts = (np.arange(CURVE_STEPS) * len(taken_first)) // CURVE_STEPS
    means = total[starts] / (len(taken_first) - starts)
    return means / means[0] if means[0] > 0 else np.zeros(CURVE_STEPS)
