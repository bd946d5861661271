"""Colours of points, by what the visitor chose."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.viewer.chunk import Chunk, ChunkPoints
from slam3r_ros.viewer.display_settings import Colouring
from slam3r_ros.viewer.extent import MapExtent

_GOLDEN_RATIO = 0.618033988749895
"""Steps of this much around the circle of hues make neighbours differ."""
_UNKNOWN = (30, 33, 40)
"""Colour of pixels without a depth."""


def colours_of(
    chunk: Chunk, points: ChunkPoints, heights: NDArray[np.float32], colouring: Colouring, extent: MapExtent
) -> NDArray[np.uint8]:
    """(N, 3) RGB of points of a chunk, with (N,) heights in the map, scene units."""
    if colouring is Colouring.CONFIDENCE:
        quantiles = extent.confidence_quantiles
        return _mapped(np.interp(points.confidence, quantiles, np.linspace(0, 1, len(quantiles))), cv2.COLORMAP_VIRIDIS)
    if colouring is Colouring.HEIGHT:
        share = (heights - extent.low[2]) / max(extent.high[2] - extent.low[2], 1e-9)
        return _mapped(share, cv2.COLORMAP_TURBO)
    if colouring is Colouring.KEYFRAME:
        return np.broadcast_to(np.array(keyframe_colour(chunk.id), np.uint8), (len(points), 3)).copy()
    return points.colours


def keyframe_colour(id: int) -> tuple[int, int, int]:
    """The colour of a keyframe by its number; those of neighbours differ clearly."""
    red, green, blue = colorsys.hsv_to_rgb(id * _GOLDEN_RATIO % 1.0, 0.65, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def depth_picture(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(h, w, 3) RGB of depths (h, w): near is warm, far is cold, NaN is dark."""
    known = np.isfinite(depth) & (depth > 0)
    if not known.any():
        return np.broadcast_to(np.array(_UNKNOWN, np.uint8), (*depth.shape, 3)).copy()
    inverse = 1.0 / np.where(known, depth, 1.0)
    low, high = np.percentile(inverse[known], [2, 98])
    picture = _mapped((inverse - low) / max(high - low, 1e-12), cv2.COLORMAP_TURBO)
    picture[~known] = _UNKNOWN
    return picture


def confidence_picture(confidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(h, w, 3) RGB of confidences (h, w): dark is unsure, bright is sure."""
    low, high = np.percentile(confidence, [2, 98])
    return _mapped((confidence - low) / max(high - low, 1e-12), cv2.COLORMAP_VIRIDIS)


def _mapped(share: NDArray[np.floating], colour_map: int) -> NDArray[np.uint8]:
    """(..., 3) RGB of values, of which 0 to 1 is the colour map's range."""
    grey = (np.clip(share, 0, 1) * 255).astype(np.uint8)
    rows = grey.reshape(grey.shape[0], -1) if grey.size else grey.reshape(0, 1)
    if not rows.size:
        return np.empty((*share.shape, 3), np.uint8)
    coloured = cv2.applyColorMap(rows, colour_map)[..., ::-1]
    return np.ascontiguousarray(coloured).reshape(*share.shape, 3)
