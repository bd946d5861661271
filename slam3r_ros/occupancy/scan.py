"""What one keyframe's depth says of obstacles and free floor, as the rays of a virtual laser scanner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.occupancy.tuning import TUNING


@dataclass(frozen=True, slots=True)
class HeightBand:
    """Which points are obstacles, by their height above the floor, published lengths."""

    lowest: float
    """Height from which a point is an obstacle; below it is floor."""
    highest: float
    """Height up to which a point is an obstacle; the robot passes under what is higher."""


@dataclass(frozen=True, slots=True, eq=False)
class VirtualScan:
    """N rays from one place, each to an obstacle or to the last floor that is seen."""

    index: int
    """Number of the frame that it was made of."""
    origin: Array
    """(3,) where the camera stood, the map's axes, published lengths."""
    ends: Array
    """(N, 3) where the rays end."""
    is_obstacle: NDArray[np.bool_]
    """(N,) whether there is an obstacle at the end, else floor."""


def virtual_scan(
    index: int, points_map: NDArray[np.floating], origin: Array, floor: float, band: HeightBand
) -> VirtualScan:
    """The scan of points (P, 3) that a camera at ``origin`` (3,) sees, in the map's axes (z up).

    ``floor`` is the height z of the floor. In each direction the ray ends at the nearest obstacle, so far that a few
    points are no farther; without an obstacle at the farthest floor that is seen; without either there is no ray.
    """
    offsets = np.asarray(points_map, dtype=np.float64)[:, :2] - origin[:2]
    ranges, heights = np.hypot(offsets[:, 0], offsets[:, 1]), points_map[:, 2] - floor
    near = (ranges > 0) & (ranges <= TUNING.max_range) & (heights <= band.highest) & np.isfinite(heights)
    ranges, heights, points = ranges[near], heights[near], np.asarray(points_map, dtype=np.float64)[near]
    bins = np.floor(np.arctan2(offsets[near, 1], offsets[near, 0]) / TUNING.bearing_step_rad).astype(np.int64)
    obstacle = heights >= band.lowest
    blocked = _kth_nearest(bins[obstacle], ranges[obstacle], TUNING.min_obstacle_points)
    ends_at_obstacle = np.flatnonzero(obstacle)[blocked]
    floor_points = np.flatnonzero(~obstacle & ~np.isin(bins, bins[ends_at_obstacle]))
    farthest = _kth_nearest(bins[floor_points], -ranges[floor_points], 1)
    ends = np.concatenate([ends_at_obstacle, floor_points[farthest]])
    is_obstacle = np.arange(len(ends)) < len(ends_at_obstacle)
    return VirtualScan(index, np.asarray(origin, dtype=np.float64), points[ends], is_obstacle)


def _kth_nearest(bins: NDArray[np.int64], ranges: Array, k: int) -> NDArray[np.int64]:
    """Positions of the k-th smallest range in every bin that has so many."""
    order = np.lexsort((ranges, bins))
    ordered = bins[order]
    first = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1 if len(ordered) else 0))
    counts = np.diff(first, append=len(ordered))
    return np.asarray(order[first[counts >= k] + k - 1])
