"""The pose of one frame from points that are known and where it sees them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from slam3r_ros.engine.geometry import Array, rigid
from slam3r_ros.engine.tracks.prior import PRIOR_KERNEL, Prior, pose_deviations, pose_residuals, prior_roots

KERNEL = 2.0
"""Deviations at which the weight of a residual has fallen to a half."""
STEPS = 8
SMALLEST_STEP = 2e-4
DAMPING = 1e-9
"""Of the normal equations, over the mean of their diagonal."""


def resect(points_world: Array, slopes: Array, starts: Sequence[Array], deviation: float, prior: Prior | None) -> Array:
    """(4, 4) T_camera_world by which points (N, 3) are seen at slopes (N, 2), and near to the prior.

    Robust Gauss-Newton from the best start. ``deviation`` is the error expected of one coordinate of a slope.
    """
    observed = _Observed(points_world, slopes, deviation, prior)
    costs = [observed.cost(start) for start in starts]
    cost, T = min(costs), starts[int(np.argmin(costs))]
    for _ in range(STEPS):
        x, depth = observed.step(T)
        if not (np.isfinite(x).all() and np.abs(x).max() < 1):
            break
        moved = rigid(cv2.Rodrigues(x[:3])[0], depth * x[3:]) @ T
        moved_cost = observed.cost(moved)
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


class _Observed:
    """What a pose is fitted to."""

    def __init__(self, points_world: Array, slopes: Array, deviation: float, prior: Prior | None) -> None:
        self._points, self._slopes, self._deviation, self._prior = points_world, slopes, deviation, prior

    def cost(self, T_camera_world: Array) -> float:
        """Half the sum of the robust squares, in deviations."""
        squares = np.minimum(slope_errors(self._points, self._slopes, T_camera_world) / self._deviation, 1e6) ** 2
        cost = float(np.log1p(squares / KERNEL**2).sum()) * KERNEL**2 / 2
        if self._prior is not None:
            z = self._points @ T_camera_world[2, :3] + T_camera_world[2, 3]
            residuals, deviations = self._from_prior(T_camera_world, self._prior, abs(float(z.mean())))
            roots = prior_roots(((residuals / deviations).reshape(2, 3) ** 2).sum(axis=1))
            cost += float((roots - 1).sum()) * PRIOR_KERNEL**2
        return cost

    def step(self, T_camera_world: Array) -> tuple[Array, float]:
        """(6,) turn, and shift in mean depths; and the mean depth."""
        seen = self._points @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
        front = seen[:, 2] > 0
        seen, slopes = seen[front], self._slopes[front]
        if len(seen) < 3:
            return np.full(6, np.nan), 1.0
        depth = float(seen[:, 2].mean())
        inverse = depth / seen[:, 2]
        x, y = seen[:, 0] / seen[:, 2], seen[:, 1] / seen[:, 2]
        residuals = (np.stack([x, y], axis=1) - slopes) / self._deviation
        jacobian = np.zeros((len(seen), 2, 6))
        jacobian[:, 0, 0], jacobian[:, 0, 1], jacobian[:, 0, 2] = -x * y, 1 + x * x, -y
        jacobian[:, 1, 0], jacobian[:, 1, 1], jacobian[:, 1, 2] = -1 - y * y, x * y, x
        jacobian[:, 0, 3] = jacobian[:, 1, 4] = inverse
        jacobian[:, 0, 5], jacobian[:, 1, 5] = -x * inverse, -y * inverse
        weights = 1 / (1 + np.einsum("ij,ij->i", residuals, residuals) / KERNEL**2)
        flat = (jacobian * (np.sqrt(weights) / self._deviation)[:, None, None]).reshape(-1, 6)
        normal = flat.T @ flat
        gradient = (residuals * np.sqrt(weights)[:, None]).ravel() @ flat
        if self._prior is not None:
            offsets, deviations = self._from_prior(T_camera_world, self._prior, depth)
            offsets, deviations = offsets / deviations, deviations / np.repeat([1.0, depth], 3)
            weights = np.repeat(1 / prior_roots((offsets.reshape(2, 3) ** 2).sum(axis=1)), 3)
            normal[np.diag_indices(6)] += weights / deviations**2
            gradient += weights * offsets / deviations
        normal[np.diag_indices(6)] += DAMPING * np.trace(normal) / 6
        try:
            return -np.linalg.solve(normal, gradient), depth
        except np.linalg.LinAlgError:
            return np.full(6, np.nan), depth

    @staticmethod
    def _from_prior(T_camera_world: Array, prior: Prior, depth: float) -> tuple[Array, Array]:
        """(6,) residuals and deviations."""
        residuals = pose_residuals(T_camera_world[None], prior.T_camera_world[None])[0]
        return residuals, pose_deviations(np.array([prior.doubt]), depth)[0]
