"""A thread that repeats one step until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable


class LoopThread:
    """Calls a step again and again. The step returns soon when there is nothing to do, and at once when it is woken."""

    def __init__(self, name: str, step: Callable[[], None], wake: Callable[[], None]) -> None:
        """``wake`` ends the waiting inside a step."""
        self._step = step
        self._wake = wake
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.failure: Exception | None = None
        """The exception that ended the thread; None while it runs, and where `stop` ended it."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def is_stopping(self) -> bool:
        """Whether the thread has been asked to end: a step that does several things then does no further one."""
        return self._stop.is_set()

    def stop(self, time_limit_s: float) -> bool:
        """End the thread after its present step; False if that takes longer than the limit, and the step goes on.

        A thread that was never started, as where a signal came before, has ended.
        """
        self._stop.set()
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(time_limit_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._step()
        except Exception as error:
            self.failure = error
            raise
