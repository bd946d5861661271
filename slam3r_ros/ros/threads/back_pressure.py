"""When the engine will want its next frame: back-pressure from the mapping thread on the tracking thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from slam3r_ros.ros.threads.tuning import TUNING


class BackPressure:
    """The mapping thread says when the engine is busy; the tracking thread waits until it soon will not be.

    So the image that is prepared is the newest there is when the engine becomes free, and no time goes into images that
    a newer one would replace: on a busy machine that time is the engine's.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds that never go back."""
        self._clock = clock
        self._changed = threading.Condition()
        self._busy_since_s: float | None = None
        self._mean_busy_s = 0.0  # a moving average; 0 at first: the engine may be free at any time

    def begin_work(self) -> None:
        """The engine starts to process frames."""
        with self._changed:
            self._busy_since_s = self._clock()

    def end_work(self) -> None:
        """The engine has processed them and is free."""
        with self._changed:
            if self._busy_since_s is not None:
                took_s = self._clock() - self._busy_since_s
                change_s = TUNING.duration_weight * (took_s - self._mean_busy_s)
                self._mean_busy_s = self._mean_busy_s + change_s if self._mean_busy_s else took_s
            self._busy_since_s = None
            self._changed.notify_all()

    def remaining_s(self) -> float:
        """Expected seconds until the engine is free; 0 if it is, or if it takes longer than it does on average."""
        with self._changed:
            if self._busy_since_s is None:
                return 0.0
            return max(0.0, self._busy_since_s + self._mean_busy_s - self._clock())

    def wait_until_wanted(self, lead_s: float, limit_s: float) -> bool:
        """Wait until the engine is free or will be within ``lead_s``; False if that takes longer than ``limit_s``."""
        end_s = self._clock() + limit_s
        with self._changed:  # from the question to the waiting: else the answer may change between the two
            while (wait_s := self.remaining_s() - lead_s) > 0:
                left_s = end_s - self._clock()
                if left_s <= 0:
                    return False
                self._changed.wait(min(wait_s, left_s))
        return True
