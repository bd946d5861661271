"""When the engine will want its next frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_WEIGHT = 0.2  # of the newest time in the moving average


class BackPressure:
    """The engine's thread tells when it is busy; the preparing thread waits until it soon will not be.

    So the image that is prepared is the newest there is when the engine becomes free, and no time goes into images that
    a newer one would replace: on a busy machine that time is the engine's.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._busy_since: float | None = None
        self._busy_s = 0.0  # a moving average; at first the engine may be free at any time

    def begin(self) -> None:
        """The engine has something to do."""
        with self._changed:
            self._busy_since = self._clock()

    def end(self) -> None:
        """The engine has done it."""
        with self._changed:
            if self._busy_since is not None:
                took_s = self._clock() - self._busy_since
                self._busy_s += _WEIGHT * (took_s - self._busy_s) if self._busy_s else took_s
            self._busy_since = None
            self._changed.notify_all()

    def left_s(self) -> float:
        """Time until the engine will be free, as far as can be told; 0 if it is, or takes longer than it did."""
        with self._changed:
            if self._busy_since is None:
                return 0.0
            return max(0.0, self._busy_since + self._busy_s - self._clock())

    def wait(self, ahead_s: float, limit_s: float) -> bool:
        """Wait until the engine is free or will be within ``ahead_s``; False if that takes longer than the limit."""
        ends = self._clock() + limit_s
        while (left_s := self.left_s() - ahead_s) > 0:
            remaining_s = ends - self._clock()
            if remaining_s <= 0:
                return False
            with self._changed:
                self._changed.wait(min(left_s, remaining_s))
        return True
