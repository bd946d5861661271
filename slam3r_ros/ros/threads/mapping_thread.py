"""The thread that maps: the only one that uses the engine while the node is active."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

from slam3r_ros.ros.threads.back_pressure import BackPressure
from slam3r_ros.ros.threads.drop_oldest_queue import DropOldestQueue
from slam3r_ros.ros.threads.loop_thread import LoopThread
from slam3r_ros.ros.threads.tuning import TUNING

Frame = TypeVar("Frame")
_Frame = TypeVar("_Frame", contravariant=True)
Result = TypeVar("Result")


class Runner(Protocol[_Frame]):
    """What the thread calls: `pipeline.slam_runner.SlamRunner`."""

    @property
    def has_pending(self) -> bool:
        """Whether `finish_pending` may have something to publish."""

    def process(self, frames: Sequence[_Frame]) -> None:
        """Map frames, oldest first, and publish what they changed."""

    def finish_pending(self) -> None:
        """Publish what has become ready since the last frame."""

    def flush(self) -> None:
        """Map the frames that wait for later ones: the stream pauses or has ended."""

    def publish_due(self) -> None:
        """Publish what is published periodically."""


class _Pending(Protocol):
    """A request of any result, as the queue holds it."""

    def run(self) -> None:
        """Run the action."""

    def reject(self, error: Exception) -> None:
        """Answer with an exception instead."""


class RequestError(RuntimeError):
    """A request to the mapping thread failed for an unforeseen reason, which the message names."""


class Request(Generic[Result]):
    """An action that needs the engine, and the future of its result."""

    def __init__(self, action: Callable[[], Result]) -> None:
        self._action = action
        self.future: Future[Result] = Future()
        """Result of the action, or the exception that it raised; any but OSError, RuntimeError and ValueError becomes a
        RequestError."""

    def run(self) -> None:
        """Run the action and set the future."""
        with self:
            self.future.set_result(self._action())

    def reject(self, error: Exception) -> None:
        """Set the future to an exception without running the action."""
        self.future.set_exception(error)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Whatever the action raises goes to the caller, who waits for an answer, and not to the thread."""
        if not isinstance(error, Exception):
            return False
        is_known = isinstance(error, (OSError, RuntimeError, ValueError))
        self.reject(error if is_known else RequestError(f"{type(error).__name__}: {error}"))
        return True


class MappingThread(Generic[Frame]):
    """Takes frames from its queue and maps them; between two frames it runs the requests of other threads."""

    def __init__(
        self,
        ready: DropOldestQueue[Frame],
        runner: Runner[Frame],
        back_pressure: BackPressure,
        flush_after_s: float,
    ) -> None:
        self._ready = ready
        self._back_pressure = back_pressure
        self._runner = runner
        self.flush_after_s = flush_after_s
        """Time without a frame after which waiting ones are mapped, seconds; 0 leaves them waiting."""
        self._requests: queue.SimpleQueue[_Pending] = queue.SimpleQueue()
        self._rejection: RuntimeError | None = None  # of every request after the thread has failed
        self._thread = LoopThread("slam3r_mapping", self._step, ready.wake)
        self._last_frame_s = time.monotonic()

    @property
    def failure(self) -> Exception | None:
        """The exception that ended the thread; None while it runs, and where `stop` ended it."""
        return self._thread.failure

    def start(self) -> None:
        """Start the thread."""
        self._last_frame_s = time.monotonic()
        self._thread.start()

    def stop(self, time_limit_s: float) -> bool:
        """End the thread after its present frames; False if that takes longer than the limit, and it goes on."""
        if not self._thread.stop(time_limit_s):
            return False
        self._run_requests()
        return True

    def submit(self, action: Callable[[], Result]) -> Future[Result]:
        """Have the thread run an action between two frames."""
        request = Request(action)
        self._requests.put(request)
        self._ready.wake()
        if self._rejection is not None:
            self._run_requests()
        return request.future

    def _step(self) -> None:
        try:
            self._map()
        except Exception as error:
            self._rejection = RuntimeError(f"mapping stopped by an error: {error!r}")
            self._run_requests()
            raise

    def _map(self) -> None:
        frames = self._ready.take(TUNING.pending_wait_s if self._runner.has_pending else TUNING.idle_wait_s)
        if frames:
            self._back_pressure.begin_work()
            self._runner.process(frames)
            self._back_pressure.end_work()
            self._last_frame_s = time.monotonic()
        self._run_requests()
        if frames:
            return
        self._runner.finish_pending()
        if 0 < self.flush_after_s < time.monotonic() - self._last_frame_s:
            self._runner.flush()
        self._runner.publish_due()

    def _run_requests(self) -> None:
        """Run the requests that wait; reject them after the thread has failed."""
        while True:
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                return
            if self._rejection is None:
                request.run()
            else:
                request.reject(self._rejection)
