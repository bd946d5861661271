"""The engine's one door: frames in, map updates out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from slam3r_ros.device.memory_guard import MemoryGuard
from slam3r_ros.engine.encoder import Encoder
from slam3r_ros.engine.image_to_points_stage import ImageToPointsStage
from slam3r_ros.engine.initial_map import InitialMap, with_scaled_confidence
from slam3r_ros.engine.initializer import Initializer
from slam3r_ros.engine.keyframe_buffer import KeyframeBuffer
from slam3r_ros.engine.local_to_world_stage import LocalToWorldStage, registered_keyframes
from slam3r_ros.engine.localization import Locator
from slam3r_ros.engine.map_state import MapState
from slam3r_ros.engine.retrieval import RetrievalResult
from slam3r_ros.engine.ring_buffer import RingBuffer
from slam3r_ros.engine.scene_frame_selector import SceneFrameSelector
from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.engine.window import (
    RegistrationBatch,
    RegistrationSchedule,
    build_window,
    complete_until,
    oldest_needed,
)
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.odometry.odometry_stage import Advanced
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import (
    EncodedFrame,
    Frame,
    KeyframeRecord,
    LocalPointmap,
    MapPoints,
    MapUpdate,
    PoseEstimate,
    PreparedFrame,
    RegisteredFrame,
    Registration,
    SlamStatus,
    StampedPose,
    State,
)

_IMAGES_WEIGHT = 0.05  # of the newest value in the moving average


class Slam:
    """Streaming SLAM: push frames in the order they were taken, take what each of them changed.

    Work and memory for one frame are bounded whatever came before it, but for the trajectory and the keyframes'
    records (under 200 bytes a frame). To be used by one thread; `status` may be called from another, and another one
    may prepare and encode frames ahead with ``encoder``.
    """

    def __init__(self, networks: NetworkPair, settings: SlamSettings | None = None) -> None:
        self.settings = settings = (settings or SlamSettings()).resolved(networks.recommended)
        self.encoder = Encoder(networks.i2p, with_grey=settings.pose.tracks == "on")
        self._local_points = ImageToPointsStage(networks.i2p, settings.register.point_confidence)
        self._scene = SceneFrameSelector(networks.i2p, settings.register)
        self._registrar = LocalToWorldStage(networks.l2w, normalise_input=settings.register.normalise_input)
        self._clock, self._guard = StageTimer(), MemoryGuard()
        self._set_up = Initializer(self._local_points, settings, self._guard, self._clock, self._shrink_buffer)
        self._frame_count = self._source_count = 0
        self.listener: Callable[[MapUpdate], None] | None = None
        """Called with every update as soon as it is made, and before that with those that are early. In order, but that
        one with points may come after later frames' that have only poses. What it raises, `push` raises."""
        self._unsettled: list[RegisteredFrame]  # registered, their points still to come
        self._forget()

    # ---- what goes in ------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def push(self, *frames: Frame | PreparedFrame) -> list[MapUpdate]:
        """Process the next frame; returns what can be answered now, oldest first, often nothing or one update.

        With image tracks a keyframe's points are moved beside whatever follows, and its update comes before the next
        frame's, or with `settle`. Several frames that are there at once may be pushed together: they are encoded, and
        without lookahead registered, as one batch, which takes less time for each.
        """
        if not frames:
            return []
        with self._clock.stage("total", len(frames)):
            with self._clock.stage("encode", len(frames)):
                encoded = self._guard.run(lambda: self._encode(frames), len(frames), self._shrink_buffer)
            self._count_images(frames)
            if encoded is None:
                self._leave_out(len(frames))
                return []
            for each in encoded:
                self._ring.append(each)
            self._frame_count += len(frames)
            self._status.processed += len(frames)
            return self._advance(ended=False)

    @torch.inference_mode()
    def flush(self) -> list[MapUpdate]:
        """End of the stream: answer every frame that still waited for later ones, then close the loop that the last one
        may have found: it moves what was answered, as `SlamStatus.loops_closed` and the next update, if any, tell."""
        updates = self._advance(ended=True) if len(self._ring) else []
        updates += self.settle()
        self._close_loop()
        return updates

    @torch.inference_mode()
    def settle(self, *, wait: bool = True) -> list[MapUpdate]:
        """Take the points of the frames registered last, into buffer and map, and make their updates; waited for, or
        only if they are there. What entered the buffer is told with the last frame.
        """
        if not wait and self._locator.is_moving:
            return []
        unsettled, self._unsettled = self._unsettled, []
        if not unsettled:
            return []
        located = [self._locator.settled(keyframe) for keyframe in unsettled]
        with self._clock.stage("keyframes", len(located)):
            offers = iter([(located, [not keyframe.held for keyframe in located])])  # told once, however often tried
            offer = self._known_buffer.offer
            entered = self._guard.run(lambda: offer(*next(offers, ((), ()))), 1, self._shrink_buffer) or []
            if entered:
                self._scene.forget()  # positions in the buffer have changed
        records = [self._mapped.record(keyframe) for keyframe in entered]
        return [self._update(keyframe, records if keyframe is located[-1] else []) for keyframe in located]

    @property
    def is_unsettled(self) -> bool:
        """Whether there are updates that only `settle`, or the next frame, will give."""
        return bool(self._unsettled)

    def reset(self, reason: str) -> None:
        """Forget world, map and trajectory and start again with the next frame; ``reason`` appears in the status."""
        self._forget()
        self._status.reason = reason

    # ---- what comes out ----------------------------------------------------------------------------------------

    def status(self) -> SlamStatus:
        """State and counters now; safe from any thread."""
        return replace(self._status, stage_ms=self._clock.average_ms(), warnings=self._guard.warnings)

    def trajectory(self) -> list[StampedPose]:
        """The pose of every tracked frame, in order."""
        return self._mapped.trajectory.poses()

    def keyframes(self) -> list[KeyframeRecord]:
        """Every keyframe that ever entered the buffering set, in order of entering."""
        return list(self._mapped.records)

    def map_points(self) -> MapPoints:
        """The whole voxel-filtered map."""
        return self._mapped.map.points()

    # ---- how -----------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        settings = self.settings
        self._ring = RingBuffer()
        self._set_up.forget()
        self._rounds: RegistrationSchedule | None = None
        self._buffer: KeyframeBuffer | None = None
        self._initial: list[RegisteredFrame] = []
        self._head: list[RegisteredFrame] = []
        self._scene.forget()
        self._locator = Locator(settings.pose, settings.loops, self._clock)
        self._tracks = self._locator.tracks
        self._unsettled = []
        self._is_told = False  # the pose of the keyframe registered last, before the rest
        self._asks_tracks = self._tracks is not None and settings.register.only_keyframes
        self._mapped = MapState(settings.map)
        self._status = SlamStatus(voxel_size=settings.map.voxel_size)

    def _advance(self, *, ended: bool) -> list[MapUpdate]:
        """Set up the world if there is none, then register every round that is ready."""
        updates: list[MapUpdate] = []
        if self._rounds is None:
            world = self._set_up.attempt(self._ring, self._status, ended=ended)
            updates += self._begin(world) if world is not None else []
        if self._rounds is not None:
            window, stride = self.settings.window, self._set_up.stride
            reach = self._ring.newest if ended else complete_until(self._ring, stride, window.lookahead)
            for ready in self._rounds.ready(self._ring.newest, reach, ended):
                updates += self._track(ready) if self._asks_tracks and not ready.is_head else self._register(ready)
            self._ring.discard_before(oldest_needed(self._ring, self._rounds.oldest_pending, stride, window.radius))
        return updates

    def _encode(self, frames: Sequence[Frame | PreparedFrame]) -> list[EncodedFrame]:
        """The next frames, all at once where the device's memory allows."""
        encoded: list[EncodedFrame] = []
        for batch in self._guard.batches(frames):
            source = encoded[-1].source_index + 1 if encoded else self._source_count
            encoded += self.encoder.encode(batch, self._frame_count + len(encoded), source)
        return encoded

    def _shrink_buffer(self) -> int:
        """Keep fewer keyframes; how many, 0 where there are none to spare."""
        keyframes = 0 if self._buffer is None else self._buffer.shrink()
        if keyframes:
            self._scene.forget()  # positions in the buffer have changed
        return keyframes

    def _leave_out(self, frames: int) -> None:
        """Go on without frames that the device has no memory for."""
        self._status.lost_frames += frames
        self._status.state = State.LOST if self._rounds is not None else State.INITIALIZING
        self._status.reason = "the device's memory is full: a frame is left out"

    def _count_images(self, frames: Sequence[Frame | PreparedFrame]) -> None:
        for images in (1 + frame.skipped for frame in frames):
            self._source_count += images
            self._status.images_per_frame += _IMAGES_WEIGHT * (images - self._status.images_per_frame)

    @property
    def _known_buffer(self) -> KeyframeBuffer:
        assert self._buffer is not None
        return self._buffer

    def _begin(self, world: InitialMap) -> list[MapUpdate]:
        """Start tracking in a new world."""
        window = self.settings.window
        self._initial = list(world.keyframes)
        indices = tuple(keyframe.index for keyframe in world.keyframes)
        # May run out of memory; without rounds the next frame tries again.
        self._buffer = KeyframeBuffer(self._initial, self._set_up.stride, self.settings.keyframes, self._registrar)
        self._rounds = RegistrationSchedule(
            indices, self._set_up.stride, window.lookahead, self.settings.register.together_max
        )
        return self._emit_initial() if self._rounds.head_is_done else []

    def _track(self, ready: RegistrationBatch) -> list[MapUpdate]:
        """Frames of a round one after the other: a pose by image tracks, or registered, where these do not suffice."""
        updates: list[MapUpdate] = []
        for index in ready.frames:
            frame = self._ring[index]
            advanced = self._advanced(frame)
            if advanced is not None and not advanced.is_due:
                updates += self._between(frame, advanced.pose)
                continue
            updates += self.settle()
            if advanced is not None and self._close_loop():
                advanced = self._advanced(frame)  # where the world is now
            if advanced is not None:
                self._tell_early(MapUpdate.between_keyframes(frame, advanced.pose))
            self._is_told = advanced is not None
            updates += self._register(RegistrationBatch((index,), is_head=False))
        return updates

    def _advanced(self, frame: EncodedFrame) -> Advanced | None:
        """What the image tracks alone tell of a frame."""
        assert self._tracks is not None
        with self._clock.stage("tracks"):
            return self._tracks.advance(frame)

    def _between(self, frame: EncodedFrame, pose: PoseEstimate) -> list[MapUpdate]:
        """A frame whose pose the tracks alone tell. Who listens has it before the points of the keyframe before it, if
        those take longer."""
        settled = self.settle(wait=self.listener is None or not self._is_told)
        self._status.state = State.TRACKING
        self._status.reason = f"between keyframes: {pose.inlier_fraction:.0%} of the image tracks fit the pose"
        self._mapped.trajectory.append(frame.index, frame.stamp_ns, pose)
        return [*settled, self._tell(MapUpdate.between_keyframes(frame, pose))]

    def _tell_early(self, update: MapUpdate) -> None:
        """Only to who listens: a frame's pose, before the rest."""
        if self.listener is not None:
            self._tell(replace(update, is_early=True))

    def _tell(self, update: MapUpdate) -> MapUpdate:
        """The update, which leaves the engine now."""
        update = self._mapped.told(update)
        if self.listener is not None:
            self.listener(update)
        return update

    def _register(self, ready: RegistrationBatch) -> list[MapUpdate]:
        """The world pointmaps of one round, and what follows from them."""
        assert self._rounds is not None
        self._close_loop()
        count = len(ready.frames)
        registered = self._guard.run(lambda: self._world_points(ready), count, self._shrink_buffer)
        if registered is None:
            self._leave_out(count)
            registered = []
        if not ready.is_head:
            return self._emit(registered) if registered else []
        self._head += registered
        return self._emit_initial() if self._rounds.head_is_done else []

    def _close_loop(self) -> bool:
        """Correct the world if the camera has come back to where it had been; whether it has."""
        with self._clock.stage("loops"):
            correction = None if self._tracks is None else self._tracks.closed_loop()
            self._guard.add_warning("" if self._tracks is None else self._tracks.loop_failure)
            if correction is None:
                return False
            self._mapped.correct(correction)
            self._known_buffer.correct(correction)
            self._status.loops_closed, self._status.map_points = self._status.loops_closed + 1, len(self._mapped.map)
            return True

    def _world_points(self, ready: RegistrationBatch) -> list[RegisteredFrame]:
        """I2P, retrieval and L2W for one round, with all its frames at once where the device's memory allows."""
        self._known_buffer.catch_up()  # where a loop was closed: here, so that memory that is full is seen to
        radius, registered = self.settings.window.radius, []
        for indices in self._guard.batches(ready.frames):
            with self._clock.stage("i2p", len(indices)):
                windows = [build_window(self._ring, index, self._set_up.stride, radius) for index in indices]
                locals_ = self._local_points.estimate(windows)
            with self._clock.stage("retrieval", len(indices)):
                retrieved = self._scene.choose(locals_, self._known_buffer, takes_all=ready.is_head)
            with self._clock.stage("l2w", len(indices)):
                registered += self._localise(locals_, retrieved)
        return registered

    def _localise(self, locals_: Sequence[LocalPointmap], retrieved: RetrievalResult) -> list[RegisteredFrame]:
        """One L2W call: the frames' world pointmaps."""
        buffer = self._known_buffer
        scene = [buffer[position] for position in retrieved.chosen]
        result = self._registrar.register(locals_, scene, buffer.scene(retrieved.chosen))
        registration = Registration(
            registered=tuple(local.frame.index for local in locals_),
            scene_frames=tuple(keyframe.index for keyframe in scene),
            candidates=buffer.indices,
            candidate_scores=retrieved.scores,
        )
        return registered_keyframes(locals_, result, registration)

    def _emit_initial(self) -> list[MapUpdate]:
        """Updates of the initial frames and those between them, in order.

        The initial frames' confidence is I2P's: it is scaled so that its highest mean is that of the frames between.
        """
        initial, head = self._initial, self._head
        self._initial, self._head = [], []
        if head:
            factor = max(k.mean_confidence for k in head) / max(k.mean_confidence for k in initial)
            initial = [with_scaled_confidence(keyframe, factor) for keyframe in initial]
        for keyframe in initial:  # only the reference has points of its own; the others need the focal length it gives
            self._locator.learn_focal(keyframe)
        updates = []
        for keyframe in sorted([*initial, *head], key=lambda k: k.index):
            located = self._locator.settled(self._locate(keyframe))
            updates.append(self._update(located, [] if located.registration else [self._mapped.record(located)]))
        return updates

    def _emit(self, registered: Sequence[RegisteredFrame]) -> list[MapUpdate]:
        """Poses of one round; buffer, map and updates as well, unless the tracks move its points meanwhile."""
        if self._asks_tracks:
            self._unsettled = [self._locate(keyframe) for keyframe in registered]
            return []
        self._unsettled = [self._locator.settled(self._locate(keyframe)) for keyframe in registered]
        return self.settle()

    def _locate(self, keyframe: RegisteredFrame) -> RegisteredFrame:
        """The frame with its pose, and whether it counts as tracked."""
        located, reason = self._locator.locate(keyframe)
        self._status.registered += 1
        self._note(located, reason)
        return located

    def _note(self, located: RegisteredFrame, reason: str) -> None:
        """Status and trajectory after a frame; ``reason``: why L2W lost it, empty if it did not."""
        self._status.state, self._status.reason = located.state, reason
        if located.state is State.LOST:
            self._status.lost_frames += 1
            return
        assert located.pose is not None
        fits = f"{located.pose.inlier_fraction:.0%} of the points fit the pose"
        self._status.reason = f"image tracks alone give the pose: {reason}" if reason else fits
        self._mapped.trajectory.append(located.index, located.local.frame.stamp_ns, located.pose)

    def _update(self, keyframe: RegisteredFrame, records: Sequence[KeyframeRecord]) -> MapUpdate:
        """Add the frame's confident points to the map and make the value that leaves the engine."""
        with self._clock.stage("map"):
            added = self._mapped.add(keyframe)
        self._status.map_points, self._status.voxel_size = len(self._mapped.map), self._mapped.map.voxel_size
        self._status.keyframes = len(self._known_buffer)
        return self._tell(MapUpdate.of(keyframe, added, records))
