"""What is known of a map at each moment of a film: keyframes, poses, and the camera between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.film.tuning import TUNING
from slam3r_ros.geometry.se3 import Array, nearest_rotation, rigid
from slam3r_ros.io.map_axes import pose_in_map
from slam3r_ros.types import StampedPose


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """The moments of a film, and what is known at each."""

    poses: Array
    """(F, 4, 4) T_map_camera at each moment."""
    keyframe_counts: NDArray[np.intp]
    """(F,) number of keyframes until then, at least 1."""
    pose_counts: NDArray[np.intp]
    """(F,) number of poses of the trajectory until then, at least 1."""
    recorded_s: NDArray[np.float64]
    """(F,) seconds of the recording since its start."""
    path: Array
    """(M, 3) positions of the whole trajectory, map axes."""

    @classmethod
    def of(
        cls, keyframes: Sequence[KeyframeView], trajectory: Sequence[StampedPose], seconds: float | None, fps: float
    ) -> Timeline:
        """The moments of a film that lasts so many seconds; by default as long as the recording, within limits.

        There must be a keyframe or a pose.
        """
        views = [(view.header.stamp_ns, pose_in_map(view.T_world_camera)) for view in keyframes]
        poses = [(pose.stamp_ns, pose_in_map(pose.T_world_camera)) for pose in trajectory] or views
        stamps = np.maximum.accumulate([stamp for stamp, _ in poses])
        matrices = np.array([T for _, T in poses])
        begin, end = int(stamps[0]), int(max(stamps[-1], views[-1][0] if views else stamps[-1]))
        recorded = (end - begin) / 1e9
        length = seconds if seconds is not None else float(np.clip(recorded, TUNING.shortest_s, TUNING.longest_s))
        count = max(2, round(length * fps))
        moments = begin + np.rint(np.linspace(0, 1, count) * (end - begin)).astype(np.int64)
        pose_counts = np.maximum(1, np.searchsorted(stamps, moments, side="right"))
        views_ns = np.sort([stamp for stamp, _ in views])
        return cls(
            poses=_smoothed(matrices[pose_counts - 1], TUNING.smooth_s * fps),
            keyframe_counts=np.clip(np.searchsorted(views_ns, moments, side="right"), min(1, len(views)), len(views)),
            pose_counts=pose_counts,
            recorded_s=(moments - begin) / 1e9,
            path=matrices[:, :3, 3],
        )

    def __len__(self) -> int:
        return len(self.poses)


def _smoothed(poses: Array, sigma: float) -> Array:
    """(F, 4, 4) poses averaged with a Gaussian of a standard deviation in poses: positions, and rotations as the
    rotation nearest to the mean of their matrices."""
    reach = min(int(3 * sigma), len(poses) - 1)
    if reach < 1:
        return poses
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    framed = np.pad(poses, ((reach, reach), (0, 0), (0, 0)), mode="edge")
    means = [np.tensordot(weights / weights.sum(), framed[n : n + len(weights)], 1) for n in range(len(poses))]
    return rigid(np.array([nearest_rotation(T[:3, :3]) for T in means]), np.array([T[:3, 3] for T in means]))
