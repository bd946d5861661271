"""The similarity or rigid transform that aligns two point sets best (Umeyama 1991), with weights and with outliers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from slam3r_ros.geometry.robust import cauchy_weight, geman_mcclure_weight, weighted_median
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3

RANK_TOLERANCE = 1e-9
"""Second singular value of the covariance, relative to the first, below which the points count as lying on one line."""
ROBUST_ITERATIONS = 10
"""Most re-weightings of `robust_umeyama`; it stops earlier when nothing changes any more."""
ROBUST_WIDTH = 2.5
"""Width of the kernel of `robust_umeyama` over the weighted median of the residuals."""


def umeyama(
    source: ArrayLike,
    target: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    with_scale: bool = True,
    accept_line: bool = False,
) -> Sim3 | None:
    """The transform that minimises ``sum w |target - (s R source + t)|^2`` (Umeyama 1991, equations 38 to 42).

    ``source`` and ``target`` are (N, 3), ``weights`` (N,), by default all 1. Points that are not finite, and weights
    that are not positive, are left out. ``with_scale`` false fixes s at 1. None where what remains does not determine
    the transform: fewer than three points, or all of them on one line in either frame. With ``accept_line`` two points
    are enough, the rotation about a line, which changes no distance, is arbitrary, and None means that all source
    points are one. Raises ValueError when the shapes do not fit.
    """
    x, y, w = _usable(source, target, weights)
    return _fit(x, y, w, with_scale, accept_line)


def robust_umeyama(source: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> Sim3 | None:
    """`umeyama` that up to about 40 % of grossly wrong points do not disturb.

    Iteratively re-weighted least squares with Geman and McClure's weights, the spread taken from the weighted median
    of the residuals. The first weights reduce points that lie far out in either frame, since one far point can
    outweigh all others in a plain least squares start. Same arguments, same None, same errors.
    """
    x, y, w = _usable(source, target, weights)
    best = _fit(x, y, w * _nearness(x, w) * _nearness(y, w)) if len(w) else None
    if best is None:
        return _fit(x, y, w)
    size = float(np.sqrt(np.average(np.sum((y - np.median(y, axis=0)) ** 2, axis=1), weights=w)))
    previous = math.inf
    for _ in range(ROBUST_ITERATIONS):
        offsets = y - best.apply(x)
        residuals = np.sqrt(np.einsum("ij,ij->i", offsets, offsets))
        spread = weighted_median(residuals, w)
        if spread <= 1e-12 * size or abs(previous - spread) <= 2e-3 * spread:
            break
        fitted = _fit(x, y, w * geman_mcclure_weight((residuals / (ROBUST_WIDTH * spread)) ** 2))
        if fitted is None:
            break
        best, previous = fitted, spread
    return best


def _usable(source: ArrayLike, target: ArrayLike, weights: ArrayLike | None) -> tuple[Array, Array, Array]:
    """The points that count, as float64, their weights scaled to a maximum of 1."""
    x, y = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    w = np.ones(x.shape[:1]) if weights is None else np.asarray(weights, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != 3 or y.shape != x.shape or w.shape != x.shape[:1]:
        raise ValueError(f"umeyama: expected (N, 3), (N, 3) and (N,), got {x.shape}, {y.shape} and {w.shape}")
    keep = np.isfinite(w) & (w > 0) & np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    x, y, w = x[keep], y[keep], w[keep]
    return x, y, w / w.max() if len(w) else w


def _nearness(points: Array, weights: Array) -> Array:
    """(N,) in (0, 1]: falls with the distance from the points' median, in units of the median distance."""
    squares = ((points - np.median(points, axis=0)) ** 2).sum(axis=1)
    middle = weighted_median(squares, weights)
    return cauchy_weight(squares / middle) if middle > 0 else (squares <= 0).astype(np.float64)


def _fit(x: Array, y: Array, w: Array, with_scale: bool = True, accept_line: bool = False) -> Sim3 | None:
    total = float(w.sum())
    if len(w) < (2 if accept_line else 3) or not total > 0:
        return None
    mean_x, mean_y = w @ x / total, w @ y / total
    centred_x, centred_y = x - mean_x, y - mean_y
    variance_x = float(w @ np.sum(centred_x**2, axis=1)) / total
    covariance = (centred_y * w[:, None]).T @ centred_x / total
    if not (np.isfinite(covariance).all() and variance_x > 0):
        return None
    u, d, vt = np.linalg.svd(covariance)
    if not (accept_line or d[1] > RANK_TOLERANCE * d[0]):
        return None
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * signs) @ vt
    scale = float(d @ signs) / variance_x if with_scale else 1.0
    return Sim3(scale, rotation, mean_y - scale * rotation @ mean_x)
