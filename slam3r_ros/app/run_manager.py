"""Which runs are worked on, and which wait: at most so many at once, the others in the order in which they came."""

from __future__ import annotations

import threading
import time

from slam3r_ros.app.limits import AppTuning
from slam3r_ros.app.map_process import answer_runs
from slam3r_ros.app.messages import MAP_FILE_NAME, RunOutcome, RunProgress, StopRequest
from slam3r_ros.app.runs import Run
from slam3r_ros.viewer.child_process import ChildProcess, ProcessEndedError

_WAIT_S = 0.1
"""Seconds for which a thread waits for a message before it looks whether the run is to stop."""


class RunManager:
    """Runs maps in processes of their own, ``most_runs`` at once. Safe from any thread; `close` it."""

    def __init__(self, most_runs: int = 1, tuning: AppTuning | None = None) -> None:
        self._tuning = tuning or AppTuning()
        self._queue: list[Run] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self._processes = [ChildProcess(f"slam3r_map_{number}", answer_runs) for number in range(most_runs)]
        self._threads = [
            threading.Thread(target=self._work, args=(process,), name=f"slam3r_run_{number}", daemon=True)
            for number, process in enumerate(self._processes)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def process_ids(self) -> tuple[int | None, ...]:
        """Numbers of the processes that map; None for one that does not run."""
        return tuple(process.pid for process in self._processes)

    def submit(self, run: Run) -> None:
        """Put a run into the queue, whose head begins as soon as a process is free."""
        with self._changed:
            self._queue.append(run)
            self._number_queue()
            self._changed.notify()

    def stop(self, run: Run) -> None:
        """Stop a run and keep what it has mapped; one that waits is taken out of the queue. Does not wait for it."""
        with self._changed:
            run.stop()
            if run in self._queue:
                self._queue.remove(run)
                self._number_queue()
                run.end(RunOutcome("taken out of the queue before it began", is_mapped=False))

    def close(self) -> None:
        """Stop everything at once; what runs is lost."""
        with self._changed:
            self._is_closed = True
            waiting, self._queue = self._queue, []
            self._changed.notify_all()
        for run in waiting:
            run.end(RunOutcome("the app is closed", is_mapped=False))
        for process in self._processes:
            process.close()
        for thread in self._threads:
            thread.join(self._tuning.stop_s)

    def _number_queue(self) -> None:
        for place, run in enumerate(self._queue, 1):
            run.wait_at(place)

    def _next(self) -> Run | None:
        """Wait for a run; None where the manager is closed."""
        with self._changed:
            while not self._queue and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return None
            run = self._queue.pop(0)
            self._number_queue()
            run.begin()
            return run

    def _work(self, process: ChildProcess) -> None:
        """What each thread does: one run after the other in its process."""
        while (run := self._next()) is not None:
            try:
                outcome = self._worked_on(run, process)
            except ProcessEndedError as error:
                process.kill()
                outcome = _broken_off(run, str(error))
            run.end(outcome)

    def _worked_on(self, run: Run, process: ChildProcess) -> RunOutcome:
        """Hand a run to the process, and pass on what it says until it is done. Raises ProcessEndedError."""
        process.send(run.request)
        stop_sent_s: float | None = None
        while True:
            if run.stop_asked.is_set() and stop_sent_s is None:
                process.send(StopRequest())
                stop_sent_s = time.monotonic()
            message = process.receive(_WAIT_S)
            if isinstance(message, RunProgress):
                run.go_on(message)
            elif isinstance(message, RunOutcome):
                return message
            elif stop_sent_s is not None and time.monotonic() - stop_sent_s > self._tuning.stop_s:
                process.kill()
                return _broken_off(run, f"it did not stop within {self._tuning.stop_s:.0f} s")


def _broken_off(run: Run, reason: str) -> RunOutcome:
    """The outcome of a run whose process has ended; the map file has what was mapped until then."""
    has_map = (run.request.folder / MAP_FILE_NAME).is_file()
    kept = "; what was mapped until then is kept" if has_map else ""
    return RunOutcome(f"the run broke off: {reason}{kept}", is_mapped=has_map)
