"""The two poses of a camera as REP-105 has them: one that never jumps, and one on the map, which corrections move.

In the frame of visual odometry (REP-105's odom) a pose is the sum of the motions from frame to frame. On the map it is
the engine's newest estimate, which closed loops and adjusted keyframes correct. A correction reaches the published pose
as steps of bounded speed beside the motion, so the transform from map to odom changes no faster than that. Where the
motion itself is not known, as after tracking was lost, the pose on the map jumps, and that in the frame of visual
odometry stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slam3r_ros.geometry.se3 import Array, invert_rigid, orthonormal, rigid, rotation_from_vector, vector_from_rotation
from slam3r_ros.types import PoseEstimate


@dataclass(frozen=True, slots=True)
class CorrectionSpeed:
    """How fast a correction may move the published pose."""

    translation: float
    """Published lengths per second; 0 for at once."""
    rotation: float
    """Radians per second; 0 for at once."""

    def share_within(self, translation: float, rotation: float, seconds: float) -> float:
        """The share, 0 to 1, of a correction by this translation and rotation (radians) that may be made within a
        time."""
        share = 1.0
        for size, speed in ((translation, self.translation), (rotation, self.rotation)):
            if speed > 0 and size > speed * seconds:
                share = min(share, speed * seconds / size)
        return share


@dataclass(frozen=True, slots=True, eq=False)
class PublishedPose:
    """Where a camera is, in published lengths."""

    T_map_camera: Array
    """(4, 4): takes points of the camera to the map."""
    T_odom_camera: Array
    """(4, 4): takes points of the camera to the frame of visual odometry."""
    is_continuous: bool
    """Whether the motion since the pose before is known; else the pose in the frame of visual odometry has stayed."""


@dataclass(frozen=True, slots=True, eq=False)
class _LastPose:
    """What was published last, and what it was made of."""

    stamp_ns: int
    estimate: PoseEstimate
    corrected: Array
    """(4, 4): T_map_camera by the engine."""
    published: Array
    """(4, 4): T_map_camera as it was published."""


class PoseContinuity:
    """Makes published poses of the engine's, in their order. Used by one thread at a time."""

    def __init__(self, speed: CorrectionSpeed) -> None:
        self.speed = speed
        """How fast a correction may move the published pose."""
        self._last: _LastPose | None = None
        self._T_odom_camera: Array | None = None  # also from one map to the next
        self._is_moved = self._goes_at_once = False  # the map since the last pose; the next pose on it

    def lose(self) -> None:
        """Say that the motion to the next pose is not known: frames were lost, or another map has begun."""
        self._last = None

    def move_world(self, *, at_once: bool) -> None:
        """Say that the map has been moved or scaled since the last pose. ``at_once``: its axes or its unit have
        changed, and the next pose is to be in the new ones."""
        self._is_moved = True
        self._goes_at_once |= at_once

    def advance(self, stamp_ns: int, estimate: PoseEstimate, corrected: Array, unit: float) -> PublishedPose:
        """What is published of the next frame, whose pose on the map (4, 4) is ``corrected`` by the engine; ``unit`` is
        the published length of a scene unit."""
        motion, published = self._motion_to(estimate, corrected, unit), corrected
        if self._T_odom_camera is None:
            self._T_odom_camera = corrected
        elif motion is not None:
            self._T_odom_camera = self._T_odom_camera @ motion
        if motion is not None and self._last is not None and not self._goes_at_once:
            seconds = max(0.0, (stamp_ns - self._last.stamp_ns) * 1e-9)
            published = self._towards(corrected, self._last.published @ motion, seconds)
        self._last = _LastPose(stamp_ns, estimate, corrected, published)
        self._is_moved = self._goes_at_once = False
        return PublishedPose(published, self._T_odom_camera, motion is not None)

    def _motion_to(self, estimate: PoseEstimate, corrected: Array, unit: float) -> Array | None:
        """(4, 4) the pose of the camera now in the last one, published lengths; None where it is not known.

        It is measured by visual odometry, which begins at a pose of the networks. Without it, it is the difference of
        the two poses on the map, if nothing has moved that.
        """
        if self._last is None:
            return None
        before, now = self._last.estimate.reckoning, estimate.reckoning
        if before is not None:
            motion = None if now is None else before.motion_to(now)
            return None if motion is None else rigid(motion[:3, :3], unit * motion[:3, 3])
        return None if self._is_moved else invert_rigid(self._last.corrected) @ corrected

    def _towards(self, corrected: Array, T_map_camera: Array, seconds: float) -> Array:
        """(4, 4) a pose, moved towards the corrected one as far as the time allows."""
        left = invert_rigid(T_map_camera) @ corrected
        rotation, translation = vector_from_rotation(left[:3, :3]), left[:3, 3]
        sizes = float(np.linalg.norm(translation)), float(np.linalg.norm(rotation))
        share = self.speed.share_within(*sizes, seconds)
        if share == 1:
            return corrected
        return orthonormal(T_map_camera @ rigid(rotation_from_vector(share * rotation), share * translation))
