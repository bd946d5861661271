"""A thread that repeats one thing until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable


class LoopThread:
    """Calls a function again and again; the function returns soon when there is nothing to do, or when nudged."""

    def __init__(self, name: str, once: Callable[[], None], nudge: Callable[[], None]) -> None:
        self._once = once
        self._nudge = nudge
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.failure: Exception | None = None
        """What ended the thread, if it was not `stop`."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_stopping(self) -> bool:
        """Whether the thread is to end: a call that does many things does no further one."""
        return self._stop.is_set()

    def stop(self, time_limit_s: float) -> bool:
        """End after the call that runs; False if that took longer than the limit, and the thread goes on."""
        self._stop.set()
        self._nudge()
        self._thread.join(time_limit_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._once()
        except Exception as error:
            self.failure = error
            raise
