"""Scale from motion: the way of the camera on the map against the same way in metres."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from slam3r_ros.geometry.se3 import Array, rigid
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.scale_edges import ScaleObservation
from slam3r_ros.metric_scale.tuning import TUNING

_MOST_POSES = 4000
"""Number of metric poses that are kept: 20 s of odometry at 200 Hz."""
_MOST_WAITING = 200
"""Number of frames that may wait for the metric poses around them."""


class PoseHistory:
    """Metric poses by time, interpolated between neighbours that are close enough."""

    def __init__(self) -> None:
        self._stamps: deque[int] = deque(maxlen=_MOST_POSES)
        self._poses: deque[Array] = deque(maxlen=_MOST_POSES)

    def add(self, stamp_ns: int, T_odom_base: Array) -> None:
        """Take a pose (4, 4) in; one that is older than the newest means that time has gone back: all are forgotten."""
        if self._stamps and stamp_ns < self._stamps[-1]:
            self.clear()
        if self._stamps and stamp_ns == self._stamps[-1]:
            return
        self._stamps.append(stamp_ns)
        self._poses.append(T_odom_base)

    def clear(self) -> None:
        """Forget all poses."""
        self._stamps.clear()
        self._poses.clear()

    @property
    def newest_ns(self) -> int | None:
        """Time of the newest pose; None where there is none."""
        return self._stamps[-1] if self._stamps else None

    def at(self, stamp_ns: int) -> Array | None:
        """The pose (4, 4) at a time: linear in position, spherical linear in rotation. None outside of what is known
        and in gaps that are too long."""
        after = bisect_left(self._stamps, stamp_ns)
        if after < len(self._stamps) and self._stamps[after] == stamp_ns:
            return self._poses[after]
        if not 0 < after < len(self._stamps):
            return None
        first, second = self._stamps[after - 1], self._stamps[after]
        if (second - first) * 1e-9 > TUNING.max_gap_s:
            return None
        share = (stamp_ns - first) / (second - first)
        start, end = self._poses[after - 1], self._poses[after]
        rotation = Slerp([0, 1], Rotation.from_matrix(np.stack([start[:3, :3], end[:3, :3]])))(share)
        return rigid(rotation.as_matrix(), (1 - share) * start[:3, 3] + share * end[:3, 3])


@dataclass(frozen=True, slots=True, eq=False)
class _Position:
    """Where the camera was at one time, on the map and in metres."""

    stamp_ns: int
    index: int
    in_scene: Array
    in_metres: Array


@dataclass(frozen=True, slots=True, eq=False)
class _WaitingFrame:
    """A tracked frame whose metric pose is not known yet."""

    stamp_ns: int
    index: int
    position: Array
    T_base_camera: Array


class MotionSource:
    """Compares chords of the camera's way: straight distances between its positions at two times.

    A chord is as long as it has to be for odometry to tell it well, and ends where the next begins. Where the robot
    stands there is none. Turning on the spot moves the camera as far as it is away from the robot's centre, which the
    extrinsics account for.
    """

    def __init__(self) -> None:
        self._history = PoseHistory()
        self._waiting: deque[_WaitingFrame] = deque(maxlen=_MOST_WAITING)
        self._anchor: _Position | None = None

    def add_metric_pose(self, stamp_ns: int, T_odom_base: Array) -> None:
        """Take a pose (4, 4) of the robot's base in metres in; a jump of time begins anew."""
        newest = self._history.newest_ns
        if newest is not None and stamp_ns < newest:
            self.clear()
        self._history.add(stamp_ns, T_odom_base)

    def add_frame(self, stamp_ns: int, index: int, T_world_camera: Array, T_base_camera: Array) -> None:
        """Take the pose (4, 4) of a tracked frame in, scene units; ``T_base_camera`` (4, 4) is the camera on the base,
        metres."""
        self._waiting.append(_WaitingFrame(stamp_ns, index, T_world_camera[:3, 3].copy(), T_base_camera))

    def lose(self) -> None:
        """Tracking is lost: positions before and after are not compared."""
        self._anchor = None

    def correct(self, correction: MapCorrection) -> None:
        """Follow a closed loop, which has moved the positions of before."""
        self._waiting = deque(
            (replace(each, position=_moved(correction, each.index, each.position)) for each in self._waiting),
            maxlen=_MOST_WAITING,
        )
        if self._anchor is not None:
            anchor = self._anchor
            self._anchor = replace(anchor, in_scene=_moved(correction, anchor.index, anchor.in_scene))

    def clear(self) -> None:
        """Forget everything, since another map or another time has begun."""
        self._history.clear()
        self._waiting.clear()
        self._anchor = None

    def observations(self, metres_per_unit: float | None = None) -> list[ScaleObservation]:
        """What has become known since the last call. ``metres_per_unit`` is the scale so far, if there is one: chords
        that the camera has hardly moved by it are left out, since then the wheels have slipped."""
        found = []
        newest = self._history.newest_ns
        while self._waiting and newest is not None and self._waiting[0].stamp_ns <= newest:
            frame = self._waiting.popleft()
            T_odom_base = self._history.at(frame.stamp_ns)
            if T_odom_base is None:
                continue
            in_metres = (T_odom_base @ frame.T_base_camera)[:3, 3]
            position = _Position(frame.stamp_ns, frame.index, frame.position, in_metres)
            observation = self._compare(position, metres_per_unit)
            if observation is not None:
                found.append(observation)
        return found

    def _compare(self, position: _Position, metres_per_unit: float | None) -> ScaleObservation | None:
        """The observation of the chord from the anchor to here, if it is long enough; it moves the anchor on."""
        anchor = self._anchor
        if anchor is None or (position.stamp_ns - anchor.stamp_ns) * 1e-9 > TUNING.max_chord_s:
            self._anchor = position
            return None
        metres = float(np.linalg.norm(position.in_metres - anchor.in_metres))
        if metres < TUNING.min_chord_m:
            return None
        self._anchor = position
        units = float(np.linalg.norm(position.in_scene - anchor.in_scene))
        if units <= 0 or (metres_per_unit is not None and units * metres_per_unit < TUNING.min_scene_share * metres):
            return None
        sigma = math.hypot(TUNING.position_sigma_m / metres, TUNING.chord_sigma)
        return ScaleObservation(position.index, math.log(metres / units), sigma)


def _moved(correction: MapCorrection, index: int, position: Array) -> Array:
    """A position (3,) of a frame after a closed loop."""
    return np.asarray(correction.of_frames(np.array([index])).apply(position[None])[0], dtype=np.float64)
