"""The correction of the world by closed loops: everything moves with the keyframe at which it was mapped."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.types import PoseEstimate


@dataclass(frozen=True, slots=True, eq=False)
class MapCorrection:
    """Similarities to apply to the world at P keyframes, P > 0; what was mapped between two keyframes moves as the
    earlier one does."""

    indices: NDArray[np.int64]
    """(P,) indices of the keyframes' frames, ascending."""
    world_changes: Sim3
    """(P,) similarities from the world as it was to the world as it is."""
    loops: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    """(L, 2) indices of the frames that each of the closed loops joins, the earlier one first."""
    joins: bool = False
    """Whether it takes all frames of this session into the world of a loaded map."""

    def of_frames(self, indices: NDArray[np.integer]) -> Sim3:
        """(N,) similarities at frames (N,); those before the first keyframe move as it does."""
        return self.world_changes[np.maximum(np.searchsorted(self.indices, indices, side="right") - 1, 0)]

    @property
    def newest(self) -> Sim3:
        """The similarity at all that comes after the last keyframe."""
        return self.world_changes[-1]

    def of_poses(self, indices: NDArray[np.integer], T_world_camera: Array) -> Array:
        """(N, 4, 4) corrected poses of frames (N,)."""
        return self.of_frames(indices).apply_to_pose(T_world_camera)

    def of_pose(self, index: int, pose: PoseEstimate | None) -> PoseEstimate | None:
        """The corrected pose of a frame, if it has one."""
        if pose is None:
            return None
        frames, poses = np.array([index]), pose.T_world_camera[None]
        scale = pose.scale * float(self.of_frames(frames).scale[0])
        return replace(pose, T_world_camera=self.of_poses(frames, poses)[0], scale=scale)

    def of_points(self, indices: NDArray[np.integer], points_world: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3) corrected points of frames (N,)."""
        return self.of_frames(indices).apply(points_world).astype(np.float32)
