"""What the mapping thread runs: frames into the engine, and what they changed out to the topics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from slam3r_ros.engine.events import MappedPlace, Update
from slam3r_ros.engine.failures import ENGINE_FAILURES
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam import Slam
from slam3r_ros.engine.slam_status import SlamStatus
from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.geometry.se3 import invert_rigid
from slam3r_ros.io.map_axes import T_map_world
from slam3r_ros.io.save import SavedMap, save_map
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.place_search import PlaceHint
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.ros.input.frame_builder import ReadyFrame
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.pipeline.map_recording import MapChange, MapRecording
from slam3r_ros.ros.threads.counters import Counters
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.types import ImageHeader, MapUpdate, State

FAILURES = ENGINE_FAILURES
"""Exceptions by which torch, NumPy, OpenCV, rclpy and the engine itself say that a frame cannot be processed."""


@dataclass(frozen=True, slots=True)
class NodeCallbacks:
    """What the runner needs of the node; it calls them in the mapping thread."""

    now_ns: Callable[[], int]
    """Returns the time of the node's clock, integer nanoseconds."""
    on_state_change: Callable[[], None]
    """Called when the engine's state has changed."""
    before_jump: Callable[[Callable[[str], SavedMap]], None] = lambda _: None
    """Called with what saves the map, before a jump of time ends it."""


class PublishingError(Exception):
    """A message could not be published."""


