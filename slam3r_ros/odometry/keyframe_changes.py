"""What local bundle adjustment and self-calibration have changed of keyframes whose poses the map has already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.sliding_window import WindowKeyframe
from slam3r_ros.odometry.tuning import TUNING


@dataclass(frozen=True, slots=True, eq=False)
class WindowCorrection:
    """How the world is to be moved at the keyframes of the window; what was mapped before the first of them stays."""

    indices: NDArray[np.int64]
    """(P,) numbers of the keyframes' frames, and of the frame before the newest keyframe, ascending."""
    world_changes: Sim3
    """(P,) similarities from the world as it was when the map took these frames to the world as it is now."""


class KeyframeChanges:
    """Remembers the poses and scales with which the map has taken the keyframes of the sliding window.

    The first keyframes of a map are placed with a guessed focal length, and with few landmarks. When self-calibration
    or bundle adjustment from scratch then moves the window by much, the trajectory and the map are to follow.
    """

    def __init__(self) -> None:
        self._in_map: dict[int, tuple[Array, float]] = {}  # (4, 4) T_camera_world and the logarithm of the scale
        self._newest_tracked: tuple[Array, float] | None = None  # of a newest keyframe that `take` has not seen

    @property
    def is_pending(self) -> bool:
        """Whether a keyframe has come since the last `take`."""
        return self._newest_tracked is not None

    def reset_to(self, keyframes: Iterable[WindowKeyframe]) -> None:
        """Take note that the map has these keyframes as they are now."""
        self._in_map = {each.index: (each.T_camera_world, each.log_scale) for each in keyframes}
        self._newest_tracked = None

    def insert(self, keyframes: Iterable[WindowKeyframe], T_camera_world: Array, log_scale: float) -> None:
        """Take note of the keyframes of a window with a new one: the map takes the newest as it is now, and those that
        have left the window do not change any more. The newest was tracked to a pose (4, 4) and a scale in the world as
        it was before, as the frames between it and the one before were."""
        self._newest_tracked = T_camera_world, log_scale
        self._in_map = {
            each.index: self._in_map.get(each.index, (each.T_camera_world, each.log_scale)) for each in keyframes
        }

    def take(self, keyframes: Iterable[WindowKeyframe], depth: float) -> WindowCorrection | None:
        """How the map is to follow the keyframes of the window, which are at this depth (scene units) from what they
        see; None where none has moved by much, or none has come. After that the map has them as they are."""
        if self._newest_tracked is None:
            return None
        newest_tracked, self._newest_tracked = self._newest_tracked, None
        known = [each for each in keyframes if each.index in self._in_map]
        indices = [each.index for each in known]
        before = [self._in_map[index] for index in indices]
        changes = [_change(*then, now) for then, now in zip(before, known, strict=True)]
        sizes = [abs(float(np.log(change.scale[0]))) for change in changes]
        sizes += [_step(T, now) / depth for (T, _), now in zip(before, known, strict=True)]
        if len(known) > 1 and indices[-1] - 1 > indices[-2]:
            indices.insert(-1, indices[-1] - 1)
            changes.insert(-1, _change(*newest_tracked, known[-1]))
            sizes.append(_step(newest_tracked[0], known[-1]) / depth)  # its scale moves no camera
        if max(sizes, default=0.0) < TUNING.min_window_correction:
            return None
        self.reset_to(known)
        return WindowCorrection(np.array(indices, np.int64), Sim3.concatenate(changes))


def _change(T_camera_world: Array, log_scale: float, now: WindowKeyframe) -> Sim3:
    """(1,) similarity from the world in which a keyframe had this pose and scale to that in which it has its present
    ones."""
    if log_scale == now.log_scale and np.array_equal(T_camera_world, now.T_camera_world):
        return Sim3.from_pose(np.eye(4)[None])  # exactly
    growth = Sim3(np.exp([now.log_scale - log_scale]), np.eye(3)[None], np.zeros((1, 3)))
    return Sim3.from_pose(invert_rigid(now.T_camera_world)[None]) @ growth @ Sim3.from_pose(T_camera_world[None])


def _step(T_camera_world: Array, now: WindowKeyframe) -> float:
    """How far a keyframe's camera is from where it was at a pose, scene units."""
    return float(np.linalg.norm(invert_rigid(now.T_camera_world)[:3, 3] - invert_rigid(T_camera_world)[:3, 3]))
