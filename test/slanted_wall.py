"""A reconstruction without any error: cameras before a slanted wall whose colour changes smoothly along it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.reconstruction import Reconstruction
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_vector
from slam3r_ros.types import ImageHeader, MapPoints, StampedPose

CAMERA = Camera(160, 120, 150.0, 140.0, 83.0, 57.5)
"""Of the images."""
DEPTH_SIZE = (60, 80)
"""Height and width of the depth images: half of the images'."""
_SLOPE = 0.3
"""The wall: z = 2 + 0.3 x, in the world of the first camera."""
COLOUR_STEP = 450.0
"""How much red and green change with a unit length along x and y; the wall shows a triangle wave."""


def colours_at(points_world: NDArray[np.floating]) -> NDArray[np.float64]:
    """(..., 3) RGB of points on the wall, not rounded."""
    x, y = points_world[..., 0], points_world[..., 1]
    red, green = (np.abs((COLOUR_STEP * value + offset) % 500 - 250) for value, offset in ((x, 0.0), (y, 100.0)))
    return np.stack([red, green, np.full_like(red, 60.0)], axis=-1)


def pose(number: float) -> Array:
    """(4, 4) T_world_camera of a keyframe; that of the first is not the identity."""
    rotation = rotation_from_vector(np.array([0.05 * number, -0.1 + 0.08 * number, 0.03 * number]))
    return rigid(rotation, [-0.2 + 0.15 * number, 0.05 * number, 0.1 - 0.05 * number])


def wall_depth(T_world_camera: Array, camera: Camera) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(H, W) distances along the optical axis to the wall, and (H, W, 3) where the pixels' rays meet it."""
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack(
        [(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(columns.shape)], axis=-1
    )
    turned, centre = rays @ T_world_camera[:3, :3].T, T_world_camera[:3, 3]
    normal = np.array([-_SLOPE, 0.0, 1.0])
    depth = (2 - centre @ normal) / (turned @ normal)
    return depth, turned * depth[..., None] + centre


def keyframe(number: int) -> KeyframeView:
    """A keyframe that sees the wall; one pixel of its depth is not known."""
    T = pose(number)
    height, width = DEPTH_SIZE
    depth = wall_depth(T, CAMERA.scaled(width, height))[0].astype(np.float32)
    depth[3, 4] = np.nan
    image = np.rint(colours_at(wall_depth(T, CAMERA)[1])).astype(np.uint8)
    header = ImageHeader(stamp_ns=1_000_000_000 + 100_000_000 * number, size=(CAMERA.height, CAMERA.width))
    confidence = np.full(depth.shape, 3.0, np.float32)
    return KeyframeView(number, 3 * number, header, T, CAMERA, image, depth, confidence)


def reconstruction(keyframes: int = 4, metres_per_unit: float = 0.0) -> Reconstruction:
    """Keyframes before the wall with 500 points on it, of confidences from 1 to 10, and 3 poses between keyframes."""
    random = np.random.default_rng(3)
    x, y = random.uniform(-0.6, 0.6, 500), random.uniform(-0.4, 0.4, 500)
    points = np.stack([x, y, 2 + _SLOPE * x], axis=1).astype(np.float32)
    colours = np.rint(colours_at(points)).astype(np.uint8)
    cloud = MapPoints(points, colours, np.linspace(1, 10, 500, dtype=np.float32))
    trajectory = [StampedPose(1_000_000_000 + 33_333_333 * n, pose(n / 3)) for n in range(3 * keyframes - 2)]
    return Reconstruction([keyframe(n) for n in range(keyframes)], trajectory, cloud, ((0, 3),), metres_per_unit)
