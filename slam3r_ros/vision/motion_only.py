"""Motion-only bundle adjustment: the pose of one frame that observes known landmarks, which stay where they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slam3r_ros.geometry.least_squares import Damping, levenberg_marquardt, solve_normal_equations
from slam3r_ros.geometry.robust import cauchy_cost, cauchy_weight, charbonnier_cost, charbonnier_weight
from slam3r_ros.geometry.se3 import Array, orthonormal, rigid, rotation_from_vector
from slam3r_ros.vision.pnp import projection_jacobian
from slam3r_ros.vision.pose_prior import PosePrior, pose_residuals, pose_sigmas
from slam3r_ros.vision.tuning import TUNING

_DAMPING = Damping(first=1e-9, least=1e-9, most=1e-9, min_step=TUNING.motion_only_min_step)
"""Gauss and Newton's method; the damping only keeps the equations of few points solvable."""


def motion_only_bundle_adjustment(
    points_world: Array, observed_xy: Array, starts: Sequence[Array], sigma: float, prior: PosePrior | None
) -> Array:
    """(4, 4) T_camera_world that explains best where landmarks are observed, and that is near to the prior.

    ``points_world`` (N, 3) are observed at normalized image coordinates ``observed_xy`` (N, 2), each of which errs by
    the standard deviation ``sigma``. Gauss-Newton with Cauchy's kernel from the best of the starts, T_camera_world too.
    """
    best = min((_Pose(start, points_world, observed_xy, sigma, prior) for start in starts), key=lambda pose: pose.cost)
    best, _ = levenberg_marquardt(best, TUNING.motion_only_steps, _DAMPING)
    return orthonormal(best.T_camera_world)


def reprojection_errors(points_world: Array, observed_xy: Array, T_camera_world: Array) -> Array:
    """(N,) distances in normalized image coordinates between points (N, 3) and where they are observed (N, 2).

    Infinite for points that are not in front of the camera.
    """
    points = points_world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.linalg.norm(points[:, :2] / points[:, 2:] - observed_xy, axis=1)
    return np.where(points[:, 2] > 0, errors, np.inf)


class _Pose:
    """The least-squares problem linearized at one pose; a step is a rotation vector and a translation in mean depths,
    both in the camera's axes."""

    def __init__(
        self,
        T_camera_world: Array,
        points_world: Array,
        observed_xy: Array,
        sigma: float,
        prior: PosePrior | None,
        step_size: float = np.inf,
    ) -> None:
        self.T_camera_world, self.step_size = T_camera_world, step_size
        self._points_world, self._observed_xy, self._sigma, self._prior = points_world, observed_xy, sigma, prior
        points = points_world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
        front = points[:, 2] > 0
        self._mean_depth = float(points[front, 2].mean()) if front.any() else 1.0
        self._inverse_depths = 1 / np.where(front, points[:, 2], np.inf)
        self._projected_xy = points[:, :2] * self._inverse_depths[:, None]
        self._residuals = (self._projected_xy - observed_xy) / sigma
        squares = np.einsum("ij,ij->i", self._residuals, self._residuals) / TUNING.motion_only_kernel**2
        squares[~front] = TUNING.behind_camera_square
        self._weights = np.where(front, cauchy_weight(squares), 0.0)
        self.cost = float(cauchy_cost(squares).sum()) * TUNING.motion_only_kernel**2
        self._has_prior = prior is not None and prior.T_camera_world is not None
        if prior is not None and prior.T_camera_world is not None:
            self._prior_sigmas = pose_sigmas(np.array([prior.sigma_factor]), self._mean_depth)[0]
            self._prior_residuals = pose_residuals(T_camera_world[None], prior.T_camera_world[None])[0]
            self._prior_residuals = self._prior_residuals / self._prior_sigmas
            squares = (self._prior_residuals.reshape(2, 3) ** 2).sum(axis=1) / TUNING.prior_kernel**2
            self._prior_weights = np.repeat(charbonnier_weight(squares), 3)
            self.cost += float(charbonnier_cost(squares).sum()) * TUNING.prior_kernel**2

    def after_step(self, damping: float) -> _Pose | None:
        """The problem linearized one step on; None where the observations do not determine a step."""
        if np.count_nonzero(self._weights) < TUNING.min_motion_only_points:
            return None
        jacobian = projection_jacobian(self._projected_xy, self._mean_depth * self._inverse_depths)
        flat = jacobian.reshape(-1, 6)
        weighted = (jacobian * (self._weights / self._sigma)[:, None, None]).reshape(-1, 6)
        normal = weighted.T @ flat / self._sigma
        gradient = self._residuals.ravel() @ weighted
        if self._has_prior:
            sigmas = self._prior_sigmas / np.repeat([1.0, self._mean_depth], 3)
            normal[np.diag_indices(6)] += self._prior_weights / sigmas**2
            gradient += self._prior_weights * self._prior_residuals / sigmas
        step = solve_normal_equations(normal, gradient, damping, max_component=1.0)
        if step is None:
            return None
        moved = rigid(rotation_from_vector(step[:3]), self._mean_depth * step[3:]) @ self.T_camera_world
        size = float(np.abs(step).max())
        return _Pose(moved, self._points_world, self._observed_xy, self._sigma, self._prior, size)
