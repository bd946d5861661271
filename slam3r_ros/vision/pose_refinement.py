"""A pose refined on all that a frame's points tell: where they are observed, and where the own pointmap has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.least_squares import solve_normal_equations
from slam3r_ros.geometry.robust import geman_mcclure_weight
from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_vector
from slam3r_ros.vision.pnp import PointObservations, PoseFit, evaluate_pose, projection_jacobian
from slam3r_ros.vision.tuning import TUNING


def refine_pose(observed: PointObservations, points_camera: Array, start: PoseFit, scale: float) -> PoseFit:
    """The start after Gauss-Newton steps on all points; the start itself where they end with clearly fewer inliers.

    ``points_camera`` (N, 3) are the observed points as the frame's own pointmap has them, in any unit, zero where it
    has none; ``scale`` is about the world's length of that unit. Two kinds of residuals are minimised over pose and
    scale: on the image plane, observed pixel against projected world point; and in space, as a share of the distance,
    own point against world point. Each kind counts in units of its own median, through Geman and McClure's robust
    kernel. The first kind alone is perspective-n-point, the second alone the similarity's alignment.
    """
    usable = np.flatnonzero(np.isfinite(observed.points_world).all(axis=1) & np.isfinite(points_camera).all(axis=1))
    if len(usable) > TUNING.refined_points:
        usable = usable[np.linspace(0, len(usable) - 1, TUNING.refined_points).astype(np.intp)]
    matrix = observed.matrix
    points = _Points(
        world=observed.points_world[usable],
        own=points_camera[usable],
        observed_xy=(observed.pixels[usable] - matrix[:2, 2]) / [matrix[0, 0], matrix[1, 1]],
        inlier_square=(observed.threshold_px / matrix[0, 0]) ** 2,
    )
    T_camera_world = start.T_camera_world
    for _ in range(TUNING.refinement_steps):
        step = _gauss_newton_step(points, T_camera_world, scale)
        if step is None:
            return start
        T_camera_world, scale = step.change @ T_camera_world, scale * step.scale_factor
        if step.size < TUNING.refinement_min_step:
            break
    fit = evaluate_pose(observed, T_camera_world)
    return fit if fit.inlier_fraction >= TUNING.min_inliers_kept * start.inlier_fraction else start


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """The N points that a pose is fitted to."""

    world: Array
    """(N, 3) world points in scene units."""
    own: Array
    """(N, 3) the same points in the frame's own pointmap, in any unit; zero where it has none."""
    observed_xy: Array
    """(N, 2) normalized image coordinates at which the points are observed."""
    inlier_square: float
    """Squared reprojection error in normalized image coordinates up to which a point is an inlier."""


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One step of the refinement."""

    change: Array
    """(4, 4) rigid transform to be applied after T_camera_world."""
    scale_factor: float
    """Factor of the scale of the frame's own pointmap."""
    size: float
    """Largest component of the rotation vector, and of the translation over the mean depth."""


def _gauss_newton_step(points: _Points, T_camera_world: Array, scale: float) -> _Step | None:
    """The step from a pose and a scale; None where too few points are in front and near, or do not determine one.

    Every step takes its kernels' widths from its own residuals, so that costs of two steps cannot be compared: this is
    iteratively re-weighted least squares, and no step is rejected.
    """
    seen = points.world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    front = np.flatnonzero(seen[:, 2] > 0)
    if len(front) < TUNING.min_pnp_points:
        return None
    seen = seen[front]
    depth = float(seen[:, 2].mean())
    seen, own, has_own = seen / depth, points.own[front] * (scale / depth), points.own[front].any(axis=1)
    on_plane = seen[:, :2] / seen[:, 2:] - points.observed_xy[front]
    distance = np.sqrt(np.einsum("ij,ij->i", seen, seen))[:, None]
    in_space = (seen - own) / distance
    inliers = np.einsum("ij,ij->i", on_plane, on_plane) <= points.inlier_square
    if np.count_nonzero(inliers) < TUNING.min_pnp_points:
        return None
    weights_plane = _weights(on_plane, inliers)
    weights_space = np.where(has_own, _weights(in_space, inliers & has_own) * TUNING.pointmap_weight, 0.0)
    jacobian_plane, jacobian_space = _jacobian_plane(seen), _jacobian_space(seen, own, distance)
    jacobian = np.concatenate([jacobian_plane.reshape(-1, 7), jacobian_space.reshape(-1, 7)])
    residuals = np.concatenate([on_plane.ravel(), in_space.ravel()])
    weighted = jacobian * np.concatenate([np.repeat(weights_plane, 2), np.repeat(weights_space, 3)])[:, None]
    x = solve_normal_equations(weighted.T @ jacobian, weighted.T @ residuals, damping=1e-9, max_component=1.0)
    if x is None:
        return None
    change = rigid(rotation_from_vector(x[:3]), depth * x[3:6])
    return _Step(change, float(np.exp(x[6])), float(np.abs(x[:6]).max()))


def _weights(residuals: Array, inliers: NDArray[np.bool_]) -> Array:
    """Geman and McClure's weights (N,) of residuals (N, d), over the median squared residual of the inliers."""
    squares = np.einsum("ij,ij->i", residuals, residuals)
    inner = squares[inliers]
    median = 1.0
    if len(inner):
        median = max(float(np.partition(inner, len(inner) // 2)[len(inner) // 2]), TUNING.min_median_square)
    return geman_mcclure_weight(squares / (TUNING.refinement_kernel * median)) / median


def _jacobian_plane(seen: Array) -> Array:
    """(N, 2, 7) derivatives of the projections of points (N, 3) by rotation, translation and the scale's logarithm."""
    inverse = 1 / seen[:, 2]
    return np.pad(projection_jacobian(seen[:, :2] * inverse[:, None], inverse), ((0, 0), (0, 0), (0, 1)))


def _jacobian_space(seen: Array, own: Array, distance: Array) -> Array:
    """(N, 3, 7) derivatives of ``(seen - own) / distance`` by rotation, translation and the scale's logarithm."""
    near = seen / distance
    x, y, z = near.T
    jacobian = np.zeros((len(seen), 3, 7))
    jacobian[:, 0, 1], jacobian[:, 0, 2] = z, -y
    jacobian[:, 1, 0], jacobian[:, 1, 2] = -z, x
    jacobian[:, 2, 0], jacobian[:, 2, 1] = y, -x
    for axis in range(3):
        jacobian[:, axis, 3 + axis] = 1 / distance[:, 0]
    jacobian[:, :, 6] = -own / distance
    return jacobian
