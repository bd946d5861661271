"""The engine on two threads: a pose never waits for a network."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import replace

import torch

from slam3r_ros.engine.events import OnUpdate, Update
from slam3r_ros.engine.live_tracking import LiveTracking, MappingRequest, MappingResult, moved_pose
from slam3r_ros.engine.ring_buffer import RingBuffer
from slam3r_ros.engine.slam import Slam
from slam3r_ros.engine.tracking import KeyframeRequest
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import EncodedAhead, EncodedFrame, Frame, PoseUpdate, PreparedFrame, Window


class LiveSlam(Slam):
    """`Slam` with its tracking loop and its mapping loop on two threads, as since PTAM (Klein and Murray, 2007).

    The tracking thread calls `track` with every image: it gives the pose at once, and returns what is to be mapped. The
    mapping thread calls `map` with that, and everything else. Which frames become keyframes depends on how fast mapping
    is, so results are not those of `Slam`, nor always the same. `on_update` is called by both threads; the poses of
    frames come in the order of the frames.
    """

    def __init__(
        self, networks: NetworkPair, settings: SlamSettings | None = None, on_update: OnUpdate | None = None
    ) -> None:
        self._maps = 0
        self._encoded_frames: dict[int, EncodedFrame] = {}  # of the last request
        super().__init__(networks, settings, on_update)

    @staticmethod
    def can_run(settings: SlamSettings) -> bool:
        """Whether these settings leave a tracking thread something to do: visual odometry tracks every frame, and no
        frame waits for later ones. Else `Slam` does all that can be done."""
        tracks = settings.pose.tracks == "on" and settings.register.only_keyframes
        return tracks and settings.window.lookahead == 0

    # ---- the tracking thread -------------------------------------------------------------------------------------

    def track(self, frame: Frame | PreparedFrame) -> MappingRequest | None:
        """Track the next frame; its pose goes to `on_update`. What mapping is to do next, None where it has another
        request or nothing is to be mapped. A newer request before there is an initial map replaces an older one."""
        with self._timer.stage("total"):
            prepared = self.encoder.prepare(frame) if isinstance(frame, Frame) else frame
            index, source_index = self._frame_count, self._count_image(prepared.header.number)
            self._frame_count += 1
            live = self._live  # not before the frame is counted: what an old map still says is known by its number
            self._status.processed += 1
            update, request = live.track(self.encoder.unencoded(prepared, index, source_index))
            if update is not None:
                self._emit([update])
        return request

    @property
    def is_behind(self) -> bool:
        """Whether a frame was to go through the networks while mapping had another one: mapping should leave out what
        it can. Safe from any thread."""
        return self._live.is_behind

    def moved(self, update: PoseUpdate, corrections: int) -> PoseUpdate:
        """A pose as the first so many corrections of this map have moved it. Safe from any thread."""
        with self._map_state.lock:
            missed = self._map_state.world_changes[update.world_changes : corrections]
        changes = max(corrections, update.world_changes)
        return replace(update, pose=moved_pose(update.pose, missed), world_changes=changes)

    # ---- the mapping thread --------------------------------------------------------------------------------------

    @torch.inference_mode()
    def map(self, request: MappingRequest) -> list[Update]:
        """Do what tracking has asked for; a request for a map that has been reset since is passed over."""
        if request.map_number != self._maps:
            return []
        result = None
        try:
            updates = self._emit(self._map_initially(request) if request.is_initial else self._map_keyframe(request))
            result = self._result(request)
        finally:
            self._live.finish(result)
        return updates

    def push(self, *frames: Frame | PreparedFrame | EncodedAhead) -> list[Update]:
        """Track and map frames in turn on the calling thread. Raises TypeError for frames that are encoded already."""
        updates: list[Update] = []
        for frame in frames:
            if isinstance(frame, EncodedAhead):
                raise TypeError("live engine: expected frames that are not encoded")
            if (request := self.track(frame)) is not None:
                updates += self.map(request)
        return updates

    def finish_pending(self, *, wait: bool = True) -> list[Update]:
        """The `MapUpdate` of the keyframe mapped last, and the correction by the loop that it may have closed. With
        ``wait`` this waits for both; without it there are none until they are known."""
        updates = super().finish_pending(wait=wait)
        if not self.has_pending:
            updates += self._emit(self._mapping.close_loop(wait=wait))
        return updates

    @torch.inference_mode()
    def flush(self) -> list[Update]:
        """The stream pauses or has ended: make an initial map of the frames there are, if there is none, and finish
        what mapping has begun."""
        updates: list[Update] = []
        if self._schedule is None and len(self._ring):
            updates += self._emit(self._make_initial_map(ended=True))
        self._live.finish(None)
        updates += self.finish_pending()
        return updates + self._emit(self._mapping.flush_dense_depth())

    # ---- implementation ------------------------------------------------------------------------------------------

    def _start_anew(self) -> None:
        super()._start_anew()
        self._maps += 1
        self._encoded_frames.clear()
        self._mapping.waits_for_loops = self._mapping.waits_for_dense_depth = False
        self._mapping.is_behind = lambda: self.is_behind
        self._live = LiveTracking(self.settings, self._map_state, self._status, self._timer, self._maps)

    def _map_initially(self, request: MappingRequest) -> Iterator[Update]:
        """Try to make an initial map, unless there is one since the request was made."""
        if self._schedule is not None:
            return
        self._ring = RingBuffer()
        for frame in request.frames:
            self._ring.append(self._encoded_frames.get(frame.index, frame))
        yield from self._make_initial_map(ended=False)

    def _make_initial_map(self, *, ended: bool) -> Iterator[Update]:
        """Try to make an initial map of the ring buffer's frames; those between the initial frames are registered."""
        self._initialize(ended=ended)
        if self._schedule is not None:
            newest = self._ring.newest
            if self._schedule.bootstrap_is_done:
                yield from self._mapping.finish_bootstrap()
            for batch in self._schedule.ready(newest, newest, ended=False):
                if not batch.is_bootstrap:
                    break
                yield from self._bootstrap(batch)
        kept = (self._ring[index] for index in range(self._ring.oldest, self._ring.newest + 1)) if self._ring else ()
        self._encoded_frames = {frame.index: frame for frame in kept if isinstance(frame, EncodedFrame)}

    def _map_keyframe(self, request: MappingRequest) -> Iterator[Update]:
        """Register a frame, with the tracks that were followed to it."""
        assert request.state is not None
        tracker = copy(request.state.tracker)
        for moved in self._map_state.world_changes[request.world_changes :]:
            tracker.transform(moved)
        self._mapping.resume(tracker)
        frames = [self._encoded_frames.get(frame.index, frame) for frame in request.frames]
        encoded = self._encode(frames)
        if encoded is None:
            self._mapping.leave_out(1)
            return
        self._encoded_frames = {frame.index: frame for frame in encoded}
        window = Window(encoded[0], tuple(encoded[1:]))
        yield from self._mapping.map(KeyframeRequest((window,), has_pose=request.has_pose))

    def _result(self, request: MappingRequest) -> MappingResult | None:
        """What tracking goes on with; None as long as there is no initial map."""
        if self._schedule is None:
            return None
        index = self._schedule.last_initial if request.is_initial else request.frames[0].index
        changes = len(self._map_state.world_changes)
        return MappingResult(index, self._mapping.tracking_state(), changes, self._initializer.stride)
