"""A map whose every point is known, for the tests of the live page: a camera that walks along a coloured wall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import rigid
from slam3r_ros.map_file.connection import close_writer, open_to_write
from slam3r_ros.map_file.database import MapDatabase
from slam3r_ros.types import HostPointmaps, ImageHeader, MapUpdate, PoseEstimate, State

DEPTH = 2.0
"""Distance of the wall from the path, scene units."""
STEP = 0.5
"""From one keyframe to the next, scene units."""
FRAMES_BETWEEN = 10
"""Frames from one keyframe to the next."""
CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
WALL = (230, 60, 40)
"""Colour of the wall, apart from darker squares."""


def pose(number: int) -> NDArray[np.float64]:
    """(4, 4) T_world_camera of a keyframe: to the right along x, looking along z at the wall."""
    return rigid(np.eye(3), [STEP * number, 0.0, 0.0])


def view(number: int, *, depth: float = DEPTH) -> KeyframeView:
    """A keyframe: a wall across the view, as many points as pixels, half of them of confidence 1 and half of 9."""
    image = np.broadcast_to(np.array(WALL, np.uint8), (48, 64, 3)).copy()
    image[::8, ::8] //= 2
    confidence = np.ones((48, 64), np.float32)
    confidence[:, :32] = 9.0
    header = ImageHeader(1_000_000 * number, (48, 64))
    depths = np.full((48, 64), depth, np.float32)
    return KeyframeView(number, FRAMES_BETWEEN * number, header, pose(number), CAMERA, image, depths, confidence)


def registered(number: int) -> MapUpdate:
    """A keyframe's update, which adds all of its points to the map."""
    keyframe = view(number)
    empty = np.zeros((1, 1, 3), np.float32)
    maps = HostPointmaps(empty, empty[..., 0], empty, empty[..., 0], empty[..., 0] > 0)
    estimate = PoseEstimate(pose(number), 50.0, 1.0, 0.1, 1.0, 0.0)
    header, index = ImageHeader(keyframe.header.stamp_ns, (48, 64)), FRAMES_BETWEEN * number
    return MapUpdate(index, header, keyframe.image, State.TRACKING, estimate, maps, keyframe.points(), (), None)


def write_map_file(path: Path, keyframes: int) -> Path:
    """Write a map file of so many keyframes; returns its path."""
    path.touch()
    connection = open_to_write(path)
    database = MapDatabase(connection)
    with database.transaction():
        for number in range(keyframes):
            database.write(registered(number))
            database.write(view(number))
    close_writer(connection)
    return path
