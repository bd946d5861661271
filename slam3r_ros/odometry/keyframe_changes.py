"""What the adjustment of the sliding window has changed of keyframes that have been told to the map already."""

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
    """(P,) similarities from the world in which these frames were told to the one in which they are now."""


class KeyframeChanges:
    """Remembers where keyframes were when they were told to the map.

    The first keyframes of a map are placed with a guessed focal length, and with few landmarks. When self-calibration
    or adjustment from scratch then moves the window by much, the trajectory and the map are to follow.
    """

    def __init__(self) -> None:
        self._told: dict[int, tuple[Array, float]] = {}  # (4, 4) T_camera_world and the logarithm of the scale
        self._newest_tracked: tuple[Array, float] | None = None  # the newest keyframe's in the world of the one before

    def tell(self, keyframes: Iterable[WindowKeyframe]) -> None:
        """Take note that the map knows keyframes as they are now, and no others any more."""
        self._told = {each.index: (each.T_camera_world, each.log_scale) for each in keyframes}
        self._newest_tracked = None

    def see(self, keyframes: Iterable[WindowKeyframe], T_camera_world: Array, log_scale: float) -> None:
        """Take note of the keyframes of the window: the newest is told to the map as it is now, and those that have
        left the window do not change any more. The newest was tracked to a pose (4, 4) and a scale in the world as it
        was before, as the frames between it and the one before were."""
        self._newest_tracked = T_camera_world, log_scale
        self._told = {
            each.index: self._told.get(each.index, (each.T_camera_world, each.log_scale)) for each in keyframes
        }

    def take(self, keyframes: Iterable[WindowKeyframe], depth: float) -> WindowCorrection | None:
        """How the map is to follow the keyframes of the window, which are at this depth (scene units) from what they
        see; None where none has moved by much. After that the map knows them as they are."""
        known = [each for each in keyframes if each.index in self._told]
        indices = [each.index for each in known]
        changes = [_change(*self._told[each.index], each) for each in known]
        sizes = [max(abs(np.log(float(scale))), step / depth) for scale, _, step in changes]
        if self._newest_tracked is not None and len(known) > 1 and indices[-1] - 1 > indices[-2]:
            indices.insert(-1, indices[-1] - 1)
            changes.insert(-1, _change(*self._newest_tracked, known[-1]))
            sizes.append(changes[-2][2] / depth)  # its scale moves no camera
        if max(sizes, default=0.0) < TUNING.min_window_correction:
            return None
        self.tell(known)
        parts = [Sim3(scale[None], T[None, :3, :3], T[None, :3, 3]) for scale, T, _ in changes]
        return WindowCorrection(np.array(indices, np.int64), Sim3.concatenate(parts))


def _change(T_camera_world: Array, log_scale: float, now: WindowKeyframe) -> tuple[NDArray[np.float64], Array, float]:
    """The similarity from the world in which a keyframe was at a pose to that in which it is now, as its scale, and a
    matrix (4, 4) with its rotation and translation; and how far the camera has moved."""
    if log_scale == now.log_scale and np.array_equal(T_camera_world, now.T_camera_world):
        return np.asarray(1.0), np.eye(4), 0.0  # exactly
    scale, T = np.exp(now.log_scale - log_scale), T_camera_world.copy()
    T[:3, 3] *= scale
    step = np.linalg.norm(invert_rigid(now.T_camera_world)[:3, 3] - invert_rigid(T_camera_world)[:3, 3])
    return np.asarray(scale), invert_rigid(now.T_camera_world) @ T, float(step)
