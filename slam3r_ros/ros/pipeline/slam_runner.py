"""What the worker thread does: an image in, what it changed out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2

from slam3r_ros.engine.events import Update
from slam3r_ros.engine.slam import Slam
from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.io.save import SavedMap, save_map
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.input.frame_builder import ReadyFrame
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.pipeline.counters import Counters
from slam3r_ros.ros.pipeline.throttled_log import ThrottledLog
from slam3r_ros.types import SlamStatus, State

_FAILURES = (RuntimeError, ValueError, cv2.error)
"""Of torch, NumPy, OpenCV, rclpy and the engine itself."""


@dataclass(frozen=True, slots=True)
class SlamRunnerEvents:
    """What Mapping asks and tells the node, from the worker thread."""

    now_ns: Callable[[], int]
    """The node's clock."""
    state_changed: Callable[[], None]


class PublishingError(Exception):
    """A message could not be published."""


class SlamRunner:
    """Frames to the engine, MapUpdates to messages. Used by one thread at a time."""

    def __init__(
        self, slam: Slam, outputs: Outputs, notices: ThrottledLog, events: SlamRunnerEvents, counters: Counters
    ) -> None:
        self._slam = slam
        slam.on_update = self._publish
        self._outputs = outputs
        self._notices = notices
        self._events = events
        self._state = State.WAITING_FOR_IMAGES
        self._told_failures = self._told_warnings = self._told_loops = 0
        self._newest_stamp_ns = 0
        self._epoch = 0
        self._flushed = True
        self._clock = StageTimer()
        self._counters = counters

    def process(self, frames: Sequence[ReadyFrame]) -> None:
        """Take frames, oldest first, all the way; those that wait together are one batch, which is quicker."""
        batch: list[ReadyFrame] = []
        for frame in frames:
            if frame.epoch != self._epoch:
                self._epoch = frame.epoch
                self._push(batch)
                batch = []
                self.reset("time jumped back")
            batch.append(frame)
        self._push(batch)

    def _push(self, batch: Sequence[ReadyFrame]) -> None:
        if not batch:
            return
        try:
            self._slam.push(*(each.frame for each in batch))
        except _FAILURES as error:
            self._counters.add_rejected(len(batch))
            self._notices.error("engine", f"image refused by the engine: {type(error).__name__}: {error}")
            return
        for _ in batch:
            self._counters.processed.tick()
        self._newest_stamp_ns = batch[-1].stamp_ns
        self._flushed = False
        self._publish_whole()

    def _publish(self, update: Update) -> None:
        """Publish an event of the engine, as soon as it is made."""
        try:
            with self._clock.stage("publish"):
                gives_pose = self._outputs.publish(update)
        except _FAILURES as error:  # not the engine's
            raise PublishingError(f"{type(error).__name__}: {error}") from error
        if gives_pose and not isinstance(update, MapCorrection):
            self._counters.note_latency((self._events.now_ns() - update.header.stamp_ns) * 1e-6)

    @property
    def has_pending(self) -> bool:
        """Whether there is something that `finish_pending` may publish."""
        return self._slam.has_pending

    def finish_pending(self) -> None:
        """No image waits: what is still to be told of those before, if it is there by now."""
        try:
            self._slam.finish_pending(wait=False)
        except _FAILURES as error:
            self._notices.error("engine", f"a keyframe's points are lost: {type(error).__name__}: {error}")

    def idle(self) -> None:
        """What is still to be published, when no image came for a moment."""
        self._outputs.publish_due(self._slam)

    def flush(self) -> None:
        """The stream ended or pauses: answer the frames that wait for later ones."""
        if self._flushed:
            return
        self._flushed = True
        try:
            self._slam.flush()
        except _FAILURES as error:
            self._notices.error("engine", f"the last frames are lost: {type(error).__name__}: {error}")
        self._publish_whole()

    def reset(self, reason: str) -> None:
        """Forget the map and start again with the next image."""
        self._slam.reset(reason)
        self._told_loops = 0
        self._outputs.restart(self._slam)
        self._flushed = True
        self._tell_state()

    def save(self, path: str) -> SavedMap:
        """Write map and trajectory, of all frames taken; raises OutputError when they cannot be written."""
        self.flush()
        return self.save_as_it_is(path)

    def save_as_it_is(self, path: str) -> SavedMap:
        """The same without the frames that wait for later ones, and without the engine."""
        return save_map(self._slam, path, self._outputs.scale.metres_per_unit)

    def set_scale(self, metres_per_unit: float) -> None:
        """Publish and save in metres; raises SettingError naming a value that cannot be a scale."""
        self._outputs.set_scale(metres_per_unit, self._slam)

    def status(self) -> SlamStatus:
        """The engine's state and counters; safe from any thread."""
        return self._slam.status()

    @property
    def newest_stamp_ns(self) -> int:
        """Stamp of the newest image processed; 0 before the first."""
        return self._newest_stamp_ns

    def stage_ms(self) -> dict[str, float]:
        """Milliseconds of every stage, the engine's and those around it; safe from any thread."""
        return self._slam.status().stage_ms | self._clock.average_ms()

    def _publish_whole(self) -> None:
        """What is published of the whole map, where it has changed, and the state."""
        with self._clock.stage("publish"):
            if (closed := self._slam.status().loops_closed) != self._told_loops:  # at the end without an update
                self._told_loops = closed
                self._outputs.renew(self._slam)
            self._outputs.publish_due(self._slam)
        self._tell_state()

    def _tell_state(self) -> None:
        """Log and publish what changed in the engine's state."""
        status = self._slam.status()
        if status.initialisations_failed > self._told_failures:
            self._notices.warn("initialisation", status.reason)
        self._told_failures = status.initialisations_failed
        for text in status.warnings[self._told_warnings :]:
            self._notices.warn("memory", text)
        self._told_warnings = len(status.warnings)
        if status.state is self._state:
            return
        if status.state is State.LOST:
            self._notices.warn("lost", f"lost: {status.reason}")
        elif status.state is State.TRACKING:
            self._notices.note("tracking", f"tracking: {status.reason}")
        self._state = status.state
        self._events.state_changed()
