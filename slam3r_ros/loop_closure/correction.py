"""What a closed loop changes: everything moves with the keyframe it was mapped at."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, Similarity
from slam3r_ros.geometry.sim3 import Similarities
from slam3r_ros.types import PoseEstimate


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """Similarities of the world at P keyframes, P > 0; what was mapped between two moves as the earlier one does."""

    indices: NDArray[np.int64]
    """(P,) of their frames, ascending."""
    moved: Similarities
    """(P,) from the world as it was to the world as it is."""

    def of_frames(self, indices: NDArray[np.integer]) -> Similarities:
        """(N,) for frames (N,); before the first keyframe, that keyframe's."""
        return self.moved[np.maximum(np.searchsorted(self.indices, indices, side="right") - 1, 0)]

    @property
    def newest(self) -> Similarity:
        """Of what comes after the last keyframe."""
        moved = self.moved
        return Similarity(float(moved.scales[-1]), moved.rotations[-1], moved.shifts[-1])

    def of_poses(self, indices: NDArray[np.integer], T_world_camera: Array) -> Array:
        """(N, 4, 4) where poses of frames are now."""
        return moved_poses(self.of_frames(indices), T_world_camera)

    def of_pose(self, index: int, pose: PoseEstimate | None) -> PoseEstimate | None:
        """Where the pose of a frame is now, if it has one."""
        if pose is None:
            return None
        frames, poses = np.array([index]), pose.T_world_camera[None]
        scale = pose.scale * float(self.of_frames(frames).scales[0])
        return replace(pose, T_world_camera=self.of_poses(frames, poses)[0], scale=scale)

    def of_points(self, indices: NDArray[np.integer], points_world: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3) where points of frames are now."""
        moved = self.of_frames(indices)
        return moved.apply(points_world[:, None].astype(np.float64))[:, 0].astype(np.float32)


def moved_poses(moved: Similarities, T_world_camera: Array) -> Array:
    """(N, 4, 4) poses after similarities of the world (N,): cameras have no size."""
    poses = T_world_camera.copy()
    poses[:, :3, :3] = moved.rotations @ T_world_camera[:, :3, :3]
    poses[:, :3, 3] = moved.apply(T_world_camera[:, None, :3, 3])[:, 0]
    return poses
