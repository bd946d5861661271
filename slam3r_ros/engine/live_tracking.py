"""The tracking thread's half of the live engine: every frame gets its pose at once, and mapping gets keyframes when it
has time for them.

What passes between the two threads: `MappingRequest`, from tracking to mapping, and `MappingResult`, back. While
mapping has a request, frames that were to be keyframes are passed over: keyframes are thinned, poses never are.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from slam3r_ros.engine.map_state import MapState
from slam3r_ros.engine.ring_buffer import RingBuffer
from slam3r_ros.engine.slam_status import SlamStatus
from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.engine.window import oldest_needed, window_sources
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.live_tracker import LiveTracker
from slam3r_ros.odometry.odometry_stage import OdometryPose, TrackingState
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import PoseEstimate, PoseUpdate, State, StreamFrame


@dataclass(frozen=True, slots=True, eq=False)
class MappingRequest:
    """What mapping is to do next."""

    frames: tuple[StreamFrame, ...]
    """The frame to register, then the other frames of its window; before there is an initial map, all frames of which
    one can be made, in order."""
    state: TrackingState | None
    """Tracking in the frame to register; None before there is an initial map."""
    world_changes: int
    """How many closed loops the state has taken over."""
    has_pose: bool
    """Whether there is a `PoseUpdate` of the frame to register: else visual odometry has lost it."""
    map_number: int
    """Number of the map, counted up with each reset, that the request is meant for."""

    @property
    def is_initial(self) -> bool:
        """Whether an initial map is to be made."""
        return self.state is None


@dataclass(frozen=True, slots=True, eq=False)
class MappingResult:
    """What has come of a request."""

    index: int
    """Number of the frame that the state belongs to."""
    state: TrackingState
    """Tracking in that frame, with the local map as it is after mapping."""
    world_changes: int
    """How many closed loops the state has taken over."""
    stride: int
    """Images of the camera's stream from one member of a window to the next."""


def moved_pose(pose: PoseEstimate, changes: Sequence[Sim3]) -> PoseEstimate:
    """A pose as closed loops have moved the world around it, one after the other."""
    for moved in changes:
        T = moved.apply_to_pose(pose.T_world_camera)
        pose = replace(pose, T_world_camera=T, scale=pose.scale * float(moved.scale))
    return pose


