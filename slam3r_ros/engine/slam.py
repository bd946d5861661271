"""The engine's interface, `Slam`: frames in, events out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from slam3r_ros.device.memory_guard import MemoryGuard
from slam3r_ros.engine.dense_depth_stage import DenseDepthStage
from slam3r_ros.engine.encoder import Encoder
from slam3r_ros.engine.events import OnUpdate, Update
from slam3r_ros.engine.image_counter import ImageCounter, number_of
from slam3r_ros.engine.image_to_points_stage import ImageToPointsStage
from slam3r_ros.engine.initializer import Initializer
from slam3r_ros.engine.keyframe_refinement import KeyframeRefinement, mean_token
from slam3r_ros.engine.keyframe_view import KeyframeViews
from slam3r_ros.engine.loaded_map import LoadedMap
from slam3r_ros.engine.local_to_world_stage import LocalToWorldStage
from slam3r_ros.engine.localization import Localization
from slam3r_ros.engine.map_state import MapState
from slam3r_ros.engine.mapping import Mapping, MappingParts
from slam3r_ros.engine.ring_buffer import RingBuffer
from slam3r_ros.engine.scene_frame_selector import SceneFrameSelector
from slam3r_ros.engine.slam_status import SlamStatus
from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.engine.tracking import KeyframeRequest, RegisterEveryFrame, TrackingStrategy, TrackThenRegister
from slam3r_ros.engine.window import (
    RegistrationBatch,
    RegistrationSchedule,
    build_window,
    complete_until,
    oldest_needed,
    window_sources,
)
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.loop_closer import LoopCloser
from slam3r_ros.loop_closure.place_search import PlaceHint
from slam3r_ros.loop_closure.scale_edges import ScaleObservation
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.odometry.odometry_stage import OdometryStage
from slam3r_ros.setting_spec import ChangeTime, SettingError, specs_of
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import (
    EncodedAhead,
    EncodedFrame,
    EncodedImage,
    Frame,
    KeyframeRecord,
    MapPoints,
    PoseUpdate,
    PreparedFrame,
    StampedPose,
    State,
    StreamFrame,
    Window,
)


class Slam:
    """Streaming SLAM: push frames in the order they were taken, take the events that each of them caused.

    The tracking loop (`tracking`) gives poses and asks for keyframes; the mapping loop (`mapping`) makes them part of
    the map. The two loops run one after the other, on the thread that calls `push`, so that results depend on the
    frames alone. Visual odometry, loop closure and the state of the map are made here and handed to the loops.

    Work and memory for one frame are bounded whatever came before it, but for the trajectory and the keyframes'
    records (under 200 bytes a frame). To be used by one thread; `status` may be called from another, and another one
    may prepare and encode frames ahead with ``encoder``.
    """

    def __init__(
        self, networks: NetworkPair, settings: SlamSettings | None = None, on_update: OnUpdate | None = None
    ) -> None:
        """``on_update`` is called with every event as soon as it is made; what it raises, `push` raises. With it the
        poses of later frames may come before the `MapUpdate` of a keyframe whose points take longer to refine."""
        self.settings = settings = (settings or SlamSettings()).resolved(networks.recommended)
        self.on_update = on_update
        tracks = settings.pose.tracks == "on"
        self._encodes_on_demand = tracks and settings.register.only_keyframes
        working_side = settings.pose.image_side if tracks else None
        self.encoder = Encoder(networks.i2p, working_side=working_side, encodes_on_demand=self._encodes_on_demand)
        self._image_to_points = ImageToPointsStage(networks.i2p, settings.register.point_confidence)
        self._scene_frames = SceneFrameSelector(networks.i2p, settings.register)
        self._local_to_world = LocalToWorldStage(networks.l2w, normalise_input=settings.register.normalise_input)
        self._timer, self._guard = StageTimer(), MemoryGuard()
        self._initializer = Initializer(
            self._image_to_points,
            settings,
            self._guard,
            self._timer,
            shrink_buffer=lambda: self._mapping.shrink_buffer(),
            encode=lambda indices: self._encode_in_ring(indices),
        )
        self._frame_count, self._images = 0, ImageCounter()
        self._start_anew()

    # ---- what goes in ------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def push(self, *frames: Frame | PreparedFrame | EncodedAhead) -> list[Update]:
        """Process the next frame; returns the events that are known by now, often none.

        A keyframe's `MapUpdate` comes before the next keyframe's, or with `finish_pending`. Several frames that are
        there at once may be pushed together: they are encoded, and without lookahead registered, as one batch, which
        takes less time for each.
        """
        if not frames:
            return []
        with self._timer.stage("total", len(frames)):
            stream_frames = self._enter_stream(frames)
            if stream_frames is None:
                self._mapping.leave_out(len(frames))
                return []
            for frame in stream_frames:
                self._ring.append(frame)
            return self._emit(self._run_loops(ended=False))

    @torch.inference_mode()
    def flush(self) -> list[Update]:
        """End of the stream: process every frame that still waits for later ones, then correct the map by the loop
        closure that the last keyframe may have led to."""
        updates = self._emit(self._run_loops(ended=True)) if len(self._ring) else []
        updates += self._emit(self._mapping.finish_pending())
        updates += self._emit(self._mapping.close_loop())
        return updates + self._emit(self._mapping.flush_dense_depth())

    @torch.inference_mode()
    def finish_pending(self, *, wait: bool = True) -> list[Update]:
        """The `MapUpdate`s of the frames registered last. With ``wait`` this waits until their points are refined;
        without it there are none until then."""
        updates = self._emit(self._mapping.finish_pending(wait=wait))
        return updates + self._emit(self._mapping.take_dense_depth(wait=wait))

    def request_correction(self, correction: MapCorrection) -> None:
        """Correct the map by knowledge from outside, such as the direction of gravity. It is done before the next
        keyframe is registered, or with `flush`, and a `MapCorrection` tells; where a loop is closed first it is
        dropped, since it was about the map as it had been."""
        self._mapping.request_correction(correction)

    def observe_scale(self, observations: Sequence[ScaleObservation]) -> None:
        """Say how long a scene unit is where frames were mapped, by another sensor, in the world of the events so far.
        The pose graph holds the scale of the map by that, and a `MapCorrection` tells of drift that it has removed."""
        self._mapping.observe_scale(observations)

    @property
    def has_pending(self) -> bool:
        """Whether there are registered frames whose `MapUpdate` is still to come, by `finish_pending` or a later
        `push`."""
        return self._mapping.has_pending

    def change_settings(self, settings: SlamSettings) -> None:
        """Go on with other values of those settings that may change at any time, which hold from the next frame on.

        ``settings`` are resolved. Raises SettingError naming another setting that differs, and changes nothing.
        """
        for spec in specs_of(SlamSettings):
            is_fixed = spec.change_time is not ChangeTime.WHILE_ACTIVE
            if is_fixed and settings.value(spec.name) != self.settings.value(spec.name):
                raise SettingError(f"{spec.name}: the engine is made with it, and it cannot change")
        self.settings = settings
        self._image_to_points.point_confidence = settings.register.point_confidence
        self._initializer.change_settings(settings)
        self._mapping.change_settings(settings)

    def reset(self, reason: str) -> None:
        """Forget map and trajectory and start again with the next frame; ``reason`` appears in the status."""
        self._start_anew()
        self._status.reason = reason

    def load(self, loaded: LoadedMap) -> None:
        """Forget map and trajectory, and begin with a map of an earlier session.

        As long as it is not known where in it the camera is, the state is LOCALIZING, and all poses and events are in a
        world of their own. The `MapCorrection` at the end of that takes them into the world of the loaded map. Raises
        ValueError, and forgets nothing, where the settings or the map do not allow it.
        """
        self.check_can_load(loaded)
        self._start_anew()
        self._frame_count = max(self._frame_count, loaded.next_frame)
        self._mapping.begin_from(replace(loaded, next_frame=self._frame_count))

    def check_can_load(self, loaded: LoadedMap) -> None:
        """Raises ValueError, which says why, where `load` would."""
        self._mapping.check_can_begin_from(loaded)

    def hint_place(self, hint: PlaceHint) -> int:
        """Say about where in the loaded map the camera is: places near there are compared first, and all others where
        none of these shows the same. Returns how many are near; raises ValueError where nothing is looked for."""
        if self.is_localized:
            raise ValueError("the camera is not looked for in a loaded map: the state is not LOCALIZING")
        return self._mapping.hint(hint)

    @torch.inference_mode()
    def describe(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(encoder width,) the descriptor by which place recognition compares an (H, W, 3) RGB image with others."""
        return mean_token(self.encoder.encode([Frame(0, image)])[0].tokens)

    @property
    def next_index(self) -> int:
        """Index that the next frame gets."""
        return self._frame_count

    # ---- what comes out ----------------------------------------------------------------------------------------

    def status(self) -> SlamStatus:
        """State and counters now; safe from any thread."""
        status = replace(self._status, stage_ms=self._timer.average_ms(), warnings=self._guard.warnings)
        if not self.is_localized and status.state is not State.WAITING_FOR_IMAGES:
            places = self._mapping.place_count
            reason = f"looking for the place among the {places} places of the loaded map: {status.reason}"
            return replace(status, state=State.LOCALIZING, reason=reason)
        return status

    @property
    def is_localized(self) -> bool:
        """Whether poses are in the world of the map that was loaded; True where none was. Safe from any thread."""
        return self._mapping.is_localized

    def trajectory(self) -> list[StampedPose]:
        """The pose of every tracked frame, in order."""
        return self._map_state.poses()

    def keyframes(self) -> list[KeyframeRecord]:
        """Every keyframe that ever entered the keyframe buffer, in order of entering."""
        return list(self._map_state.known_records())

    def map_points(self) -> MapPoints:
        """The whole voxel-filtered map."""
        return self._map_state.points()

    # ---- implementation ------------------------------------------------------------------------------------------

    def _start_anew(self) -> None:
        settings = self.settings
        self._ring = RingBuffer()
        self._initializer.reset()
        self._scene_frames.invalidate()
        self._schedule: RegistrationSchedule | None = None
        self._map_state = MapState(settings.map)
        self._status = SlamStatus(voxel_size=self._map_state.map.voxel_size)
        odometry = OdometryStage(settings.pose) if settings.pose.tracks == "on" else None
        closes_loops = odometry is not None and settings.loops.close
        loop_closer = LoopCloser(settings.loops.most_places) if closes_loops else None
        parts = MappingParts(
            image_to_points=self._image_to_points,
            scene_frames=self._scene_frames,
            local_to_world=self._local_to_world,
            localization=Localization(settings.pose),
            refinement=KeyframeRefinement(odometry, loop_closer, self._timer),
            map_state=self._map_state,
            keyframe_views=KeyframeViews(
                least_confidence=settings.map.point_confidence, uses_camera=settings.pose.use_camera_info
            ),
            dense_depth=DenseDepthStage() if odometry is not None and settings.map.dense else None,
        )
        self._mapping = Mapping(parts, settings.register, settings.keyframes, self._guard, self._timer, self._status)
        self._tracking: TrackingStrategy = RegisterEveryFrame()
        if odometry is not None and settings.register.only_keyframes:
            self._tracking = TrackThenRegister(odometry, self._timer)
        self._images.start_anew()
        self._is_pending_pose_emitted = False  # whether there was a `PoseUpdate` of the keyframe registered last

    def _run_loops(self, *, ended: bool) -> Iterator[Update]:
        """Make an initial map if there is none, then track and register all frames whose windows are complete."""
        self._mapping.waits_for_dense_depth = self.on_update is None
        if self._schedule is None:
            self._initialize(ended=ended)
            if self._schedule is None:
                return
            if self._schedule.bootstrap_is_done:
                yield from self._mapping.finish_bootstrap()
        window, stride = self.settings.window, self._initializer.stride
        newest_complete = self._ring.newest if ended else complete_until(self._ring, stride, window.lookahead)
        for batch in self._schedule.ready(self._ring.newest, newest_complete, ended):
            yield from self._bootstrap(batch) if batch.is_bootstrap else self._track_batch(batch)
        self._ring.discard_before(oldest_needed(self._ring, self._schedule.oldest_pending, stride, window.radius))

    def _track_batch(self, batch: RegistrationBatch) -> Iterator[Update]:
        """Run the tracking loop over the frames; each request that it makes goes through the mapping loop at once."""
        for step in self._tracking.track([self._ring[index] for index in batch.frames], self._window_of):
            if isinstance(step, KeyframeRequest):
                self._is_pending_pose_emitted = step.has_pose
                yield from self._mapping.map(step)
            else:
                yield from self._emit_pose(step)

    def _emit_pose(self, update: PoseUpdate) -> Iterator[Update]:
        """The `PoseUpdate` of a frame. The first events of the frames keep their order: where the pending keyframe had
        no `PoseUpdate`, its `MapUpdate` comes first. Without `on_update` it does so in any case before a frame that is
        no keyframe."""
        if not self._is_pending_pose_emitted:
            yield from self._mapping.finish_pending()
        if not update.is_keyframe:  # else the refined pose follows with the points
            yield from self._mapping.finish_pending(wait=self.on_update is None)
            fits = f"{update.pose.inlier_fraction:.0%} of the image tracks fit the pose"
            self._status.state, self._status.reason = State.TRACKING, f"between keyframes: {fits}"
            self._map_state.add_pose(update.index, update.header.stamp_ns, update.pose)
        yield update

    def _bootstrap(self, batch: RegistrationBatch) -> Iterator[Update]:
        """Register frames between the initial ones."""
        assert self._schedule is not None
        members = (self._window_of(self._ring[index]) for index in batch.frames)
        windows = tuple(window for window in members if window is not None)
        yield from self._mapping.map(KeyframeRequest(windows, is_bootstrap=True))
        if self._schedule.bootstrap_is_done:
            yield from self._mapping.finish_bootstrap()

    def _initialize(self, *, ended: bool) -> None:
        """Try to make an initial map of the oldest frames; without one the next frames try again."""
        initial_map = self._initializer.initialize(self._ring, self._status, ended=ended)
        if initial_map is None:
            return
        indices = tuple(keyframe.index for keyframe in initial_map.keyframes)
        window, stride = self.settings.window, self._initializer.stride
        self._mapping.begin(initial_map, stride)
        self._schedule = RegistrationSchedule(indices, stride, window.lookahead, self.settings.register.together_max)

    def _window_of(self, frame: StreamFrame) -> Window | None:
        """The frame's window, whose members are encoded now where they are not; None, and the frame is left out, where
        the device has no memory for them."""
        stride, radius = self._initializer.stride, self.settings.window.radius
        members = (frame.index, *window_sources(self._ring, frame.index, stride, radius))
        if not self._encode_in_ring(members):
            self._mapping.leave_out(1)
            return None
        return build_window(self._ring, frame.index, stride, radius)

    def _encode_in_ring(self, indices: Iterable[int]) -> bool:
        """Encode frames of the ring buffer where they are not; False where the device has no memory for them."""
        encoded = self._encode([self._ring[index] for index in indices])
        for frame in encoded or ():
            self._ring.replace(frame)
        return encoded is not None

    def _encode(self, frames: Sequence[StreamFrame]) -> list[EncodedFrame] | None:
        """Frames of the stream, encoded now where they are not; None where the device has no memory for them."""
        encoded: list[EncodedFrame] = []
        for frame in frames:
            if isinstance(frame, EncodedFrame):
                encoded.append(frame)
                continue
            with self._timer.stage("encode"):
                images = self._encoded([frame.prepared])
            if images is None:
                return None
            encoded.append(EncodedFrame.of(images[0], frame.index, frame.source_index))
        return encoded

    def _enter_stream(self, frames: Sequence[Frame | PreparedFrame | EncodedAhead]) -> list[StreamFrame] | None:
        """The next frames with their indices in the stream; None where the device has no memory to encode them.

        Once there is an initial map, and where only keyframes go through the networks, frames stay unencoded until a
        window needs them (`_window_of`), except those that another thread has encoded ahead.
        """
        is_on_demand = self._encodes_on_demand and self._schedule is not None
        encoded_now = [frame for frame in frames if not is_on_demand or isinstance(frame, EncodedAhead)]
        with self._timer.stage("encode", len(frames)):
            encoded = self._encoded(encoded_now)
        source_indices = [self._count_image(number_of(frame)) for frame in frames]
        if encoded is None:
            return None
        stream_frames: list[StreamFrame] = []
        images = iter(encoded)
        for frame, source_index in zip(frames, source_indices, strict=True):
            index = self._frame_count + len(stream_frames)
            if isinstance(frame, EncodedAhead) or len(encoded_now) == len(frames):
                stream_frames.append(EncodedFrame.of(next(images), index, source_index))
            else:
                stream_frames.append(self.encoder.unencoded(frame, index, source_index))
        self._frame_count += len(frames)
        self._status.processed += len(frames)
        return stream_frames

    def _encoded(self, frames: Sequence[Frame | PreparedFrame | EncodedAhead]) -> list[EncodedImage] | None:
        """The frames' encoded images, all at once as far as the device's memory allows; None where it does not."""
        return self._guard.run(
            lambda: [each for batch in self._guard.batches(frames) for each in self.encoder.encode(batch)],
            len(frames),
            self._mapping.shrink_buffer,
        )

    def _count_image(self, number: int | None) -> int:
        """Index of the next image, by its number if it has one, in the camera's stream."""
        index, self._status.images_per_frame = self._images.count(number, self._status.images_per_frame)
        return index

    def _emit(self, events: Iterable[Update]) -> list[Update]:
        """The events, each given to `on_update` as soon as it is made."""
        emitted = []
        for event in events:
            if self.on_update is not None:
                self.on_update(event)
            emitted.append(event)
        return emitted
