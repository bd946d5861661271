"""How large the map is, where its floor is, and how its confidences are distributed: by a sample of its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.viewer.chunk import Chunk
from slam3r_ros.viewer.tuning import TUNING

_SAMPLED_POINTS = 40_000
"""Number of points that are looked at, about."""
_NICE = (1.0, 2.0, 5.0)
"""First digits of lengths that are easy to read."""


@dataclass(frozen=True, slots=True, eq=False)
class MapExtent:
    """The map's bounds without the outermost points, and quantiles of its confidences."""

    low: NDArray[np.float64]
    """(3,) smallest coordinates in the map's axes, scene units."""
    high: NDArray[np.float64]
    """(3,) largest coordinates in the map's axes, scene units."""
    confidence_quantiles: NDArray[np.float64]
    """(101,) confidences below which so many percent of the points lie."""

    @property
    def size(self) -> float:
        """Length of the diagonal, scene units."""
        return float(np.linalg.norm(self.high - self.low)) or 1.0

    @property
    def centre(self) -> NDArray[np.float64]:
        """(3,) the middle, in the map's axes, scene units."""
        middle: NDArray[np.float64] = (self.low + self.high) / 2
        return middle

    def height(self, percent: float) -> float:
        """The height at a percentage of the way from the floor to the top, scene units."""
        return float(self.low[2] + (self.high[2] - self.low[2]) * percent / 100)

    def least_confidence(self, hidden_percent: float) -> float:
        """The confidence below which this share of the points lies."""
        return float(np.interp(hidden_percent, np.arange(101), self.confidence_quantiles))


def extent_of(chunks: Sequence[Chunk]) -> MapExtent | None:
    """The extent of a map; None where it has no points."""
    filled = [chunk for chunk in chunks if len(chunk.points)]
    if not filled:
        return None
    share = max(1, _SAMPLED_POINTS // len(filled))
    points = np.concatenate([_first_points(chunk, share) for chunk in filled])
    confidence = np.concatenate([chunk.points.confidence[:share] for chunk in filled]).astype(np.float64)
    low, high = np.percentile(points, [TUNING.outlier_percent, 100 - TUNING.outlier_percent], axis=0)
    return MapExtent(low, high, np.percentile(confidence, np.arange(101)))


def nice_length(length: float) -> float:
    """The largest of 1, 2, 5, 10, 20, ... (or 0.5, 0.2, ...) that is not above a length."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(digit * power for digit in _NICE if digit * power <= length * (1 + 1e-9)))


def _first_points(chunk: Chunk, count: int) -> NDArray[np.float64]:
    T = chunk.T_map_camera
    points: NDArray[np.float64] = chunk.points.camera[:count].astype(np.float64) @ (T[:3, :3] * chunk.scale).T
    return points + T[:3, 3]