class LiveTracking:
    """Tracks the frames of one map. `track` is called by the tracking thread, `finish` by the mapping thread."""

    def __init__(
        self, settings: SlamSettings, map_state: MapState, status: SlamStatus, timer: StageTimer, map_number: int
    ) -> None:
        self._settings, self._map_state, self._status, self._timer = settings, map_state, status, timer
        self._map_number = map_number
        self._tracker = LiveTracker(settings.pose)
        self._ring = RingBuffer()
        self._stride: int | None = None  # known once there is an initial map
        self._taken_changes = 0  # world changes that the tracker has taken over
        self._lock = threading.Lock()  # for what follows
        self._is_mapping = False  # whether mapping has a request
        self._is_behind = False
        self._result: MappingResult | None = None

    # ---- the tracking thread -------------------------------------------------------------------------------------

    def track(self, frame: StreamFrame) -> tuple[PoseUpdate | None, MappingRequest | None]:
        """The pose of the next frame, if it has one, and what mapping is to do next, if it has time."""
        self._ring.append(frame)
        self._take_world_changes()
        with self._timer.stage("tracks"):
            tracked = self._tracker.track(frame)
            tracked = self._take_result(frame) or tracked
        if self._stride is None:
            self._discard_old_frames()
            return None, self._initial_request()
        wants_networks = tracked is None or tracked.is_keyframe or not self._tracker.can_track_alone
        is_keyframe = wants_networks and not self._is_mapping  # only this thread begins a request
        update = None if tracked is None else self._update(frame, tracked, is_keyframe=is_keyframe)
        request = self._keyframe_request(frame, has_pose=tracked is not None) if is_keyframe else None
        if request is None and wants_networks:
            self._pass_over(is_keyframe=tracked is not None and tracked.is_keyframe)
        self._discard_old_frames()
        return update, request

    def _take_world_changes(self) -> None:
        """Take over what closed loops have moved since the last frame."""
        with self._map_state.lock:
            changes = self._map_state.world_changes[self._taken_changes :]
        for moved in changes:
            self._tracker.transform(moved)
        self._taken_changes += len(changes)

    def _take_result(self, frame: StreamFrame) -> OdometryPose | None:
        """Catch up with what mapping has made of the last request; the frame's pose where that is possible."""
        with self._lock:
            result, self._result = self._result, None
        if result is None:
            return None
        self._stride = result.stride
        with self._map_state.lock:
            changes = self._map_state.world_changes[result.world_changes : self._taken_changes]
        for moved in changes:
            result.state.tracker.transform(moved)
        return self._tracker.take(result.state, result.index, frame)

    def _update(self, frame: StreamFrame, tracked: OdometryPose, *, is_keyframe: bool) -> PoseUpdate:
        """The event of a frame's pose, which is in the trajectory from now on."""
        pose = tracked.pose
        with self._map_state.lock:
            pose = moved_pose(pose, self._map_state.world_changes[self._taken_changes :])
            self._map_state.add_pose(frame.index, frame.header.stamp_ns, pose)
            changes = len(self._map_state.world_changes)
        fits = f"{pose.inlier_fraction:.0%} of the image tracks fit the pose"
        self._status.state, self._status.reason = State.TRACKING, f"between keyframes: {fits}"
        return PoseUpdate(frame.index, frame.header, pose, is_keyframe, changes)

    def _initial_request(self) -> MappingRequest:
        """All frames that may become part of an initial map."""
        frames = tuple(self._ring[index] for index in range(self._ring.oldest, self._ring.newest + 1))
        return MappingRequest(frames, None, self._taken_changes, has_pose=False, map_number=self._map_number)

    def _keyframe_request(self, frame: StreamFrame, *, has_pose: bool) -> MappingRequest:
        """The frame with its window and its tracks."""
        assert self._stride is not None
        sources = window_sources(self._ring, frame.index, self._stride, self._settings.window.radius)
        frames = (frame, *(self._ring[index] for index in sources))
        with self._lock:
            self._is_mapping, self._is_behind = True, False
        if not has_pose:
            self._status.state = State.LOST
            self._status.reason = "the image tracks do not hold: the newest image goes through the networks"
        return MappingRequest(frames, self._tracker.hand_over(), self._taken_changes, has_pose, self._map_number)

    def _pass_over(self, *, is_keyframe: bool) -> None:
        """A frame that was to go through the networks does not, since mapping has another one."""
        with self._lock:
            self._is_behind = True
        if is_keyframe:
            self._status.keyframes_thinned += 1
            self._tracker.begin_interval()

    def _discard_old_frames(self) -> None:
        """Let go of frames that neither a window nor an initial map can reach."""
        ring, window = self._ring, self._settings.window
        if self._stride is not None:
            ring.discard_before(oldest_needed(ring, ring.newest + 1, self._stride, window.radius))
            return
        reach = window.stride * (self._settings.initialize.window_size - 1)
        if window.stride <= 0:
            reach = window.adapt_frames - 1
        ring.discard_before(ring.at_or_before(ring[ring.newest].source_index - reach))

    # ---- the mapping thread --------------------------------------------------------------------------------------

    def finish(self, result: MappingResult | None) -> None:
        """Mapping has no request any more; tracking goes on with the result, or as it does if there is none."""
        with self._lock:
            self._is_mapping = False
            if result is not None:
                self._result = result

    @property
    def is_behind(self) -> bool:
        """Whether a frame was to go through the networks while mapping had another one: mapping should leave out what
        it can. Safe from any thread."""
        with self._lock:
            return self._is_mapping and self._is_behind
