"""The node's log, throttled: a message that repeats itself is written every few seconds, with a count of the rest."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.impl.rcutils_logger import RcutilsLogger

THROTTLE_PERIOD_S = 5.0
"""Shortest time, in seconds, between two messages of the same key."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A warning or an error, whether it was written to the log or suppressed."""

    text: str
    """The message as it was given, without a count of suppressed ones."""
    stamp_ns: int
    """Time of the message by the node's clock, integer nanoseconds."""


class ThrottledLog:
    """Logs messages by key: one of each key at most every few seconds; the next one says how many were suppressed.

    It may be used by several threads.
    """

    def __init__(self, logger: RcutilsLogger, now_ns: Callable[[], int]) -> None:
        """``now_ns`` is the node's clock, which stamps the entries."""
        self._logger = logger
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._logged_at_s: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}
        self.newest = LogEntry("", 0)
        """The newest warning or error; its text is empty before the first one."""

    def info(self, text: str) -> None:
        """Log information that the user has asked for; it is never suppressed."""
        self._logger.info(text)

    def info_throttled(self, key: str, text: str) -> None:
        """Log information that may come often."""
        if (line := self._admit(key, text, is_problem=False)) is not None:
            self._logger.info(line)

    def warn(self, key: str, text: str, period_s: float = THROTTLE_PERIOD_S) -> None:
        """Log a problem that the node works around, at most once in ``period_s``."""
        if (line := self._admit(key, text, period_s)) is not None:
            self._logger.warning(line)

    def error(self, key: str, text: str) -> None:
        """Log that something has failed."""
        if (line := self._admit(key, text)) is not None:
            self._logger.error(line)

    def _admit(
        self, key: str, text: str, period_s: float = THROTTLE_PERIOD_S, *, is_problem: bool = True
    ) -> str | None:
        """Return the line to log, or None where a message of this key was logged within the period."""
        with self._lock:
            if is_problem:
                self.newest = LogEntry(text, self._now_ns())
            now_s = time.monotonic()
            if now_s - self._logged_at_s.get(key, -math.inf) < period_s:
                self._suppressed[key] = self._suppressed.get(key, 0) + 1
                return None
            self._logged_at_s[key] = now_s
            suppressed = self._suppressed.pop(key, 0)
            return f"{text} ({suppressed} more like this)" if suppressed else text
