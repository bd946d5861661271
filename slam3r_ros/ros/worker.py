"""The thread that maps."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from slam3r_ros.ros.demand import Demand
from slam3r_ros.ros.frames import ReadyFrame
from slam3r_ros.ros.looping import Looping
from slam3r_ros.ros.mapping import Mapping
from slam3r_ros.ros.newest import Newest

Result = TypeVar("Result")
_IDLE_S = 0.1
"""Longest time between two looks at what else is to be done."""
_UNSETTLED_S = 0.005
"""The same while there is something to be told as soon as it is ready."""


class Worker:
    """Takes frames from the ring and maps them; between two frames it does what others ask of the engine."""

    def __init__(self, ready: Newest[ReadyFrame], mapping: Mapping, demand: Demand, *, flush_after_s: float) -> None:
        self._ready = ready
        self._demand = demand
        self._mapping = mapping
        self._flush_after_s = flush_after_s
        self._requests: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = Looping("slam3r_worker", self._once, ready.nudge)
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
        future: Future[Result] = Future()

        def answer() -> None:
            try:
                future.set_result(action())
            except (OSError, RuntimeError, ValueError) as error:
                future.set_exception(error)

        self._requests.put(answer)
        self._ready.nudge()
        return future

    def _once(self) -> None:
        frames = self._ready.take(_UNSETTLED_S if self._mapping.is_unsettled else _IDLE_S)
        if frames:
            self._demand.begin()
            self._mapping.process(frames)
            self._demand.end()
            self._last_frame = time.monotonic()
        self._answer_requests()
        if frames:
            return
        self._mapping.settle()
        if 0 < self._flush_after_s < time.monotonic() - self._last_frame:
            self._mapping.flush()
        self._mapping.idle()

    def _answer_requests(self) -> None:
        while True:
            try:
                self._requests.get_nowait()()
            except queue.Empty:
                return
