"""The thread that maps."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from slam3r_ros.ros.mapping import Mapping
from slam3r_ros.ros.newest_images import NewestImages

Result = TypeVar("Result")
_IDLE_S = 0.1
"""Longest time between two looks at what else is to be done."""


class Worker:
    """Takes images from the ring and maps them; between two images it does what others ask of the engine."""

    def __init__(self, images: NewestImages, mapping: Mapping, *, flush_after_s: float) -> None:
        self._images = images
        self._mapping = mapping
        self._flush_after_s = flush_after_s
        self._requests: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slam3r_worker", daemon=True)
        self.failure: Exception | None = None
        """What ended the thread, if it was not `stop`."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, time_limit_s: float) -> bool:
        """End after the images in work; False if that took longer than the limit, and the thread goes on."""
        self._stop.set()
        self._images.nudge()
        self._thread.join(time_limit_s)
        return not self._thread.is_alive()

    def ask(self, action: Callable[[], Result]) -> Future[Result]:
        """Have the thread run an action between two images."""
        future: Future[Result] = Future()

        def answer() -> None:
            try:
                future.set_result(action())
            except (OSError, RuntimeError, ValueError) as error:
                future.set_exception(error)

        self._requests.put(answer)
        self._images.nudge()
        return future

    def _run(self) -> None:
        try:
            self._loop()
        except Exception as error:
            self.failure = error
            raise

    def _loop(self) -> None:
        last_image = time.monotonic()
        while not self._stop.is_set():
            arrivals = self._images.take(_IDLE_S)
            self._answer_requests()
            if arrivals:
                self._mapping.process(arrivals)
                last_image = time.monotonic()
                continue
            if 0 < self._flush_after_s < time.monotonic() - last_image:
                self._mapping.flush()
            self._mapping.idle()
        self._answer_requests()

    def _answer_requests(self) -> None:
        while True:
            try:
                self._requests.get_nowait()()
            except queue.Empty:
                return
