"""The pose of one frame from points that are known and where it sees them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from slam3r_ros.engine.geometry import Array, rigid

KERNEL = 2.0
"""Deviations at which the weight of a residual has fallen to a half."""
STEPS = 4
SMALLEST_STEP = 1e-4
PRIOR_WEIGHT = 1e-3
"""Of each unknown of the pose it starts from, over the mean diagonal of the normal equations: it only decides what the
points do not."""


def resect(points_world: Array, slopes: Array, starts: Sequence[Array], slope_deviation: float) -> Array:
    """(4, 4) T_camera_world by which points (N, 3) are seen at slopes (N, 2): robust Gauss-Newton from the best start.

    ``slope_deviation`` is the error expected of one coordinate of a slope.
    """
    best = min(starts, key=lambda start: _cost(points_world, slopes, start, slope_deviation))
    T, cost = best, _cost(points_world, slopes, best, slope_deviation)
    for _ in range(STEPS):
        x, depth = _step(points_world, slopes, T, slope_deviation)
        if not (np.isfinite(x).all() and np.abs(x).max() < 1):
            break
        moved = rigid(cv2.Rodrigues(x[:3])[0], depth * x[3:]) @ T
        moved_cost = _cost(points_world, slopes, moved, slope_deviation)
        if moved_cost > cost:
            break
        T, cost = moved, moved_cost
        if np.abs(x).max() < SMALLEST_STEP:
            break
    return orthonormal(T)


def orthonormal(T: Array) -> Array:
    """(4, 4) the rigid transform nearest to one whose rotation has become inexact."""
    u, _, vt = np.linalg.svd(T[:3, :3])
    return rigid(u @ vt, T[:3, 3])


def slope_errors(points_world: Array, slopes: Array, T_camera_world: Array) -> Array:
    """(N,) distances on the plane of slopes; infinite for points that are not in front."""
    points = points_world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.linalg.norm(points[:, :2] / points[:, 2:] - slopes, axis=1)
    return np.where(points[:, 2] > 0, errors, np.inf)


def _cost(points_world: Array, slopes: Array, T_camera_world: Array, deviation: float) -> float:
    squares = np.minimum(slope_errors(points_world, slopes, T_camera_world), 1e3) ** 2
    return float(np.log1p(squares / (KERNEL * deviation) ** 2).sum())


def _step(points_world: Array, slopes: Array, T_camera_world: Array, deviation: float) -> tuple[Array, float]:
    """(6,) turn, and shift in mean depths; and the mean depth."""
    seen = points_world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    front = seen[:, 2] > 0
    seen, slopes = seen[front], slopes[front]
    if len(seen) < 3:
        return np.full(6, np.nan), 1.0
    depth = float(seen[:, 2].mean())
    seen = seen / depth
    inverse = 1 / seen[:, 2]
    x, y = seen[:, 0] * inverse, seen[:, 1] * inverse
    residuals = np.stack([x, y], axis=1) - slopes
    jacobian = np.zeros((len(seen), 2, 6))
    jacobian[:, 0, :3] = np.stack([-x * y, 1 + x * x, -y], axis=1)
    jacobian[:, 1, :3] = np.stack([-1 - y * y, x * y, x], axis=1)
    jacobian[:, 0, 3] = jacobian[:, 1, 4] = inverse
    jacobian[:, 0, 5], jacobian[:, 1, 5] = -x * inverse, -y * inverse
    weights = 1 / (1 + np.einsum("ij,ij->i", residuals, residuals) / (KERNEL * deviation) ** 2)
    weighted = jacobian * weights[:, None, None]
    normal = np.einsum("nij,nik->jk", weighted, jacobian)
    normal[np.diag_indices(6)] += PRIOR_WEIGHT * np.trace(normal) / 6 * 1e-3
    try:
        return -np.linalg.solve(normal, np.einsum("nij,ni->j", weighted, residuals)), depth
    except np.linalg.LinAlgError:
        return np.full(6, np.nan), depth
