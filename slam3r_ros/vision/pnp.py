"""Perspective-n-point with outliers: a start by RANSAC, and how well a pose fits."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_vector
from slam3r_ros.vision.tuning import TUNING


@dataclass(frozen=True, slots=True, eq=False)
class PointObservations:
    """N points of the world and where one image observes them (2D-3D correspondences)."""

    points_world: Array
    """(N, 3) points in scene units; some may not be finite."""
    pixels: Array
    """(N, 2) pixels x, y at which the points are observed; pixel centres at integers."""
    matrix: Array
    """(3, 3) pinhole intrinsics."""
    threshold_px: float
    """Reprojection error in pixels up to which a point is an inlier."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseFit:
    """A pose, and how well it explains 2D-3D observations."""

    T_camera_world: Array
    """(4, 4) the pose, which takes world points to the camera."""
    errors_px: Array
    """(N,) reprojection errors; infinite for points that are not finite or not in front of the camera."""
    inliers: NDArray[np.bool_]
    """(N,) which observations are inliers."""
    inlier_fraction: float
    """Share of the observations that are inliers; 0 where there are no observations."""
    cost: float
    """Mean of the squared errors, each cut off at the squared threshold, over all observations."""


def evaluate_pose(observed: PointObservations, T_camera_world: Array) -> PoseFit:
    """How well a pose explains all observations."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        points = observed.points_world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
        projected = points @ observed.matrix.T
        offsets = projected[:, :2] / projected[:, 2:] - observed.pixels
        squares = np.einsum("ij,ij->i", offsets, offsets)
        squares[~((points[:, 2] > 0) & np.isfinite(squares))] = np.inf
    limit = observed.threshold_px**2
    cost = float(np.minimum(squares, limit).mean()) if len(squares) else limit
    inliers = squares <= limit
    fraction = float(inliers.mean()) if len(inliers) else 0.0
    return PoseFit(T_camera_world, np.sqrt(squares), inliers, fraction, cost)


def ransac_pose(observed: PointObservations) -> PoseFit | None:
    """A pose by RANSAC over samples of three points (Fischler and Bolles 1981); None where the points determine none.

    The same observations give the same pose, whatever ran before.
    """
    finite = np.flatnonzero(np.isfinite(observed.points_world).all(axis=1))
    if len(finite) > TUNING.ransac_points:
        finite = finite[np.linspace(0, len(finite) - 1, TUNING.ransac_points).astype(np.intp)]
    if len(finite) < TUNING.min_pnp_points:
        return None
    # In their own unit and about their own middle, so that no tolerance inside OpenCV depends on the scene's scale.
    points = observed.points_world[finite]
    middle = np.median(points, axis=0)
    unit = float(np.median(np.linalg.norm(points - middle, axis=1)))
    if not unit > 1e-12 * (1 + float(np.abs(middle).max())):
        return None
    cv2.setRNGSeed(0)
    try:
        found, rotation_vector, translation, _ = cv2.solvePnPRansac(
            (points - middle) / unit,
            observed.pixels[finite],
            observed.matrix,
            None,
            iterationsCount=TUNING.ransac_iterations,
            reprojectionError=observed.threshold_px,
            confidence=0.999,
            flags=cv2.SOLVEPNP_AP3P,
        )
    except cv2.error:  # raised for some degenerate points: there is no pose then
        return None
    if not found or not (np.isfinite(rotation_vector).all() and np.isfinite(translation).all()):
        return None
    rotation = rotation_from_vector(rotation_vector.ravel())
    return evaluate_pose(observed, rigid(rotation, unit * translation.ravel() - rotation @ middle))


def projection_jacobian(normalized_xy: Array, inverse_depths: Array) -> Array:
    """(N, 2, 6) derivatives of normalized image coordinates (N, 2) by a rotation vector and a translation.

    Both are applied after T_camera_world, so in the camera's axes. ``inverse_depths`` (N,) are 1 / z in the unit of the
    translation (Barfoot, "State Estimation for Robotics", section 7.3, with the rotation first).
    """
    x, y = normalized_xy.T
    jacobian = np.zeros((len(normalized_xy), 2, 6))
    jacobian[:, 0, 0], jacobian[:, 0, 1], jacobian[:, 0, 2] = -x * y, 1 + x * x, -y
    jacobian[:, 1, 0], jacobian[:, 1, 1], jacobian[:, 1, 2] = -1 - y * y, x * y, x
    jacobian[:, 0, 3] = jacobian[:, 1, 4] = inverse_depths
    jacobian[:, 0, 5], jacobian[:, 1, 5] = -x * inverse_depths, -y * inverse_depths
    return jacobian