class EngineRunner:
    """Publishes the engine's events and its state, and does what services ask of it. Used by one thread at a time."""

    def __init__(
        self,
        slam: Slam,
        outputs: Outputs,
        log: ThrottledLog,
        callbacks: NodeCallbacks,
        counters: Counters,
        recording: MapRecording | None = None,
    ) -> None:
        """``recording`` is what writes the map file; None where none is written."""
        self._slam = slam
        self._recording = recording or MapRecording("", MapFacts(), log)
        slam.on_update = self._on_update
        self._outputs = outputs
        self._log = log
        self._callbacks = callbacks
        self._counters = counters
        self._timer = StageTimer()
        self._newest_stamp_ns = 0
        self._epoch = 0  # of the frames that the present map is made of
        self._is_flushed = True
        # What has been logged or published of the engine's status:
        self._reported_state = State.WAITING_FOR_IMAGES
        self._reported_failures = self._reported_warnings = 0

    # ---- events --------------------------------------------------------------------------------------------------

    def _on_update(self, update: Update) -> None:
        """Publish an event of the engine, and write it into the map file, as soon as the engine emits it."""
        self._recording.write(update)
        if not self._slam.is_localized:
            return  # its poses are in a world that nobody knows
        if isinstance(update, MapUpdate):
            self._counters.registered.tick()
        with self._publishing():
            is_first_pose = self._outputs.publish(update)
        if is_first_pose and not isinstance(update, MapCorrection | KeyframeView | MappedPlace):
            self._record_latency(update.header)

    @contextmanager
    def _publishing(self) -> Iterator[None]:
        """Measure the body, which publishes. Raises PublishingError where it fails, since that is no failure of the
        engine, in which it is called."""
        try:
            with self._timer.stage("publish"):
                yield
        except FAILURES as error:
            raise PublishingError(f"{type(error).__name__}: {error}") from error

    def _record_latency(self, image: ImageHeader) -> None:
        self._counters.record_latency((self._callbacks.now_ns() - image.stamp_ns) * 1e-6)

    @property
    def has_pending(self) -> bool:
        """Whether the engine refines a keyframe's points in the background, which `finish_pending` may publish."""
        return self._slam.has_pending

    def finish_pending(self) -> None:
        """Publish the refined points of the last keyframe, if they are ready; it does not wait for them."""
        try:
            self._slam.finish_pending(wait=False)
        except FAILURES as error:
            self._log.error("engine", f"a keyframe's points are lost: {type(error).__name__}: {error}")

    def flush(self) -> None:
        """Map the frames that wait for later ones, since the stream has ended or pauses."""
        if self._is_flushed:
            return
        self._is_flushed = True
        try:
            self._slam.flush()
        except FAILURES as error:
            self._log.error("engine", f"the last frames are lost: {type(error).__name__}: {error}")
        self._publish_map_and_state()

    # ---- requests ------------------------------------------------------------------------------------------------

    def end_map(self, reason: str) -> None:
        """Start a new map because time has jumped; the present one is saved first where a path is known."""
        self._callbacks.before_jump(self.save)
        self.reset(reason)

    def reset(self, reason: str) -> None:
        """Forget the map and start a new one with the next image."""
        self._slam.reset(reason)
        self._publish_other_map(self._recording.start_anew(self._slam))

    def read_map(self, path: str, *, only_localizes: bool) -> MapChange:
        """Read a map file, for `change_map`; nothing else changes. Raises MapFileError and OutputError."""
        self.flush()
        return self._recording.read(self._slam, path, only_localizes=only_localizes)

    def change_map(self, change: MapChange) -> None:
        """Go on in a map file that was read; the present map is saved first where a path is known."""
        self.flush()
        self._callbacks.before_jump(self.save_without_flush)
        self._publish_other_map(self._recording.change_to(self._slam, change))

    def localize_near(self, position_map: tuple[float, float], radius: float) -> int:
        """Look for the camera near a position on the loaded map first, x and y in published lengths; ``radius`` 0 is as
        far as the camera sees. Returns how many places are near; raises ValueError where it is not looked for."""
        if not self._recording.has_loaded_map:
            raise ValueError("no map is loaded: the parameter map_file and ~/load_map name one")
        unit = self._outputs.scale.unit
        T_world_map = invert_rigid(T_map_world)
        position = T_world_map[:3, :2] @ np.array(position_map) / unit
        return self._slam.hint_place(PlaceHint(position, T_world_map[:3, 2], radius / unit))

    def _publish_other_map(self, scale: StoredScale) -> None:
        """Publish the map that the engine has begun with, which is empty or loaded."""
        self._outputs.reset(self._slam, scale.metres_per_unit)
        self._is_flushed = True
        self._report_state()

    def save(self, path: str) -> SavedMap:
        """Write map and trajectory of all frames received; raises OutputError if they cannot be written."""
        self.flush()
        return self.save_without_flush(path)

    def save_without_flush(self, path: str) -> SavedMap:
        """Write map and trajectory without the frames that wait for later ones, and without running the engine.

        A map file that is being written is copied beside them. Raises OutputError if they cannot be written.
        """
        self._note_scale()
        map_file_path = self._recording.save_beside(path)
        saved = save_map(self._slam, path, self._outputs.scale.metres_per_unit)
        return saved if map_file_path is None else replace(saved, map_file_path=map_file_path)

    def set_scale(self, metres_per_unit: float) -> None:
        """Publish and save in metres; raises SettingError naming a value that cannot be a scale."""
        self._outputs.set_scale(metres_per_unit, self._slam)
        self._note_scale()

    def change_settings(self, settings: NodeSettings) -> None:
        """Use other values of those parameters that may change at any time; those of the engine are resolved."""
        self._slam.change_settings(settings.slam)
        self._outputs.change_settings(settings, self._slam)
        self._note_scale()

    def _note_scale(self) -> None:
        """Write the scale into the map file, where it has changed."""
        scale, estimation = self._outputs.scale, self._outputs.scale_estimation
        if not scale.metres_per_unit:
            self._recording.note_scale(StoredScale())
        elif scale.is_set_by_user or estimation.estimate is None:
            self._recording.note_scale(StoredScale(scale.metres_per_unit, "known"))
        else:
            stored = StoredScale(scale.metres_per_unit, estimation.source, estimation.estimate.sigma)
            self._recording.note_scale(stored)

    # ---- state ---------------------------------------------------------------------------------------------------

    def status(self) -> SlamStatus:
        """Return the engine's state and counters; safe from any thread."""
        return self._slam.status()

    @property
    def newest_stamp_ns(self) -> int:
        """Stamp of the newest image that was processed, integer nanoseconds; 0 before the first."""
        return self._newest_stamp_ns

    def stage_ms(self) -> dict[str, float]:
        """Return mean milliseconds of every stage, the engine's and `publish`; safe from any thread."""
        return self._slam.status().stage_ms | self._timer.average_ms()

    @property
    def mapping_load(self) -> str:
        """Whether mapping keeps up with the keyframes, in one sentence; empty where tracking waits for mapping."""
        return ""

    def publish_due(self) -> None:
        """Publish path, keyframes and map where they are due."""
        self._outputs.publish_due(self._slam)

    def _publish_map_and_state(self) -> None:
        """Publish what has changed of the whole map, and the state."""
        with self._timer.stage("publish"):
            self._outputs.publish_due(self._slam)
        self._note_scale()
        if self._slam.is_localized:
            self._recording.note_voxel_size(self._slam.status().voxel_size)
        self._report_state()

    def _report_state(self) -> None:
        """Log and publish what has changed in the engine's status."""
        status = self._slam.status()
        if status.initialisations_failed > self._reported_failures:
            self._log.warn("initialisation", status.reason)
        self._reported_failures = status.initialisations_failed
        for text in status.warnings[self._reported_warnings :]:
            self._log.warn("memory", text)
        self._reported_warnings = len(status.warnings)
        if status.state is self._reported_state:
            return
        if status.state is State.LOST:
            self._log.warn("lost", f"lost: {status.reason}")
        elif status.state is State.TRACKING:
            self._log.info_throttled("tracking", f"tracking: {status.reason}")
        self._reported_state = status.state
        self._callbacks.on_state_change()


class SlamRunner(EngineRunner):
    """Pushes every frame into the engine, on the mapping thread: for engines that give no pose without networks."""

    def process(self, frames: Sequence[ReadyFrame]) -> None:
        """Map frames, oldest first, and publish what they changed.

        Those that wait together are one batch, which takes less time for each. A new epoch starts a new map.
        """
        batch: list[ReadyFrame] = []
        for frame in frames:
            if frame.epoch != self._epoch:
                self._epoch = frame.epoch
                self._push(batch)
                batch = []
                self.end_map("time jumped back")
            batch.append(frame)
        self._push(batch)

    def _push(self, batch: Sequence[ReadyFrame]) -> None:
        if not batch:
            return
        try:
            self._slam.push(*(each.frame for each in batch))
        except FAILURES as error:
            self._counters.add_rejected(len(batch))
            self._log.error("engine", f"image refused by the engine: {type(error).__name__}: {error}")
            return
        for _ in batch:
            self._counters.processed.tick()
        self._newest_stamp_ns = batch[-1].stamp_ns
        self._is_flushed = False
        self._publish_map_and_state()
