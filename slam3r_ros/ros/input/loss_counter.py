"""Counts the images that a camera published and that never arrived, which DDS does not tell."""

from __future__ import annotations

import inspect
import statistics
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_MESSAGE_AND_INFO = inspect.Signature(
    [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in ("message", "info")]
)


@dataclass(frozen=True, slots=True)
class LossTuning:
    """Constants of the loss counter that were chosen by hand."""

    periods: int = 15
    """Number of distances between stamps whose median is the camera's period."""
    least_periods: int = 5
    """Number of distances from which on there is a period."""
    gap: float = 1.6
    """Distance in periods from which on images are missing."""
    longest_gap_s: float = 10.0
    """Distance in seconds from which on the camera has paused."""
    remembered_publishers: int = 20
    """Number of publishers whose newest sequence number is remembered."""


TUNING = LossTuning()
"""The constants in use."""


class LossCounter:
    """Finds the images that are missing before each one: by the publisher's sequence numbers, which rclpy gives since
    Kilted, else by a gap in the stamps."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}  # the newest of each publisher
        self._stamp_ns: int | None = None
        self._distances_ns: deque[int] = deque(maxlen=TUNING.periods)

    def missing_before(self, stamp_ns: int, info: Mapping[str, Any]) -> int:
        """Return how many images were lost before the one with this stamp and this message info of rclpy."""
        number = info.get("publication_sequence_number")
        if number is None:
            return self._by_stamps(stamp_ns)
        publisher = bytes((info.get("publisher_gid") or {}).get("data", b""))
        former = self._numbers.get(publisher, number - 1)
        if len(self._numbers) == TUNING.remembered_publishers:
            self._numbers.clear()
        self._numbers[publisher] = number
        return max(number - former - 1, 0)

    def _by_stamps(self, stamp_ns: int) -> int:
        former_ns, self._stamp_ns = self._stamp_ns, stamp_ns
        if former_ns is None or not 0 < stamp_ns - former_ns < TUNING.longest_gap_s * 1e9:
            return 0
        distance_ns = stamp_ns - former_ns
        self._distances_ns.append(distance_ns)
        if len(self._distances_ns) < TUNING.least_periods:
            return 0
        period_ns = statistics.median(self._distances_ns)
        return round(distance_ns / period_ns) - 1 if distance_ns > TUNING.gap * period_ns else 0


class WithMessageInfo:
    """A subscription's callback that gets the message's info too, from each of rclpy's executors.

    rclpy looks at the signature. Kilted's EventsExecutor then passes message and info as one tuple, the other executors
    pass two arguments.
    """

    __signature__ = _MESSAGE_AND_INFO

    def __init__(self, callback: Callable[[Any, Mapping[str, Any]], None]) -> None:
        """``callback`` takes the message and rclpy's MessageInfo."""
        self._callback = callback

    def __call__(self, *given: Any) -> None:
        """Call back, in whichever of the two ways."""
        message, info = given[0] if len(given) == 1 else given
        self._callback(message, info)
