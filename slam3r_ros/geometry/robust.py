"""Robust kernels by their names, each once, and the weighted median.

All take squared residuals over the squared width of the kernel, ``s = (r / k)^2``. A cost is in units of ``k^2`` and
starts as the least-squares one, ``s / 2``; a weight is the cost's derivative by ``s / 2``, which is what iteratively
re-weighted least squares multiplies a squared residual by (Zhang 1997, "Parameter estimation techniques").
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from slam3r_ros.geometry.se3 import Array


def cauchy_cost(squares: Array) -> Array:
    """Cauchy's (Lorentz's) kernel ``log(1 + s) / 2``: outliers pull ever less, but never not at all."""
    return np.asarray(np.log1p(squares) / 2)


def cauchy_weight(squares: Array) -> Array:
    """The weight of `cauchy_cost`, ``1 / (1 + s)``: a half where the residual is the kernel's width."""
    return np.asarray(1 / (1 + squares))


def charbonnier_cost(squares: Array) -> Array:
    """Charbonnier's kernel (pseudo-Huber) ``sqrt(1 + s) - 1``: large residuals pull with a constant force."""
    return np.asarray(np.sqrt(1 + squares) - 1)


def charbonnier_weight(squares: Array) -> Array:
    """The weight of `charbonnier_cost`, ``1 / sqrt(1 + s)``."""
    return np.asarray(1 / np.sqrt(1 + squares))


def geman_mcclure_weight(squares: Array) -> Array:
    """The weight ``1 / (1 + s)^2`` of Geman and McClure's kernel: a quarter at its width, none for gross outliers."""
    return np.asarray(1 / (1 + squares) ** 2)


def weighted_median(values: ArrayLike, weights: ArrayLike) -> float:
    """The smallest of (N,) values below or at which half of the (N,) weights lie; NaN where there are none."""
    v, w = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if not len(v):
        return math.nan
    order = np.argsort(v)
    total = np.cumsum(w[order])
    return float(v[order[min(int(np.searchsorted(total, total[-1] / 2)), len(v) - 1)]])
