"""A cloud as a camera or a plan shows it: every point a square of its voxel's size, the nearer before the farther."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points

LARGEST_RADIUS_PX = 8
NEAREST = 0.05
"""Distance in front of the camera up to which points are left out, as a share of the cloud's median distance."""


def seen_from(
    points: NDArray[np.float32],
    colours: NDArray[np.uint8],
    T_points_camera: Array,
    camera: Camera,
    side: float,
) -> NDArray[np.uint8]:
    """(height, width, 3) RGB on white: points (N, 3) with colours (N, 3) as squares of a side in their unit.

    T_points_camera (4, 4) is the pose of the camera, a pinhole without distortion: x right, y down, z forward.
    """
    size = (camera.height, camera.width)
    seen = transform_points(invert_rigid(T_points_camera), points.astype(np.float64))
    front = seen[:, 2] > 0
    if not front.any():
        return np.full((*size, 3), 255, np.uint8)
    front &= seen[:, 2] > NEAREST * float(np.median(seen[front, 2]))
    seen, shown = seen[front], colours[front]
    order = np.argsort(-seen[:, 2], kind="stable")
    x, y, z = seen[order].T
    pixels = np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], axis=1)
    return _squares(pixels, side * camera.fx / z, shown[order], size)


def seen_from_above(
    points: NDArray[np.float32],
    colours: NDArray[np.uint8],
    corner: NDArray[np.float64],
    pixels_per_unit: float,
    size: tuple[int, int],
    side: float,
) -> NDArray[np.uint8]:
    """(height, width, 3) RGB on white of a plan in map axes: x (forward) to the top, y (left) to the left.

    `corner` (2,) is the x and the y of the upper left corner; `size` (height, width) in pixels.
    """
    order = np.argsort(points[:, 2], kind="stable")
    pixels = plan_pixels(points[order], corner, pixels_per_unit)
    sides = np.full(len(points), side * pixels_per_unit)
    return _squares(pixels, sides, colours[order], size)


def plan_pixels(points: Array | NDArray[np.float32], corner: Array, pixels_per_unit: float) -> Array:
    """(N, 2) column and row of points (N, 3) on such a plan."""
    return (corner[[1, 0]] - np.asarray(points, np.float64)[:, [1, 0]]) * pixels_per_unit


def _squares(pixels: Array, sides: Array, colours: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Squares around pixels (N, 2) column and row, of sides (N,) in pixels; the later hide the earlier."""
    height, width = size
    image = np.full((height, width, 3), 255, np.uint8)
    columns, rows = np.floor(pixels + 0.5).astype(np.intp).T
    radii = np.clip(np.rint(sides / 2), 0, LARGEST_RADIUS_PX).astype(np.intp)
    newest = np.full(height * width, -1, np.intp)
    for radius in np.unique(radii):
        of_size = np.flatnonzero(radii == radius)
        steps = np.arange(-radius, radius + 1)
        x, y = (each.ravel() for each in np.meshgrid(steps, steps))
        u, v = columns[of_size, None] + x, rows[of_size, None] + y
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        rank = np.broadcast_to(of_size[:, None], u.shape)
        np.maximum.at(newest, (v * width + u)[inside], rank[inside])
    covered = newest >= 0
    image.reshape(-1, 3)[covered] = colours[newest[covered]]
    return image
