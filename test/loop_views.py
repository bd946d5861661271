"""Keyframes of the plane scene, and pictures of one's own, as loops are found by them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from plane_scene import MATRIX, SIDE, depths, image

from slam3r_ros.geometry.se3 import Array, transform_points
from slam3r_ros.loop_closure.place import PlaceView
from slam3r_ros.vision.feature_image import FeatureImage

HALF = SIDE // 2
CONFIDENCE = 5.0


def rays() -> Array:
    """(HALF, HALF, 3) x / z, y / z and 1 of every second pixel."""
    v, u = np.mgrid[0.5:SIDE:2, 0.5:SIDE:2]
    return np.stack([(u - MATRIX[0, 2]) / MATRIX[0, 0], (v - MATRIX[1, 2]) / MATRIX[1, 1], np.ones_like(u)], axis=-1)


def view_of(index: int, grey: NDArray[np.uint8], z: NDArray[np.floating], T_world_camera: Array) -> PlaceView:
    """Depths (HALF, HALF) of a picture that is taken to be taken there; NaN where there is no point."""
    points = transform_points(T_world_camera, rays() * z[..., None])
    points = np.where(np.isfinite(z)[..., None], points, 0).astype(np.float32)
    confidence = np.full((HALF, HALF), CONFIDENCE, np.float32)
    return PlaceView(index, np.zeros(4, np.float32), FeatureImage(grey, MATRIX), points, confidence, T_world_camera)


def plane_view(index: int, T_true: Array, *, length: float = 1.0, T_believed: Array | None = None) -> PlaceView:
    """The plane scene from there, mapped in other lengths and in another place."""
    T = T_true if T_believed is None else T_believed
    return view_of(index, image(T_true), depths(T_true).astype(np.float64) * length, T)
