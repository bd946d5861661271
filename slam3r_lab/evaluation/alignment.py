"""Bringing what was estimated onto the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.geometry.umeyama import umeyama

Array = NDArray[np.float64]

ICP_ITERATIONS = 20
ICP_LARGEST_DISTANCE_M = 0.1
"""Pairs further apart do not count."""
ICP_CHANGE = 1e-4
"""Relative change of the mean distance at which ICP has converged."""
SMALLEST_SPREAD = 1e-9
"""Singular value of the positions, relative to the first, below which they lie on one line or one point."""


def similarity_of_positions(estimated: Array, true: Array) -> Sim3:
    """The similarity of least squares (Umeyama 1991) from (N, 3) estimated to (N, 3) true positions, N >= 1.

    Where the estimated positions are all one point (a camera that was thought to stand still) it moves that point to
    the true positions' mean, scale 1; where either lie on one line the turn about that line, which does not change
    the distances, is arbitrary.
    """
    fitted = umeyama(estimated, true)
    if fitted is not None:
        return fitted
    mean_x, mean_y = estimated.mean(axis=0), true.mean(axis=0)
    variance = float(((estimated - mean_x) ** 2).sum())
    if variance <= SMALLEST_SPREAD**2 * max(1.0, float((mean_x**2).sum())):
        return Sim3(1.0, np.eye(3), mean_y - mean_x)
    fitted = umeyama(estimated, true, accept_line=True)
    assert fitted is not None, "two different positions always have a similarity"
    scale = max(float(fitted.scale), SMALLEST_SPREAD)
    return Sim3(scale, fitted.rotation, mean_y - scale * fitted.rotation @ mean_x)


def iterative_closest_point(source: Array, target: cKDTree, target_points: Array) -> Sim3:
    """The rigid motion (a similarity of scale 1) that brings ``source`` (N, 3) nearest to a cloud, from where it is.

    Point to point (Besl and McKay 1992), pairs further apart than `ICP_LARGEST_DISTANCE_M` left out, as the published
    evaluations of SLAM3R and Spann3R. target: the tree of ``target_points`` (M, 3).
    """
    motion = Sim3.identity()
    previous = np.inf
    for _ in range(ICP_ITERATIONS):
        moved = motion.apply(source)
        distances, nearest = target.query(moved, distance_upper_bound=ICP_LARGEST_DISTANCE_M, workers=-1)
        close = np.isfinite(distances)
        if np.count_nonzero(close) < 3:
            break
        mean = float(distances[close].mean())
        if abs(previous - mean) <= ICP_CHANGE * max(mean, 1e-12):
            break
        previous = mean
        step = umeyama(moved[close], target_points[nearest[close]], with_scale=False, accept_line=True)
        if step is None:
            break
        motion = step @ motion
    return motion
