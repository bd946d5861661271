"""The poses of all tracked frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.types import PoseEstimate, StampedPose


class Trajectory:
    """Grows by 144 bytes a frame; what it is set aside for doubles when it is full."""

    def __init__(self) -> None:
        self._count = 0
        self._frames = np.empty((TUNING.first_trajectory_poses, 2), np.int64)  # index, stamp
        self._poses = np.empty((TUNING.first_trajectory_poses, 4, 4))

    def __len__(self) -> int:
        return self._count

    def put(self, index: int, stamp_ns: int, pose: PoseEstimate) -> None:
        """The pose of a tracked frame, in its place; a later pose of the same frame replaces an earlier one."""
        position = int(np.searchsorted(self._frames[: self._count, 0], index))
        if position < self._count:
            if self._frames[position, 0] != index:
                self._make_room()
                for values in (self._frames, self._poses):
                    values[position + 1 : self._count + 1] = values[position : self._count].copy()
                self._count += 1
            self._frames[position], self._poses[position] = (index, stamp_ns), pose.T_world_camera
            return
        self._make_room()
        self._frames[self._count], self._poses[self._count] = (index, stamp_ns), pose.T_world_camera
        self._count += 1

    def begin(self, frames: NDArray[np.int64], stamps_ns: NDArray[np.int64], poses: Array) -> None:
        """Begin with the poses (N, 4, 4) of frames (N,), ascending, and their stamps (N,)."""
        room = max(TUNING.first_trajectory_poses, 2 * len(frames))
        self._count = len(frames)
        self._frames, self._poses = np.empty((room, 2), np.int64), np.empty((room, 4, 4))
        self._frames[: self._count, 0], self._frames[: self._count, 1] = frames, stamps_ns
        self._poses[: self._count] = poses

    def _make_room(self) -> None:
        """Set more aside where it is full."""
        if self._count == len(self._frames):
            self._frames = np.concatenate([self._frames, np.empty_like(self._frames)])
            self._poses = np.concatenate([self._poses, np.empty_like(self._poses)])

    def poses(self, end: int | None = None) -> list[StampedPose]:
        """All of them, or those of frames before ``end``, in order."""
        count = self._count if end is None else int(np.searchsorted(self._frames[: self._count, 0], end))
        stamps, poses = self._frames[:count, 1].tolist(), self._poses[:count].copy()
        return [StampedPose(stamp, pose) for stamp, pose in zip(stamps, poses, strict=True)]

    def correct(self, correction: MapCorrection) -> None:
        """Move them as a closed loop says."""
        used = slice(self._count)
        self._poses[used] = correction.of_poses(self._frames[used, 0], self._poses[used])
