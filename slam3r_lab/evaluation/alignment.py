"""Bringing what was estimated onto the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slam3r_ros.geometry.se3 import Similarity, weighted_similarity

Array = NDArray[np.float64]

ICP_ITERATIONS = 20
ICP_LARGEST_DISTANCE_M = 0.1
"""Pairs further apart do not count."""
ICP_CHANGE = 1e-4
"""Relative change of the mean distance at which ICP has settled."""
SMALLEST_SPREAD = 1e-9
"""Singular value of the positions, relative to the first, below which they lie on one line or one point."""


def similarity_of_positions(estimated: Array, true: Array) -> Similarity:
    """The similarity of least squares (Umeyama 1991) from (N, 3) estimated to (N, 3) true positions, N >= 1.

    Where the estimated positions are all one point (a camera that was thought to stand still) it moves that point to
    the true positions' mean, scale 1; where either lie on one line the turn about that line, which does not change
    the distances, is arbitrary.
    """
    fitted = weighted_similarity(estimated, true, np.ones(len(estimated)))
    if fitted is not None:
        return fitted
    mean_x, mean_y = estimated.mean(axis=0), true.mean(axis=0)
    x, y = estimated - mean_x, true - mean_y
    variance = float((x**2).sum())
    if variance <= SMALLEST_SPREAD**2 * max(1.0, float((mean_x**2).sum())):
        return Similarity(1.0, np.eye(3), mean_y - mean_x)
    u, d, vt = np.linalg.svd(y.T @ x)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    scale, rotation = max(float(d @ signs) / variance, SMALLEST_SPREAD), (u * signs) @ vt
    return Similarity(scale, rotation, mean_y - scale * rotation @ mean_x)


def iterative_closest_point(source: Array, target: cKDTree, target_points: Array) -> Similarity:
    """The rigid motion (a similarity of scale 1) that brings ``source`` (N, 3) nearest to a cloud, from where it is.

    Point to point (Besl and McKay 1992), pairs further apart than `ICP_LARGEST_DISTANCE_M` left out, as the published
    evaluations of SLAM3R and Spann3R. target: the tree of ``target_points`` (M, 3).
    """
    rotation, translation = np.eye(3), np.zeros(3)
    previous = np.inf
    for _ in range(ICP_ITERATIONS):
        moved = source @ rotation.T + translation
        distances, nearest = target.query(moved, distance_upper_bound=ICP_LARGEST_DISTANCE_M, workers=-1)
        close = np.isfinite(distances)
        if np.count_nonzero(close) < 3:
            break
        mean = float(distances[close].mean())
        if abs(previous - mean) <= ICP_CHANGE * max(mean, 1e-12):
            break
        previous = mean
        step = _rigid_fit(moved[close], target_points[nearest[close]])
        rotation, translation = step[0] @ rotation, step[0] @ translation + step[1]
    return Similarity(1.0, rotation, translation)


def followed_by(first: Similarity, second: Similarity) -> Similarity:
    """``second`` after ``first``."""
    return Similarity(second.scale * first.scale, second.rotation @ first.rotation, second.apply(first.translation))


def _rigid_fit(x: Array, y: Array) -> tuple[Array, Array]:
    """Rotation and translation of least squares from (N, 3) to (N, 3)."""
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    u, _, vt = np.linalg.svd((y - mean_y).T @ (x - mean_x))
    rotation = (u * np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])) @ vt
    return rotation, mean_y - rotation @ mean_x
