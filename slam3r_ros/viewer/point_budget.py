"""How finely each keyframe is drawn, so that all together stay within a number of points: near ones finer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BISECTIONS = 40
"""Steps of the search for the common factor; each halves its error."""


def drawn_counts(counts: NDArray[np.int64], distances: NDArray[np.float64], budget: int) -> NDArray[np.int64]:
    """(K,) numbers of points to draw of K keyframes that have ``counts`` (K,) points; their sum is within the budget.

    A keyframe is drawn with all of its points, a half, a quarter ... of them, so that small motions of a visitor change
    few; the share falls with the square of its distance (K,) to the nearest visitor, as its area in the picture does,
    beyond the median distance.
    """
    if counts.sum() <= budget:
        return counts.copy()
    usual = max(float(np.median(distances)), 1e-9)
    weights = 1.0 / (1.0 + (distances / usual) ** 2)
    low, high = 0.0, float(counts.max() / weights.min())
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _halved(counts, middle * weights).sum() <= budget:
            low = middle
        else:
            high = middle
    return _halved(counts, low * weights)


def _halved(counts: NDArray[np.int64], most: NDArray[np.float64]) -> NDArray[np.int64]:
    """(K,) counts, halved until they are not above (K,) ``most``."""
    with np.errstate(divide="ignore"):
        halvings = np.ceil(np.log2(np.maximum(counts, 1) / most)).clip(0, 62)
    return (counts / 2**halvings).astype(np.int64)
