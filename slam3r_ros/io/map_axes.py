"""The axes of maps outside the engine: those of ROS (REP-103), x forward, y left, z up at the first reference.

The engine's world has that reference camera's axes (x right, y down, z forward) and a unit of its own: ``unit`` is its
length outside, for example metres per scene unit; with 1 lengths stay scene units.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.types import MapPoints, StampedPose

T_map_world: NDArray[np.float64] = np.array(
    [[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=np.float64
)
"""(4, 4) takes the engine's world to the map's axes; a rotation."""


def pose_in_map(T_world_camera: NDArray[np.float64], unit: float = 1.0) -> NDArray[np.float64]:
    """(4, 4) T_map_camera: the camera keeps its own axes (x right, y down, z forward)."""
    T_map_camera = T_map_world @ T_world_camera
    T_map_camera[:3, 3] *= unit
    return T_map_camera


def points_in_map(points: MapPoints, unit: float = 1.0) -> MapPoints:
    """The same points in map axes."""
    points_map = np.empty_like(points.points_world)
    put_in_map(points.points_world, points_map, unit)
    return replace(points, points_world=points_map)


def put_in_map(points_world: NDArray[np.float32], points_map: NDArray[np.float32], unit: float = 1.0) -> None:
    """Write (N, 3) points of the engine's world into ``points_map`` (N, 3), in map axes."""
    for axis, (of_world, factor) in enumerate(((2, unit), (0, -unit), (1, -unit))):
        np.multiply(points_world[:, of_world], np.float32(factor), out=points_map[:, axis])


def trajectory_in_map(trajectory: list[StampedPose], unit: float = 1.0) -> list[StampedPose]:
    """The same poses in map axes."""
    return [StampedPose(pose.stamp_ns, pose_in_map(pose.T_world_camera, unit)) for pose in trajectory]
