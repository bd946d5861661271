"""The axes of maps outside the engine: those of ROS (REP-103), x forward, y left, z up at the first reference.

The engine's world has that reference camera's axes (x right, y down, z forward).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.types import MapPoints, StampedPose

T_map_world: NDArray[np.float64] = np.array(
    [[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=np.float64
)
"""(4, 4) takes the engine's world to the map's axes; a rotation."""


def pose_in_map(T_world_camera: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 4) T_map_camera: the camera keeps its own axes (x right, y down, z forward)."""
    return T_map_world @ T_world_camera


def points_in_map(points: MapPoints) -> MapPoints:
    """The same points in map axes."""
    points_map = np.empty_like(points.points_world)
    put_in_map(points.points_world, points_map)
    return replace(points, points_world=points_map)


def put_in_map(points_world: NDArray[np.float32], points_map: NDArray[np.float32]) -> None:
    """Write (N, 3) points of the engine's world into ``points_map`` (N, 3), in map axes."""
    points_map[:, 0] = points_world[:, 2]
    np.negative(points_world[:, 0], out=points_map[:, 1])
    np.negative(points_world[:, 1], out=points_map[:, 2])


def trajectory_in_map(trajectory: list[StampedPose]) -> list[StampedPose]:
    """The same poses in map axes."""
    return [StampedPose(pose.stamp_ns, pose_in_map(pose.T_world_camera)) for pose in trajectory]
