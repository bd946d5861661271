"""Depth edges kept sharp: pixels between foreground and background, and small islands, have no depth."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.dense_depth.posed_view import DepthMap
from slam3r_ros.dense_depth.tuning import TUNING


def without_flying_pixels(depth_map: DepthMap) -> DepthMap:
    """The depth image without the pixels next to a depth edge, and without islands of few pixels.

    Windows that see both sides of an edge give depths between the two, where nothing is. An edge is where depth changes
    within a pixel's neighbours by more than a factor that only a surface seen along itself would reach.
    """
    known = depth_map.is_known
    if not known.any():
        return depth_map
    nearest = cv2.erode(np.where(known, depth_map.depth, np.float32(1e30)), _NEIGHBOURS)
    farthest = cv2.dilate(np.where(known, depth_map.depth, np.float32(0)), _NEIGHBOURS)
    kept = known & (farthest < (1 + TUNING.edge_jump) * nearest)
    return depth_map.only(kept & ~_islands(kept))


_NEIGHBOURS = np.ones((3, 3), np.uint8)


def _islands(kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W) pixels of connected parts that are too small."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(kept.astype(np.uint8), connectivity=4)
    least = TUNING.min_island_share * kept.size
    return np.asarray(statistics[:, cv2.CC_STAT_AREA] < least)[labels]
