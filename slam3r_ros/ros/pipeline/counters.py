"""Counts and rates that the threads write and the status reads."""

from __future__ import annotations

import threading
import time
from collections import deque

_RATE_SPAN_S = 5.0
_AVERAGE_WEIGHT = 0.1  # of the newest value


class Rate:
    """How often something happens: over the last seconds, and in all. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: deque[float] = deque()
        self._count = 0
        self._last: float | None = None

    def tick(self) -> int:
        """It happened; returns how often it had before."""
        with self._lock:
            now = time.monotonic()
            self._times.append(now)
            self._last = now
            self._count += 1
            self._forget_old(now)
            return self._count - 1

    @property
    def count(self) -> int:
        """How often in all."""
        return self._count

    def per_second(self) -> float:
        """How often a second, over the last `_RATE_SPAN_S` or since the first time."""
        with self._lock:
            now = time.monotonic()
            self._forget_old(now)
            if not self._times:
                return 0.0
            span_s = min(_RATE_SPAN_S, max(now - self._times[0], 1.0))
            return len(self._times) / span_s

    def since_last_s(self) -> float | None:
        """Seconds since it last happened; None if it never did."""
        return None if self._last is None else time.monotonic() - self._last

    def _forget_old(self, now: float) -> None:
        while self._times and now - self._times[0] > _RATE_SPAN_S:
            self._times.popleft()


class Counters:
    """What happened to images since the node was configured."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.received = Rate()
        self.processed = Rate()
        self.dropped = 0
        """Replaced by a newer one before the worker was free."""
        self.rejected = 0
        """Could not be used."""
        self.stamp_to_pose_ms = 0.0
        """From an image's stamp to its published pose, a moving average."""

    def add_dropped(self, count: int) -> None:
        """So many more were dropped."""
        with self._lock:
            self.dropped += count

    def add_rejected(self, count: int) -> None:
        """So many more could not be used."""
        with self._lock:
            self.rejected += count

    def note_latency(self, milliseconds: float) -> None:
        """Take one more latency into the average."""
        previous = self.stamp_to_pose_ms or milliseconds
        self.stamp_to_pose_ms = previous + _AVERAGE_WEIGHT * (milliseconds - previous)
