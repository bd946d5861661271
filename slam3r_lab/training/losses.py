"""Losses and errors of pointmaps."""

from __future__ import annotations

from torch import Tensor

CONFIDENCE_WEIGHT = 0.2
"""Alpha of the confidence term (SLAM3R, arXiv 2412.09401, section 3.2; DUSt3R, arXiv 2312.14132, equation 4)."""

BARRIER_WEIGHT = 0.004
"""Keeps confidences from sinking to exactly 1, where they would stop learning, while all distances are above alpha."""


def mean_distance(points: Tensor, valid: Tensor) -> Tensor:
    """Mean distance to the origin of the valid points of each sample, all views jointly: (batch, 1, 1, 1, 1).

    points (batch, views, height, width, 3), valid (batch, views, height, width) bool.
    """
    weight = valid.to(points.dtype)
    total = (points.norm(dim=-1) * weight).sum(dim=(1, 2, 3))
    return (total / weight.sum(dim=(1, 2, 3)).clamp(min=1.0)).clamp(min=1e-6)[:, None, None, None, None]


def point_distances(predicted: Tensor, true: Tensor, valid: Tensor, *, normalise: bool) -> Tensor:
    """Distances (batch, views, height, width) between predicted and true points (batch, views, height, width, 3).

    With `normalise`, both are first divided by their own mean distance to the origin over the valid points of all
    views.
    """
    if normalise:
        predicted, true = predicted / mean_distance(predicted, valid), true / mean_distance(true, valid)
    return (predicted - true).norm(dim=-1)


SCALE_WEIGHT = 0.1
"""Weight of the loss that makes the networks' unit a metre, as far as images determine lengths. The published training
leaves it open; here it keeps the unit the same from a near wall to a far one, which is what image tracks take from I2P
where no parallax determines it."""


def scale_errors(predicted: Tensor, true: Tensor, valid: Tensor) -> Tensor:
    """(batch,) absolute logarithms of predicted over true mean distances; arguments as of `point_distances`."""
    ratios = mean_distance(predicted, valid) / mean_distance(true, valid)
    return ratios.clamp(min=1e-6).log().abs().flatten()


SKY_WEIGHT = 0.2
"""Weight of the loss that lowers confidences where there is nothing."""


def confidence_weighted(
    distances: Tensor, confidence: Tensor, valid: Tensor, alpha: float = CONFIDENCE_WEIGHT
) -> Tensor:
    """Mean over valid points of `confidence * distance - alpha log(confidence)`; all (batch, views, height, width)."""
    values = confidence * distances - alpha * confidence.log() - BARRIER_WEIGHT * (confidence - 1).clamp(min=1e-6).log()
    weight = valid.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of `values` where `valid` holds."""
    weight = valid.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


def sky_confidence(confidence: Tensor, sky: Tensor) -> Tensor:
    """SKY_WEIGHT times the mean of log(confidence) over all pixels, counting those of the sky alone: least where the
    confidence there is 1. Both (batch, views, height, width).
    """
    return SKY_WEIGHT * (confidence.log() * sky).mean()
