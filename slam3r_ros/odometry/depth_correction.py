"""Depths between the tracks: how far a frame's points are from what its tracks say, spread over the image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array

CELLS = 28
"""Rows and columns of the grid that the field is computed on; between its cells it is interpolated."""
NEAR = 0.12
"""Distance over which a track speaks for its neighbours, as a share of the image."""
ALIKE = 0.3
"""Difference of the depths' logarithms over which it does: what lies behind an edge is another surface."""
REMAINDER = 0.1
"""Weight of no correction, in tracks that lie right there."""
LARGEST = 0.7
"""Of the logarithm of a correction: a track that says more is not believed."""


def depth_corrections(
    log_depths: NDArray[np.float32], places: Array, ratios: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Factors (H, W) on the distances of a frame's points, whose log depths are (H, W), NaN where there is no point.

    The tracks at ``places`` (N, 2), columns and rows as shares of the image, say that the depth there is larger by
    factors whose logarithms are ``ratios`` (N,). Around them the field is their mean, weighted by how near they are in
    the image and in depth; far from all of them, and where there is no point, it is 1.
    """
    height, width = log_depths.shape
    there = sampled(log_depths, places)
    usable = np.isfinite(ratios) & (np.abs(ratios) < LARGEST) & np.isfinite(there)
    places, ratios, there = places[usable].astype(np.float32), ratios[usable].astype(np.float32), there[usable]
    middles = (np.arange(CELLS, dtype=np.float32) + 0.5) / CELLS
    own = log_depths[np.ix_((middles * height).astype(np.intp), (middles * width).astype(np.intp))]
    by_row = np.square((middles[:, None] - places[:, 1]) / NEAR)
    by_column = np.square((middles[:, None] - places[:, 0]) / NEAR)
    squares = by_row[:, None] + by_column + np.square((own[..., None] - there) / ALIKE)
    weights = np.where(np.isfinite(squares), np.exp(-0.5 * squares), 0.0).astype(np.float32)
    field = (weights @ ratios) / (weights.sum(axis=2) + REMAINDER)
    spread = cv2.resize(field.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.exp(spread), dtype=np.float32)


def sampled(values: NDArray[np.float32], places: Array) -> NDArray[np.float32]:
    """(N,) of the values (H, W) of an image at places (N, 2), columns and rows as shares of it."""
    height, width = values.shape
    columns = (places[:, 0] * width).astype(np.intp).clip(0, width - 1)
    rows = (places[:, 1] * height).astype(np.intp).clip(0, height - 1)
    return values[rows, columns]
