"""The focal length that a pointmap implies."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from slam3r_ros.geometry.robust import weighted_median
from slam3r_ros.geometry.se3 import Array

FOCAL_ITERATIONS = 10
"""Weiszfeld iterations of `fit_focal`; DUSt3R's paper (section 3.3) finds that few are enough."""
FOCAL_SAMPLES = 2048
"""Most pixels that `fit_focal` looks at, taken on a regular grid."""
FIELD_OF_VIEW_DEFAULT = math.radians(60)
"""Field of view over the longer side that is assumed where a pointmap says nothing."""
FIELD_OF_VIEW_RANGE = (math.radians(12), math.radians(140))
"""Narrowest and widest field of view over the longer side that an estimate may have."""


def fit_focal(points_camera: ArrayLike, confidence: ArrayLike) -> float | None:
    """The focal length in pixels that minimises ``sum c |pixel' - f (x, y) / z|`` (DUSt3R's paper, section 3.3).

    ``points_camera`` is (H, W, 3), x right, y down, z forward, any unit; ``confidence`` (H, W). pixel' counts from the
    principal point, taken to be the centre ((W - 1) / 2, (H - 1) / 2). Weiszfeld's iterations: least squares with the
    weights c / residual, again and again. Points that are not finite or not in front of the camera (so also the zeros
    that mark invalid ones) are left out, and those further from the axis than the widest field of view, which would
    outweigh all others. None where fewer than 16 remain or they say nothing about the focal length; otherwise within
    FIELD_OF_VIEW_RANGE. Raises ValueError when the shapes do not fit.
    """
    points = np.asarray(points_camera)
    weights = np.asarray(confidence)
    if points.ndim != 3 or points.shape[2] != 3 or weights.shape != points.shape[:2]:
        raise ValueError(f"fit_focal: expected (H, W, 3) and (H, W), got {points.shape} and {weights.shape}")
    height, width = weights.shape
    step = max(1, math.ceil(math.sqrt(height * width / FOCAL_SAMPLES)))
    rows, columns = np.arange(step // 2, height, step), np.arange(step // 2, width, step)
    grid_y, grid_x = np.meshgrid(rows - (height - 1) / 2, columns - (width - 1) / 2, indexing="ij")
    sample = points[rows[:, None], columns].reshape(-1, 3).astype(np.float64)
    weight = weights[rows[:, None], columns].reshape(-1).astype(np.float64)
    keep = np.isfinite(sample).all(axis=1) & np.isfinite(weight) & (weight > 0) & (sample[:, 2] > 0)
    widest = math.sqrt(2) * math.tan(FIELD_OF_VIEW_RANGE[1] / 2)
    keep[keep] = np.abs(sample[keep, :2]).max(axis=1) <= widest * sample[keep, 2]
    if np.count_nonzero(keep) < 16:
        return None
    pixels = np.stack([grid_x.ravel()[keep], grid_y.ravel()[keep]], axis=1)
    focal = _weiszfeld(pixels, sample[keep, :2] / sample[keep, 2:], weight[keep])
    if focal is None:
        return None
    longest, shortest = (focal_from_field_of_view(angle, width, height) for angle in FIELD_OF_VIEW_RANGE)
    return min(max(focal, shortest), longest)


def _weiszfeld(pixels: Array, rays: Array, confidence: Array) -> float | None:
    """The factor f of least ``sum c |pixels - f rays|``; None where it is not a positive number."""
    along, length = np.einsum("ij,ij->i", pixels, rays), np.einsum("ij,ij->i", rays, rays)
    off_axis = length > 1e-12
    if not off_axis.any():
        return None
    # From the weighted median of the single factors, since a least squares start is at the mercy of outliers.
    focal = weighted_median(along[off_axis] / length[off_axis], (confidence * np.sqrt(length))[off_axis])
    for _ in range(FOCAL_ITERATIONS):
        offsets = pixels - focal * rays
        distance = np.sqrt(np.einsum("ij,ij->i", offsets, offsets))
        weight = confidence / np.maximum(distance, 1e-6)
        denominator = float(weight @ length)
        if not denominator > 0:
            return None
        focal, previous = float(weight @ along) / denominator, focal
        if abs(focal - previous) <= 1e-6 * abs(focal):
            break
    return focal if np.isfinite(focal) and focal > 0 else None


def focal_from_field_of_view(angle_rad: float, width: int, height: int) -> float:
    """Focal length in pixels of an image whose longer side spans the angle."""
    return max(width, height) / (2 * math.tan(angle_rad / 2))
