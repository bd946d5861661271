"""What the node tells its user: logged, throttled by kind; the newest is kept for the status."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.impl.rcutils_logger import RcutilsLogger

THROTTLE_S = 5.0
"""Least time between two messages of one kind."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning or error that was logged."""

    text: str
    stamp_ns: int
    """When, by the node's clock."""


class ThrottledLog:
    """Logs warnings and errors, each kind at most every few seconds; the next one says how many were held back."""

    def __init__(self, logger: RcutilsLogger, now_ns: Callable[[], int]) -> None:
        self._logger = logger
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._logged: dict[str, float] = {}
        self._held_back: dict[str, int] = {}
        self.newest = Notice("", 0)

    def info(self, text: str) -> None:
        """Something the user asked for happened."""
        self._logger.info(text)

    def note(self, kind: str, text: str) -> None:
        """Something worth knowing, that may happen often."""
        if (line := self._admit(kind, text, is_trouble=False)) is not None:
            self._logger.info(line)

    def warn(self, kind: str, text: str, every_s: float = THROTTLE_S) -> None:
        """Something was wrong that the node works around."""
        if (line := self._admit(kind, text, every_s)) is not None:
            self._logger.warning(line)

    def error(self, kind: str, text: str) -> None:
        """Something failed."""
        if (line := self._admit(kind, text)) is not None:
            self._logger.error(line)

    def _admit(self, kind: str, text: str, every_s: float = THROTTLE_S, *, is_trouble: bool = True) -> str | None:
        """The line to log, or None if one of this kind was logged just now."""
        with self._lock:
            if is_trouble:
                self.newest = Notice(text, self._now_ns())
            now = time.monotonic()
            if now - self._logged.get(kind, -math.inf) < every_s:
                self._held_back[kind] = self._held_back.get(kind, 0) + 1
                return None
            self._logged[kind] = now
            held_back = self._held_back.pop(kind, 0)
            return f"{text} ({held_back} more like this)" if held_back else text
