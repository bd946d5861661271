"""What the worker thread does: an image in, what it changed out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slam3r_ros.engine.slam import Slam
from slam3r_ros.engine.stage_clock import StageClock
from slam3r_ros.engine.types import Frame, MapUpdate, SlamStatus, State
from slam3r_ros.io.save import SavedMap, save_map
from slam3r_ros.ros.counters import Counters
from slam3r_ros.ros.frames import FrameMaker
from slam3r_ros.ros.newest_images import Arrival
from slam3r_ros.ros.notices import Notices
from slam3r_ros.ros.outputs import Outputs


@dataclass(frozen=True, slots=True)
class MappingEvents:
    """What Mapping asks and tells the node, from the worker thread."""

    now_ns: Callable[[], int]
    """The node's clock."""
    state_changed: Callable[[], None]


class Mapping:
    """Message to Frame, push, MapUpdate to messages. Used by one thread at a time."""

    def __init__(
        self, slam: Slam, frames: FrameMaker, outputs: Outputs, notices: Notices, events: MappingEvents
    ) -> None:
        self._slam = slam
        self._frames = frames
        self._outputs = outputs
        self._notices = notices
        self._events = events
        self._state = State.WAITING_FOR_IMAGES
        self._told_failures = 0
        self._newest: Frame | None = None
        self._flushed = True
        self._clock = StageClock()
        self.counters = Counters()

    def process(self, arrivals: Sequence[Arrival]) -> None:
        """Take images, oldest first, all the way; those that wait together are one batch, which is quicker.

        An image that cannot be used is told of, counted and left.
        """
        batch: list[Frame] = []
        for arrival in arrivals:
            with self._clock.stage("decode"):
                frame = self._frames.make(arrival)
            if frame is None:
                self.counters.rejected += 1
                continue
            if self._frames.starts_anew:
                self._push(batch)
                batch = []
                self.reset("time jumped back")
            batch.append(frame)
        self._push(batch)

    def _push(self, batch: Sequence[Frame]) -> None:
        if not batch:
            return
        try:
            updates = self._slam.push(*batch)
        except (RuntimeError, ValueError) as error:  # torch, NumPy, OpenCV and the engine's own InputError
            self.counters.rejected += len(batch)
            self._notices.error("engine", f"image refused by the engine: {type(error).__name__}: {error}")
            return
        for _ in batch:
            self.counters.processed.tick()
        self._newest, self._flushed = batch[-1], False
        self._publish(updates)
        if updates:
            self.counters.note_latency((self._events.now_ns() - updates[-1].stamp_ns) * 1e-6)

    def idle(self) -> None:
        """What is still to be published, when no image came for a moment."""
        self._outputs.publish_due(self._slam)

    def flush(self) -> None:
        """The stream ended or pauses: answer the frames that wait for later ones."""
        if not self._flushed:
            self._flushed = True
            self._publish(self._slam.flush())

    def reset(self, reason: str) -> None:
        """Forget the map and start again with the next image."""
        self._slam.reset(reason)
        self._outputs.restart(self._slam)
        self._flushed = True
        self._tell_state()

    def save(self, path: str) -> SavedMap:
        """Write map and trajectory; raises OutputError when they cannot be written."""
        self.flush()
        return save_map(self._slam, path)

    def status(self) -> SlamStatus:
        """The engine's state and counters; safe from any thread."""
        return self._slam.status()

    @property
    def newest_stamp_ns(self) -> int:
        """Stamp of the newest image processed; 0 before the first."""
        return 0 if self._newest is None else self._newest.stamp_ns

    def stage_ms(self) -> dict[str, float]:
        """Milliseconds of every stage, the engine's and those around it; safe from any thread."""
        return self._slam.status().stage_ms | self._clock.average_ms()

    def _publish(self, updates: list[MapUpdate]) -> None:
        assert self._newest is not None
        with self._clock.stage("publish"):
            for update in updates:
                self._outputs.publish(update, self._newest, self._frames.camera_frame)
            self._outputs.publish_due(self._slam)
        self._tell_state()

    def _tell_state(self) -> None:
        """Log and publish what changed in the engine's state."""
        status = self._slam.status()
        if status.initialisations_failed > self._told_failures:
            self._notices.warn("initialisation", status.reason)
        self._told_failures = status.initialisations_failed
        if status.state is self._state:
            return
        if status.state is State.LOST:
            self._notices.warn("lost", f"lost: {status.reason}")
        elif status.state is State.TRACKING:
            self._notices.note("tracking", f"tracking: {status.reason}")
        self._state = status.state
        self._events.state_changed()
