"""A cloud as a camera would see it: every point a square of its voxel's size, the nearer before the farther."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points

LARGEST_RADIUS_PX = 8
NEAREST = 0.05
"""Distance in front of the camera up to which points are left out, as a share of the cloud's median distance."""


def seen_from(
    points: NDArray[np.float32],
    colours: NDArray[np.uint8],
    T_points_camera: Array,
    size: tuple[int, int],
    focal_px: float,
    side: float,
) -> NDArray[np.uint8]:
    """(height, width, 3) RGB on white: points (N, 3) with colours (N, 3) as squares of a side in their unit.

    T_points_camera (4, 4) is the camera's pose: x right, y down, z forward; ``size`` (height, width).
    """
    height, width = size
    image = np.full((height, width, 3), 255, np.uint8)
    seen = transform_points(invert_rigid(T_points_camera), points.astype(np.float64))
    front = seen[:, 2] > 0
    if not front.any():
        return image
    front &= seen[:, 2] > NEAREST * float(np.median(seen[front, 2]))
    order = np.flatnonzero(front)
    order = order[np.argsort(-seen[order, 2], kind="stable")]
    scale = focal_px / seen[order, 2]
    columns = np.floor(seen[order, 0] * scale + width / 2).astype(np.intp)
    rows = np.floor(seen[order, 1] * scale + height / 2).astype(np.intp)
    radii = np.clip(np.rint(side * scale / 2), 0, LARGEST_RADIUS_PX).astype(np.intp)
    pixels, ranks = [], []
    for radius in np.unique(radii):
        of_size = np.flatnonzero(radii == radius)
        steps = np.arange(-radius, radius + 1)
        x, y = (each.ravel() for each in np.meshgrid(steps, steps))
        u, v = columns[of_size, None] + x, rows[of_size, None] + y
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        pixels.append((v * width + u)[inside])
        ranks.append(np.broadcast_to(of_size[:, None], u.shape)[inside])
    pixel, rank = np.concatenate(pixels), np.concatenate(ranks)
    nearest = np.full(height * width, -1, np.intp)
    np.maximum.at(nearest, pixel, rank)  # of those at a pixel the last in order, which is the nearest
    covered = nearest >= 0
    image.reshape(-1, 3)[covered] = colours[order[nearest[covered]]]
    return image
