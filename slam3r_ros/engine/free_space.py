"""The space that a keyframe looks through: what floats in it is not there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.geometry.camera import Camera


@dataclass(frozen=True, slots=True, eq=False)
class FreeSpace:
    """From the camera to just before the depths that it sees."""

    camera: Camera
    """Pinhole intrinsics of `limit`."""
    T_camera_world: NDArray[np.float64]
    """(4, 4)"""
    limit: NDArray[np.float32]
    """(h, w) depths up to which the space is free; 0 where nothing is known."""

    @classmethod
    def of(
        cls,
        camera: Camera,
        T_camera_world: NDArray[np.float64],
        depth: NDArray[np.float32],
        sigma: NDArray[np.float32],
    ) -> FreeSpace:
        """Of a depth image (h, w), NaN where it is not known, with standard deviations of the logarithm of depth.

        Of the pixels around each pixel the nearest one counts, since a point at a depth edge may be off by a pixel.
        """
        safe = depth * (1 - TUNING.free_space_sigmas * sigma)
        limit = np.where(np.isfinite(safe), safe, np.float32(0)).astype(np.float32)
        return cls(camera, T_camera_world, np.asarray(cv2.erode(limit, np.ones((3, 3), np.uint8)), np.float32))

    def contains(self, points_world: NDArray[np.float32], margin: float) -> NDArray[np.bool_]:
        """(N,) whether points (N, 3) lie in it, at least ``margin`` before its limit."""
        height, width = self.limit.shape
        rotation, shift = self.T_camera_world[:3, :3].astype(np.float32), self.T_camera_world[:3, 3].astype(np.float32)
        inside = np.zeros(len(points_world), np.bool_)
        for start in range(0, len(points_world), TUNING.carved_at_once):
            part = slice(start, start + TUNING.carved_at_once)
            x, y, z = (points_world[part] @ rotation.T + shift).T
            front = np.flatnonzero(z > margin)
            over = 1 / z[front]
            columns = x[front] * over * np.float32(self.camera.fx) + np.float32(self.camera.cx + 0.5)
            rows = y[front] * over * np.float32(self.camera.fy) + np.float32(self.camera.cy + 0.5)
            seen = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
            front, columns, rows = front[seen], columns[seen].astype(np.intp), rows[seen].astype(np.intp)
            inside[part][front] = z[front] + np.float32(margin) < self.limit[rows, columns]
        return inside
