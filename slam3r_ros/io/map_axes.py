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
    x, y, z = points.points_world.T
    return replace(points, points_world=np.stack([z, -x, -y], axis=1))


def trajectory_in_map(trajectory: list[StampedPose]) -> list[StampedPose]:
    """The same poses in map axes."""
    return [StampedPose(pose.stamp_ns, pose_in_map(pose.T_world_camera)) for pose in trajectory]
