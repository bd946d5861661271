"""The thread that maps."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from slam3r_ros.ros.input.frame_builder import ReadyFrame
from slam3r_ros.ros.pipeline.slam_runner import SlamRunner
from slam3r_ros.ros.threads.back_pressure import BackPressure
from slam3r_ros.ros.threads.drop_oldest_queue import DropOldestQueue
from slam3r_ros.ros.threads.loop_thread import LoopThread

Result = TypeVar("Result")
_IDLE_S = 0.1
"""Longest time between two looks at what else is to be done."""
_UNSETTLED_S = 0.005
"""The same while there is something to be told as soon as it is ready."""


class RequestError(RuntimeError):
    """Something that was asked for could not be done, for an unforeseen reason that the message tells."""


class Request(Generic[Result]):
    """Something to be done where the engine is used, and what came of it."""

    def __init__(self, action: Callable[[], Result]) -> None:
        self._action = action
        self.future: Future[Result] = Future()

    def answer(self) -> None:
        """Do it."""
        with self:
            self.future.set_result(self._action())

    def refuse(self, error: Exception) -> None:
        """It will not be done."""
        self.future.set_exception(error)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Whatever the action raises is for who asked, and waits for an answer."""
        if not isinstance(error, Exception):
            return False
        is_known = isinstance(error, (OSError, RuntimeError, ValueError))
        self.refuse(error if is_known else RequestError(f"{type(error).__name__}: {error}"))
        return True


class MappingThread:
    """Takes frames from the ring and maps them; between two frames it does what others ask of the engine."""

    def __init__(
        self, ready: DropOldestQueue[ReadyFrame], mapping: SlamRunner, demand: BackPressure, *, flush_after_s: float
    ) -> None:
        self._ready = ready
        self._demand = demand
        self._mapping = mapping
        self._flush_after_s = flush_after_s
        self._requests: queue.SimpleQueue[Request[Any]] = queue.SimpleQueue()
        self._refusal: RuntimeError | None = None  # what is told to who asks after the thread has failed
        self._thread = LoopThread("slam3r_worker", self._once, ready.nudge)
        self._last_frame = time.monotonic()

    @property
    def failure(self) -> Exception | None:
        """What ended the thread, if it was not `stop`."""
        return self._thread.failure

    def start(self) -> None:
        """Begin."""
        self._last_frame = time.monotonic()
        self._thread.start()

    def stop(self, time_limit_s: float) -> bool:
        """End after the frames in work; False if that took longer than the limit, and the thread goes on."""
        if not self._thread.stop(time_limit_s):
            return False
        self._answer_requests()
        return True

    def ask(self, action: Callable[[], Result]) -> Future[Result]:
        """Have the thread run an action between two frames."""
        request = Request(action)
        self._requests.put(request)
        self._ready.nudge()
        if self._refusal is not None:
            self._answer_requests()
        return request.future

    def _once(self) -> None:
        try:
            self._map()
        except Exception as error:
            self._refusal = RuntimeError(f"mapping stopped by an error: {error!r}")
            self._answer_requests()
            raise

    def _map(self) -> None:
        frames = self._ready.take(_UNSETTLED_S if self._mapping.has_pending else _IDLE_S)
        if frames:
            self._demand.begin()
            self._mapping.process(frames)
            self._demand.end()
            self._last_frame = time.monotonic()
        self._answer_requests()
        if frames:
            return
        self._mapping.finish_pending()
        if 0 < self._flush_after_s < time.monotonic() - self._last_frame:
            self._mapping.flush()
        self._mapping.idle()

    def _answer_requests(self) -> None:
        while True:
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                return
            if self._refusal is None:
                request.answer()
            else:
                request.refuse(self._refusal)
