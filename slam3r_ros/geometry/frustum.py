"""The viewing pyramid of a camera, as lines."""

from __future__ import annotations

import numpy as np

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, transform_points

FRUSTUM_EDGES: tuple[tuple[int, int], ...] = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1))
"""The edges of a frustum, as pairs of its corners."""


def frustum_corners(camera: Camera, T_a_camera: Array, depth: float) -> Array:
    """(5, 3) the camera's centre, and the corners of its image at a depth: upper left, upper right, lower right, lower
    left; in frame a, in the unit of the pose."""
    columns = np.array([-0.5, camera.width - 0.5, camera.width - 0.5, -0.5])
    rows = np.array([-0.5, -0.5, camera.height - 0.5, camera.height - 0.5])
    x, y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
    corners = depth * np.stack([x, y, np.ones(4)], axis=1)
    return transform_points(T_a_camera, np.concatenate([np.zeros((1, 3)), corners]))
