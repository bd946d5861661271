"""The pose of one frame from points that are known and where it sees them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from slam3r_ros.geometry.se3 import Array, orthonormal, rigid
from slam3r_ros.vision.pnp import projection_jacobian
from slam3r_ros.vision.pose_prior import PRIOR_KERNEL, PosePrior, pose_deviations, pose_residuals, prior_roots

KERNEL = 2.0
"""Deviations at which the weight of a residual has fallen to a half."""
STEPS = 6
SMALLEST_STEP = 1e-3
FEWEST_POINTS = 3
BEHIND_SQUARE = 1e12
"""Squared residual, over the kernel's, of a point that is not in front."""
DAMPING = 1e-9
"""Of the normal equations, over the mean of their diagonal."""


def resect(
    points_world: Array, slopes: Array, starts: Sequence[Array], deviation: float, prior: PosePrior | None
) -> Array:
    """(4, 4) T_camera_world by which points (N, 3) are seen at slopes (N, 2), and near to the prior.

    Robust Gauss-Newton from the best start. ``deviation`` is the error expected of one coordinate of a slope.
    """
    best = min((_Fit(start, points_world, slopes, deviation, prior) for start in starts), key=lambda fit: fit.cost)
    for _ in range(STEPS):
        x = best.step()
        if not (np.isfinite(x).all() and np.abs(x).max() < 1):
            break
        moved = rigid(cv2.Rodrigues(x[:3])[0], best.depth * x[3:]) @ best.T_camera_world
        fit = _Fit(moved, points_world, slopes, deviation, prior)
        if fit.cost > best.cost:
            break
        best = fit
        if np.abs(x).max() < SMALLEST_STEP:
            break
    return orthonormal(best.T_camera_world)


def slope_errors(points_world: Array, slopes: Array, T_camera_world: Array) -> Array:
    """(N,) distances on the plane of slopes; infinite for points that are not in front."""
    points = points_world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.linalg.norm(points[:, :2] / points[:, 2:] - slopes, axis=1)
    return np.where(points[:, 2] > 0, errors, np.inf)


class _Fit:
    """How a pose explains what is seen."""

    def __init__(
        self, T_camera_world: Array, points_world: Array, slopes: Array, deviation: float, prior: PosePrior | None
    ) -> None:
        self.T_camera_world, self._deviation = T_camera_world, deviation
        seen = points_world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
        front = seen[:, 2] > 0
        self.depth = float(seen[front, 2].mean()) if front.any() else 1.0
        self._inverse = 1 / np.where(front, seen[:, 2], np.inf)
        self._slopes = seen[:, :2] * self._inverse[:, None]
        self._residuals = (self._slopes - slopes) / deviation
        squares = np.einsum("ij,ij->i", self._residuals, self._residuals) / KERNEL**2
        squares[~front] = BEHIND_SQUARE
        self._weights = np.where(front, 1 / (1 + squares), 0.0)
        self.cost = float(np.log1p(squares).sum()) * KERNEL**2 / 2
        self._has_prior = prior is not None and prior.T_camera_world is not None
        if prior is not None and prior.T_camera_world is not None:
            self._offsets = pose_residuals(T_camera_world[None], prior.T_camera_world[None])[0]
            self._offset_deviations = pose_deviations(np.array([prior.doubt]), self.depth)[0]
            self._offsets = self._offsets / self._offset_deviations
            roots = prior_roots((self._offsets.reshape(2, 3) ** 2).sum(axis=1))
            self._offset_weights = np.repeat(1 / roots, 3)
            self.cost += float((roots - 1).sum()) * PRIOR_KERNEL**2

    def step(self) -> Array:
        """(6,) turn, and shift in mean depths; NaN where what is seen says nothing."""
        if np.count_nonzero(self._weights) < FEWEST_POINTS:
            return np.full(6, np.nan)
        jacobian = projection_jacobian(self._slopes, self.depth * self._inverse)
        flat = jacobian.reshape(-1, 6)
        weighted = (jacobian * (self._weights / self._deviation)[:, None, None]).reshape(-1, 6)
        normal = weighted.T @ flat / self._deviation
        gradient = self._residuals.ravel() @ weighted
        if self._has_prior:
            deviations = self._offset_deviations / np.repeat([1.0, self.depth], 3)
            normal[np.diag_indices(6)] += self._offset_weights / deviations**2
            gradient += self._offset_weights * self._offsets / deviations
        normal[np.diag_indices(6)] += DAMPING * np.trace(normal) / 6
        try:
            return np.asarray(-np.linalg.solve(normal, gradient))
        except np.linalg.LinAlgError:
            return np.full(6, np.nan)
