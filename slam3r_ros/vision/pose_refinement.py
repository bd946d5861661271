"""A pose from all that a frame's points say: where they are seen, and how they lie to each other."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, rigid
from slam3r_ros.vision.pnp import MINIMUM_POINTS, Fit, PointObservations, fit_of, projection_jacobian

REFINED_POINTS = 300
"""Most points of the refinement, evenly spread over those observed."""
LARGEST_STEP_COUNT = 5
"""Most Gauss-Newton steps."""
SMALLEST_STEP = 3e-4
"""Step, in radians and in mean depths, after which the refinement ends."""
KERNEL_WIDTH = 9.0
"""Squared residual, over the inliers' median squared residual, at which a point's weight has fallen to a quarter."""
LEAST_SQUARE = 1e-14
"""Smallest median squared residual assumed: what float32 leaves of exact points."""
DAMPING = 1e-9
"""Of the normal equations, over the mean of their diagonal."""
LEAST_INLIERS_KEPT = 0.9
"""Share of the start's inliers below which a refinement is refused."""


def refine_pose(observed: PointObservations, points_camera: Array, start: Fit, scale: float) -> Fit:
    """The start after Gauss-Newton steps on all points; the start itself where they end with clearly fewer inliers.

    ``points_camera`` (N, 3) are the observed points as the frame's own pointmap has them, in any unit, zero where it
    has none; ``scale`` is about the world's length of that unit. Minimised over pose and scale are two kinds of
    residuals: on the image plane, pixel against projected world point; and in space, as a share of the distance, own
    point against world point. Each kind counts in units of its own median, through Geman and McClure's robust kernel.
    The first kind alone is PnP, the second alone the similarity.
    """
    usable = np.flatnonzero(np.isfinite(observed.points_world).all(axis=1) & np.isfinite(points_camera).all(axis=1))
    if len(usable) > REFINED_POINTS:
        usable = usable[np.linspace(0, len(usable) - 1, REFINED_POINTS).astype(np.intp)]
    matrix = observed.matrix
    points = _Points(
        world=observed.points_world[usable],
        own=points_camera[usable],
        slopes=(observed.pixels[usable] - matrix[:2, 2]) / [matrix[0, 0], matrix[1, 1]],
        limit=(observed.threshold_px / matrix[0, 0]) ** 2,
    )
    T_camera_world = start.T_camera_world
    for _ in range(LARGEST_STEP_COUNT):
        step = _gauss_newton(points, T_camera_world, scale)
        if step is None:
            return start
        T_camera_world, scale = step.change @ T_camera_world, scale * step.scale_factor
        if step.size < SMALLEST_STEP:
            break
    fit = fit_of(observed, T_camera_world)
    return fit if fit.inlier_fraction >= LEAST_INLIERS_KEPT * start.inlier_fraction else start


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """What a pose is fitted to."""

    world: Array
    """(N, 3) scene units."""
    own: Array
    """(N, 3) any unit; zero where there is none."""
    slopes: Array
    """(N, 2) x / z and y / z of the pixels."""
    limit: float
    """Squared residual of the slopes up to which a point is an inlier."""


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One step of the refinement."""

    change: Array
    """(4, 4) to be applied after T_camera_world."""
    scale_factor: float
    size: float
    """The largest of its angles, and of its shifts over the mean depth."""


def _gauss_newton(points: _Points, T_camera_world: Array, scale: float) -> _Step | None:
    """The step from a pose and a scale; None where too few points are in front and near, or do not determine one."""
    seen = points.world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    front = np.flatnonzero(seen[:, 2] > 0)
    if len(front) < MINIMUM_POINTS:
        return None
    seen = seen[front]
    depth = float(seen[:, 2].mean())
    seen, own, has_own = seen / depth, points.own[front] * (scale / depth), points.own[front].any(axis=1)
    on_plane = seen[:, :2] / seen[:, 2:] - points.slopes[front]
    distance = np.sqrt(np.einsum("ij,ij->i", seen, seen))[:, None]
    in_space = (seen - own) / distance
    weights_plane, inliers = _weights(on_plane, None, points.limit)
    if np.count_nonzero(inliers) < MINIMUM_POINTS:
        return None
    weights_space, _ = _weights(in_space, inliers & has_own, None)
    jacobian_plane, jacobian_space = _jacobian_plane(seen), _jacobian_space(seen, own, distance)
    weights_space = np.where(has_own, weights_space * (2 / 3), 0.0)
    jacobian = np.concatenate([jacobian_plane.reshape(-1, 7), jacobian_space.reshape(-1, 7)])
    residuals = np.concatenate([on_plane.ravel(), in_space.ravel()])
    weights = np.concatenate([np.repeat(weights_plane, 2), np.repeat(weights_space, 3)])
    weighted = jacobian * weights[:, None]
    normal = weighted.T @ jacobian
    normal[np.diag_indices(7)] += DAMPING * np.trace(normal) / 7
    try:
        x = -np.linalg.solve(normal, weighted.T @ residuals)
    except np.linalg.LinAlgError:
        return None
    if not (np.isfinite(x).all() and np.abs(x).max() < 1):
        return None
    change = rigid(cv2.Rodrigues(x[:3])[0], depth * x[3:6])
    return _Step(change, float(np.exp(x[6])), float(np.abs(x[:6]).max()))


def _weights(
    residuals: Array, inliers: NDArray[np.bool_] | None, limit: float | None
) -> tuple[Array, NDArray[np.bool_]]:
    """Geman and McClure's weights (N,) of residuals (N, d) over their variance, and the inliers it is taken from.

    Those are given, or else all whose squares are within ``limit``.
    """
    squares = np.einsum("ij,ij->i", residuals, residuals)
    chosen = squares <= limit if inliers is None else inliers
    inner = squares[chosen]
    median = max(float(np.partition(inner, len(inner) // 2)[len(inner) // 2]), LEAST_SQUARE) if len(inner) else 1.0
    return 1 / ((1 + squares / (KERNEL_WIDTH * median)) ** 2 * median), chosen


def _jacobian_plane(seen: Array) -> Array:
    """(N, 2, 7): the projections of points (N, 3) by turn, shift and the logarithm of the scale, which is in none."""
    inverse = 1 / seen[:, 2]
    return np.pad(projection_jacobian(seen[:, :2] * inverse[:, None], inverse), ((0, 0), (0, 0), (0, 1)))


def _jacobian_space(seen: Array, own: Array, distance: Array) -> Array:
    """(N, 3, 7): the differences ``(seen - own) / distance`` by the same."""
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
