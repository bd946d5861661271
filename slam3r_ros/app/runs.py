"""Runs: what was asked for, how far it is, and what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from slam3r_ros.app.messages import RunOutcome, RunProgress, RunRequest


class RunState(Enum):
    """How far a run is."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of the run."""
        return self in (RunState.DONE, RunState.FAILED)

    @property
    def is_at_work(self) -> bool:
        """Whether a process works on the run."""
        return self in (RunState.STARTING, RunState.RUNNING, RunState.STOPPING)


@dataclass(frozen=True, slots=True, eq=False)
class RunReport:
    """A run at one moment."""

    state: RunState
    place: int
    """Place in the queue, from 1; 0 for a run that does not wait."""
    progress: RunProgress | None
    """The newest progress, whose events were handed out before; None before the first."""
    outcome: RunOutcome | None
    """How it ended; None before."""

    @property
    def share(self) -> float:
        """How much is done, 0 to 1; 0 where that is not known."""
        if self.state is RunState.DONE:
            return 1.0
        if self.progress is None or not self.progress.total:
            return 0.0
        return min(self.progress.frames / self.progress.total, 1.0)

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        if self.outcome is not None:
            return self.outcome.sentence
        if self.state is RunState.QUEUED:
            return f"busy with another map: your run is number {self.place} in the queue"
        if self.progress is None:
            return "the networks are being loaded"
        if self.state is RunState.STOPPING:
            return "stopping: what is mapped is kept"
        if self.progress.is_finishing:
            return f"all {self.progress.frames} images are in; the depth of the last keyframes is being computed"
        total = f" of {self.progress.total}" if self.progress.total else ""
        return f"image {self.progress.frames}{total}, {self.progress.frames_per_second:.1f} a second"


class Run:
    """A run, as whoever asked for it sees it. Safe from any thread."""

    def __init__(
        self,
        request: RunRequest,
        on_progress: Callable[[RunProgress], None],
        on_end: Callable[[RunOutcome], None] = lambda _: None,
    ) -> None:
        """``on_progress`` is called with every message about the run and ``on_end`` once, on a thread of the run
        manager."""
        self.request = request
        self._on_progress, self._on_end = on_progress, on_end
        self.ended = threading.Event()
        """Set once the run is over."""
        self.stop_asked = threading.Event()
        """Set once somebody wants it to stop."""
        self._lock = threading.Lock()
        self._state, self._place = RunState.QUEUED, 0
        self._progress: RunProgress | None = None
        self._outcome: RunOutcome | None = None

    def report(self) -> RunReport:
        """The run as it is now."""
        with self._lock:
            return RunReport(self._state, self._place, self._progress, self._outcome)

    def wait_at(self, place: int) -> None:
        """It waits, at this place of the queue."""
        with self._lock:
            self._place = place

    def begin(self) -> None:
        """A process begins to work on it."""
        with self._lock:
            self._state, self._place = RunState.STARTING, 0

    def go_on(self, progress: RunProgress) -> None:
        """It has come so far."""
        with self._lock:
            self._progress = progress
            self._state = RunState.STOPPING if self.stop_asked.is_set() else RunState.RUNNING
        self._on_progress(progress)

    def stop(self) -> None:
        """It is to stop; what is mapped is kept."""
        with self._lock:
            self.stop_asked.set()
            if self._state.is_at_work:
                self._state = RunState.STOPPING

    def end(self, outcome: RunOutcome) -> None:
        """It is over."""
        with self._lock:
            self._outcome, self._place = outcome, 0
            self._state = RunState.DONE if outcome.is_mapped else RunState.FAILED
        self._on_end(outcome)
        self.ended.set()
