"""Perspective-n-point with outliers: a start by RANSAC, and how well a pose fits."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, rigid

MINIMUM_POINTS = 8
"""Fewest finite points that PnP is tried with."""
RANSAC_POINTS = 200
"""Most points of the RANSAC search, evenly spread over those observed: its time grows with them, its success hardly."""
RANSAC_ITERATIONS = 60
"""Most samples of three points: with 50 % of inliers all are good in one sample of 8, with 30 % in one of 37."""


@dataclass(frozen=True, slots=True, eq=False)
class PointObservations:
    """Where points of the world are seen in one image."""

    points_world: Array
    """(N, 3) scene units; may hold points that are not finite."""
    pixels: Array
    """(N, 2) x, y; pixel centres at integers."""
    matrix: Array
    """(3, 3) pinhole intrinsics."""
    threshold_px: float
    """Reprojection error up to which a point is an inlier."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A pose and how it explains the observations."""

    T_camera_world: Array
    """(4, 4)"""
    errors_px: Array
    """(N,) reprojection errors; infinite for points that are not finite or not in front of the camera."""
    inliers: NDArray[np.bool_]
    """(N,)"""
    inlier_fraction: float
    """Of all observations; 0 where there are none."""
    cost: float
    """Mean of the squared errors, each cut off at the squared threshold, over all observations."""


def fit_of(observed: PointObservations, T_camera_world: Array) -> Fit:
    """How a pose explains all observations."""
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
    return Fit(T_camera_world, np.sqrt(squares), inliers, fraction, cost)


def ransac_pose(observed: PointObservations) -> Fit | None:
    """A pose by RANSAC over samples of three points; None where the points do not determine one.

    The same observations give the same pose, whatever ran before.
    """
    finite = np.flatnonzero(np.isfinite(observed.points_world).all(axis=1))
    if len(finite) > RANSAC_POINTS:
        finite = finite[np.linspace(0, len(finite) - 1, RANSAC_POINTS).astype(np.intp)]
    if len(finite) < MINIMUM_POINTS:
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
            iterationsCount=RANSAC_ITERATIONS,
            reprojectionError=observed.threshold_px,
            confidence=0.999,
            flags=cv2.SOLVEPNP_AP3P,
        )
    except cv2.error:  # raised for some degenerate points: there is no pose then
        return None
    if not found or not (np.isfinite(rotation_vector).all() and np.isfinite(translation).all()):
        return None
    rotation = np.asarray(cv2.Rodrigues(rotation_vector)[0], dtype=np.float64)
    return fit_of(observed, rigid(rotation, unit * translation.ravel() - rotation @ middle))


def projection_jacobian(slopes: Array, inverse: Array) -> Array:
    """(N, 2, 6): how slopes (N, 2), x / z and y / z of points, change as these turn and shift.

    ``inverse`` (N,) is 1 / z in the unit of the shifts.
    """
    x, y = slopes.T
    jacobian = np.zeros((len(slopes), 2, 6))
    jacobian[:, 0, 0], jacobian[:, 0, 1], jacobian[:, 0, 2] = -x * y, 1 + x * x, -y
    jacobian[:, 1, 0], jacobian[:, 1, 1], jacobian[:, 1, 2] = -1 - y * y, x * y, x
    jacobian[:, 0, 3] = jacobian[:, 1, 4] = inverse
    jacobian[:, 0, 5], jacobian[:, 1, 5] = -x * inverse, -y * inverse
    return jacobian
