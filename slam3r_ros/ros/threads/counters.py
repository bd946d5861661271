"""Counts and rates of images, which the threads write and the status reads."""

from __future__ import annotations

import threading
import time
from collections import deque

from slam3r_ros.ros.threads.tuning import TUNING


class Rate:
    """How often an event happens: in all, and per second over the last few seconds. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times_s: deque[float] = deque()
        self._count = 0
        self._last_s: float | None = None

    def tick(self) -> int:
        """Count one event; returns the number of events before it."""
        with self._lock:
            now_s = time.monotonic()
            self._times_s.append(now_s)
            self._last_s = now_s
            self._count += 1
            self._discard_old(now_s)
            return self._count - 1

    @property
    def count(self) -> int:
        """Number of events in all."""
        return self._count

    def per_second(self) -> float:
        """Events per second over the last `rate_span_s`, or since the first event where that is more recent."""
        with self._lock:
            now_s = time.monotonic()
            self._discard_old(now_s)
            if not self._times_s:
                return 0.0
            span_s = min(TUNING.rate_span_s, max(now_s - self._times_s[0], 1.0))
            return len(self._times_s) / span_s

    def since_last_s(self) -> float | None:
        """Seconds since the last event; None before the first one."""
        return None if self._last_s is None else time.monotonic() - self._last_s

    def _discard_old(self, now_s: float) -> None:
        while self._times_s and now_s - self._times_s[0] > TUNING.rate_span_s:
            self._times_s.popleft()


class Counters:
    """What happened to the images since the node was configured. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.received = Rate()
        """Images that the subscription received."""
        self.processed = Rate()
        """Images that the engine processed."""
        self.registered = Rate()
        """Frames that the networks registered in the map."""
        self.dropped = 0
        """Number of images that a queue dropped for a newer one before a thread was free for them."""
        self.missing = 0
        """Number of images that were published and never arrived."""
        self.rejected = 0
        """Number of images that could not be used."""
        self.stamp_to_pose_ms = 0.0
        """Milliseconds from an image's stamp to its published pose, a moving average; 0 before the first pose."""

    def add_dropped(self, count: int) -> None:
        """Count more dropped images."""
        with self._lock:
            self.dropped += count

    def add_missing(self, count: int) -> None:
        """Count more images that never arrived."""
        with self._lock:
            self.missing += count

    def add_rejected(self, count: int) -> None:
        """Count more images that could not be used."""
        with self._lock:
            self.rejected += count

    def record_latency(self, milliseconds: float) -> None:
        """Add one latency to the moving average; called by the thread that publishes the poses."""
        previous = self.stamp_to_pose_ms or milliseconds
        self.stamp_to_pose_ms = previous + TUNING.latency_weight * (milliseconds - previous)
