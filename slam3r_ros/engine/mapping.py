"""The mapping loop: keyframes become part of the map, in the steps of the SLAM3R paper.

Window -> local pointmap (I2P) -> scene frames (retrieval) -> world pointmap (L2W) -> camera pose -> refinement by
visual odometry -> keyframe buffer -> point map. Loops are closed between two keyframes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from slam3r_ros.device.memory_guard import MemoryGuard
from slam3r_ros.engine.dense_depth_stage import DenseDepthStage, DenseView
from slam3r_ros.engine.events import MappedPlace, Update
from slam3r_ros.engine.image_to_points_stage import ImageToPointsStage
from slam3r_ros.engine.initial_map import InitialMap, with_scaled_confidence
from slam3r_ros.engine.keyframe_buffer import KeyframeBuffer
from slam3r_ros.engine.keyframe_refinement import KeyframeRefinement
from slam3r_ros.engine.keyframe_view import KeyframeViews
from slam3r_ros.engine.loaded_map import LoadedMap
from slam3r_ros.engine.local_to_world_stage import LocalToWorldStage, registered_frames
from slam3r_ros.engine.localization import Localization
from slam3r_ros.engine.map_state import MapState
from slam3r_ros.engine.retrieval import RetrievalResult
from slam3r_ros.engine.scene_frame_selector import SceneFrameSelector
from slam3r_ros.engine.slam_status import SlamStatus
from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.engine.tracking import KeyframeRequest
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.place_search import PlaceHint
from slam3r_ros.loop_closure.scale_edges import ScaleObservation
from slam3r_ros.odometry.frame_tracker import FrameTracker
from slam3r_ros.odometry.odometry_stage import RefinedFrame, TrackingState
from slam3r_ros.settings import KeyframeSettings, RegisterSettings, SlamSettings
from slam3r_ros.types import (
    KeyframeRecord,
    LocalPointmap,
    MapUpdate,
    RegisteredFrame,
    Registration,
    State,
)


@dataclass(frozen=True, slots=True)
class MappingParts:
    """The stages that mapping runs, in the order of the paper, and the state of the map, which it changes."""

    image_to_points: ImageToPointsStage
    scene_frames: SceneFrameSelector
    local_to_world: LocalToWorldStage
    localization: Localization
    refinement: KeyframeRefinement
    map_state: MapState
    keyframe_views: KeyframeViews
    dense_depth: DenseDepthStage | None
    """None where there is no dense depth."""


class Mapping:
    """Registers keyframes and keeps what follows from them: the keyframe buffer and the state of the map.

    Used by one thread. It takes `KeyframeRequest`s and yields events; nothing else passes between it and the tracking
    loop, except that visual odometry publishes a new local map for tracking after every keyframe. The map state is
    owned by `Slam`; this loop alone adds points to it and corrects it.
    """

    def __init__(
        self,
        parts: MappingParts,
        settings: RegisterSettings,
        keyframes: KeyframeSettings,
        guard: MemoryGuard,
        timer: StageTimer,
        status: SlamStatus,
    ) -> None:
        self._image_to_points, self._scene_frames = parts.image_to_points, parts.scene_frames
        self._local_to_world, self._localization = parts.local_to_world, parts.localization
        self._refinement, self._map_state, self._views = parts.refinement, parts.map_state, parts.keyframe_views
        self._dense_depth = parts.dense_depth
        self._refines_in_background = settings.only_keyframes and parts.refinement.is_on
        self._keyframe_settings = keyframes
        self._guard, self._timer, self._status = guard, timer, status
        self._buffer: KeyframeBuffer | None = None
        self._accepts_corrections = True
        self._is_joined = True  # whether this session is in the world of the loaded map, if there is one
        self._initial: list[RegisteredFrame] = []
        self._requested_correction: MapCorrection | None = None
        self._stride = 0  # of the initial map's window, images of the camera
        self._bootstrap: list[RegisteredFrame] = []  # registered, between the initial frames
        self._pending: list[RefinedFrame] = []  # registered, with a pose; their points are still being refined
        self.waits_for_loops = True
        """Whether a keyframe waits for the search for loops that the one before has begun. Without it, places that come
        during a search are passed over, and results depend on how fast the search is."""
        self.waits_for_dense_depth = True
        """Whether a keyframe waits for the dense depth that the one before has brought, so that results depend on the
        frames alone; else dense depth is left out where the machine does not keep up."""
        self.is_behind: Callable[[], bool] = lambda: False
        """Whether keyframes come faster than they are mapped: then no dense depth is begun, unless it is waited for."""

    def check_can_begin_from(self, loaded: LoadedMap) -> None:
        """Raises ValueError, which says why, where mapping cannot begin with a map of an earlier session."""
        self._refinement.check_can_begin_from(loaded)

    def begin_from(self, loaded: LoadedMap) -> None:
        """Begin with a map of an earlier session; raises ValueError where that cannot be."""
        self._refinement.begin_from(loaded)
        self._map_state.begin_from(loaded)
        self._views.begin_from(loaded.next_view)
        self._is_joined, self._accepts_corrections = False, loaded.extends

    def change_settings(self, settings: SlamSettings) -> None:
        """Use other values of those settings that may change at any time from the next keyframe on."""
        self._localization.change_settings(settings.pose)
        self._views.least_confidence = settings.map.point_confidence
        self._map_state.change_settings(settings.map)
        self._note_map()

    # ---- the loop ----------------------------------------------------------------------------------------------

    def map(self, request: KeyframeRequest) -> Iterator[Update]:
        """Register the frames of a request; the events that follow, of the keyframe before it first."""
        yield from self.finish_pending()
        yield from self.close_loop(wait=self.waits_for_loops)
        count = len(request.windows)
        registered = self._guard.run(lambda: self._register(request), count, self.shrink_buffer)
        if registered is None:
            self.leave_out(count)
        elif request.is_bootstrap:
            self._bootstrap += registered
        else:
            yield from self._localize_and_refine(registered)

    def _register(self, request: KeyframeRequest) -> list[RegisteredFrame]:
        """I2P, retrieval and L2W, with all frames of the request at once where the device's memory allows."""
        buffer, registered = self._known_buffer, list[RegisteredFrame]()
        # Points that a closed loop has moved; inside the out-of-memory guard, since this needs memory on the device.
        buffer.apply_corrections()
        for windows in self._guard.batches(request.windows):
            with self._timer.stage("i2p", len(windows)):
                local_pointmaps = self._image_to_points.estimate(windows)
            with self._timer.stage("retrieval", len(windows)):
                retrieved = self._scene_frames.choose(local_pointmaps, buffer, takes_all=request.is_bootstrap)
            with self._timer.stage("l2w", len(windows)):
                registered += self._world_pointmaps(local_pointmaps, retrieved)
        return registered

    def _world_pointmaps(
        self, local_pointmaps: Sequence[LocalPointmap], retrieved: RetrievalResult
    ) -> list[RegisteredFrame]:
        """World pointmaps of frames that are registered together: one call of L2W."""
        buffer = self._known_buffer
        scene = [buffer[position] for position in retrieved.chosen]
        result = self._local_to_world.register(local_pointmaps, scene, buffer.scene(retrieved.chosen))
        registration = Registration(
            registered=tuple(local.frame.index for local in local_pointmaps),
            scene_frames=tuple(keyframe.index for keyframe in scene),
            candidates=buffer.indices,
            candidate_scores=retrieved.scores,
        )
        return registered_frames(local_pointmaps, result, registration)

    def _localize_and_refine(self, registered: Sequence[RegisteredFrame]) -> Iterator[Update]:
        """Give registered frames their poses and refined points. Where only keyframes are registered, a keyframe's
        points are refined in the background while the next frames are tracked, and no event is yielded yet."""
        if self._refines_in_background:
            self._pending = [self._localize(frame) for frame in registered]
            return
        for frame in registered:
            refined = self._localize(frame)
            self._pending.append(RefinedFrame(self._refinement.finish(refined), refined.tracked))
        yield from self.finish_pending()

    def _localize(self, registered: RegisteredFrame) -> RefinedFrame:
        """The frame with its camera pose: by its world points, refined by visual odometry."""
        with self._timer.stage("pose"):
            focal_px = self._refinement.focal_px(registered.local.frame)
            localized, reason = self._localization.localize(registered, focal_px)
        refined = self._refinement.refine(localized)
        self._status.registered += 1
        self._record_pose(refined.frame, reason)
        return refined

    def finish_pending(self, *, wait: bool = True) -> Iterator[Update]:
        """Take the frames registered last into the keyframe buffer and the map. With ``wait`` this waits until their
        points are refined; without it nothing is done until then. The last of the frames' updates has the keyframes
        that entered the buffer.
        """
        if not self._pending or (self._refinement.is_refining and not wait):
            return
        pending, self._pending = self._pending, []
        finished = [self._refinement.finish(refined) for refined in pending]
        with self._timer.stage("keyframes", len(finished)):
            # The guard may run this again where memory is full; the frames must be proposed only the first time.
            proposals = iter([(finished, [not frame.is_excluded for frame in finished])])
            nothing = ((), ())
            propose = self._known_buffer.propose
            entered = self._guard.run(lambda: propose(*next(proposals, nothing)), 1, self.shrink_buffer) or []
            if entered:
                self._scene_frames.invalidate()  # positions in the buffer have changed
        records = [self._map_state.record(keyframe) for keyframe in entered]
        for frame in finished:
            yield from self._taken_in(frame, records if frame is finished[-1] else [])

    def close_loop(self, *, wait: bool = True) -> Iterator[MapCorrection | MappedPlace]:
        """Correct the map if the camera has come back to where it had been, and tell of the place that it was compared
        by. With ``wait`` this waits for the search; without it nothing is done until that has ended."""
        if not wait and self._refinement.is_searching:
            return
        correction = self._refinement.close_loop()
        self._guard.add_warning(self._refinement.failure)
        if correction is not None:
            self._status.loops_closed += len(correction.loops) > 0  # else it is of the scale alone
            self._requested_correction = None  # of the world as it was
        elif self._requested_correction is not None:
            correction, self._requested_correction = self._requested_correction, None
            self._refinement.correct(correction)
        if correction is not None:
            with self._timer.stage("loops"):
                self._map_state.correct(correction)
                self._known_buffer.correct(correction)
                if self._dense_depth is not None:
                    self._dense_depth.correct(correction)
                if not self._is_joined and self.is_localized:
                    self._is_joined = True
                    self._map_state.join()
            self._status.map_points = len(self._map_state.map)
            yield correction
        if (newest := self._refinement.newest_place) is not None:
            yield MappedPlace(*newest)

    def request_correction(self, correction: MapCorrection) -> None:
        """Correct the map by knowledge from outside when no keyframe is in work. A loop that is closed before has
        precedence, and the request is dropped: it was about the map as it had been. So is one in the world of a session
        that has not found its place in the loaded map, and any where that map is to stay as it is."""
        if self._accepts_corrections and self._is_joined:
            self._requested_correction = correction

    def observe_scale(self, observations: Sequence[ScaleObservation]) -> None:
        """Say how long a scene unit is, by another sensor."""
        self._refinement.observe_scale(observations)

    # ---- the initial map ---------------------------------------------------------------------------------------

    def begin(self, initial_map: InitialMap, stride: int) -> None:
        """Start with an initial map; may run out of memory, and then nothing has begun."""
        self._initial, self._stride = list(initial_map.keyframes), stride
        self._buffer = KeyframeBuffer(self._initial, stride, self._keyframe_settings, self._local_to_world)

    def finish_bootstrap(self) -> Iterator[Update]:
        """The events of the initial frames and those between them, in order.

        The confidence of the initial frames is I2P's, of another magnitude than L2W's. It is scaled by one factor, so
        that the highest mean confidence of an initial frame equals that of a frame between them.
        """
        initial, bootstrap = self._initial, self._bootstrap
        self._initial, self._bootstrap = [], []
        if bootstrap:
            factor = max(k.mean_confidence for k in bootstrap) / max(k.mean_confidence for k in initial)
            initial = [with_scaled_confidence(keyframe, factor) for keyframe in initial]
        for keyframe in initial:  # only the reference has points of its own; the others need the focal length it gives
            self._localization.learn_focal(keyframe)
        in_order = sorted([*initial, *bootstrap], key=lambda k: k.index)
        frames = [self._refinement.finish(self._localize(keyframe)) for keyframe in in_order]
        self._map_state.choose_voxel_size(frames)
        for frame in frames:
            yield from self._taken_in(frame, [] if frame.registration else [self._map_state.record(frame)])

    # ---- dense depth -------------------------------------------------------------------------------------------

    def take_dense_depth(self, *, wait: bool) -> Iterator[Update]:
        """The events of dense depth that is found; without ``wait`` none while it is being computed."""
        if self._dense_depth is not None:
            with self._timer.stage("dense"):
                answers = list(self._dense_depth.take(wait=wait, may_start=not self.is_behind()))
            yield from self._with_dense_points(answers)

    def flush_dense_depth(self) -> Iterator[Update]:
        """The events of the keyframes that have waited for later ones; these never come."""
        if self._dense_depth is not None:
            with self._timer.stage("dense"):
                answers = list(self._dense_depth.flush())
            yield from self._with_dense_points(answers)

    def _with_dense_points(self, answers: Iterable[DenseView]) -> Iterator[Update]:
        """The map takes the points of dense depth instead of those of the networks."""
        if self._dense_depth is not None:
            self._guard.add_warning(self._dense_depth.failure)
        for answer in answers:
            with self._timer.stage("map"):
                added = self._map_state.add_dense(answer)
            self._note_map()
            if answer.sigma is not None:
                yield replace(answer.view, added=added)

    # ---- what others ask ---------------------------------------------------------------------------------------

    @property
    def is_localized(self) -> bool:
        """Whether poses are in the world of the map that was loaded, if one was."""
        return self._refinement.is_localized

    def hint(self, hint: PlaceHint) -> int:
        """Say about where in the loaded map the camera is; returns how many places are near."""
        return self._refinement.hint(hint)

    @property
    def place_count(self) -> int:
        """Number of places that are remembered."""
        return self._refinement.place_count

    @property
    def has_pending(self) -> bool:
        """Whether there are registered frames whose `MapUpdate` is still to come."""
        return bool(self._pending)

    def tracking_state(self) -> TrackingState:
        """The tracks of the frame registered last, for a thread that tracks on from it."""
        return self._refinement.tracking_state()

    def resume(self, tracker: FrameTracker) -> None:
        """Take the tracks of the frame that is registered next, as another thread has followed them."""
        self._refinement.resume(tracker)

    def shrink_buffer(self) -> int:
        """Keep fewer keyframes; how many are left, 0 where none can be spared."""
        keyframes = 0 if self._buffer is None else self._buffer.shrink()
        if keyframes:
            self._scene_frames.invalidate()  # positions in the buffer have changed
        return keyframes

    def leave_out(self, frames: int) -> None:
        """Go on without frames that the device has no memory for."""
        self._status.lost_frames += frames
        self._status.state = State.LOST if self._buffer is not None else State.INITIALIZING
        self._status.reason = "the device's memory is full: a frame is left out"

    # ---- implementation ------------------------------------------------------------------------------------------

    @property
    def _known_buffer(self) -> KeyframeBuffer:
        assert self._buffer is not None
        return self._buffer

    def _record_pose(self, frame: RegisteredFrame, reason: str) -> None:
        """Put a frame's pose into status and trajectory; ``reason``: why L2W lost the frame, empty if it did not."""
        self._status.state, self._status.reason = frame.state, reason
        if frame.state is State.LOST:
            self._status.lost_frames += 1
            return
        assert frame.pose is not None
        fits = f"{frame.pose.inlier_fraction:.0%} of the points fit the pose"
        self._status.reason = f"visual odometry gives the pose where L2W does not: {reason}" if reason else fits
        self._map_state.add_pose(frame.index, frame.local.frame.stamp_ns, frame.pose)

    def _taken_in(self, frame: RegisteredFrame, records: Sequence[KeyframeRecord]) -> Iterator[Update]:
        """The events of a frame whose confident points are in the map from now on; its view, and the dense depth of
        earlier ones, which its own motion may have told."""
        yield self._added(frame, records)
        view = self._views.choose(frame, self._stride)
        if view is not None:
            yield view
        if self._dense_depth is None or frame.pose is None or frame.is_excluded or frame.state is State.LOST:
            return
        with self._timer.stage("dense"):
            camera = self._views.camera(frame)
            wait = self.waits_for_dense_depth
            may_start = wait or not self.is_behind()
            answers = list(self._dense_depth.add(frame, camera, view, wait=wait, may_start=may_start))
        yield from self._with_dense_points(answers)

    def _note_map(self) -> None:
        self._status.map_points = len(self._map_state.map)
        self._status.voxel_size = self._map_state.map.voxel_size

    def _added(self, frame: RegisteredFrame, records: Sequence[KeyframeRecord]) -> MapUpdate:
        """The event of a frame whose confident points are in the map from now on."""
        with self._timer.stage("map"):
            added = self._map_state.add(frame, is_provisional=self._dense_depth is not None)
        self._note_map()
        self._status.keyframes = len(self._known_buffer)
        encoded = frame.local.frame
        return MapUpdate(
            index=frame.index,
            header=encoded.header,
            image=encoded.image,
            state=frame.state,
            pose=frame.pose,
            pointmaps=frame.on_host,
            added=added,
            new_keyframes=tuple(records),
            registration=frame.registration,
            is_excluded=frame.is_excluded,
            is_provisional=self._dense_depth is not None,
        )
