"""Whether an image's stamp can be used: the stamps of the images that are mapped must grow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_SECONDS_PER_NANOSECOND = 1e-9


class TimestampDecision(Enum):
    """What is done with an image because of its stamp."""

    USE = 0
    DROP = 1
    RESET_AND_USE = 2


@dataclass(frozen=True, slots=True)
class TimestampCheck:
    """The decision on one image, and the warning that the user gets."""

    decision: TimestampDecision
    stamp_ns: int
    """The stamp to use, integer nanoseconds: the image's own, or its time of arrival where its own is zero."""
    key: str = ""
    """Key of the warning, by which it is throttled; empty if there is no warning."""
    warning: str = ""
    """Text of the warning; empty if there is none."""


class TimestampFilter:
    """Accepts stamps that grow. A zero stamp becomes the time of arrival; one far in the past starts a new map."""

    def __init__(self, time_jump_s: float) -> None:
        """A stamp that lies further back than ``time_jump_s`` is a jump of time, a nearer one that of a late image."""
        self._time_jump_s = time_jump_s
        self._newest_ns: int | None = None
        self.backward_jumps = 0
        """Number of backward jumps of time since the start."""

    def check(self, stamp_ns: int, arrival_ns: int) -> TimestampCheck:
        """Decide on an image with this stamp that arrived at ``arrival_ns``; both in nanoseconds of the same clock."""
        key, warning, decision = "", "", TimestampDecision.USE
        if stamp_ns == 0:
            key, warning = (
                "zero stamp",
                "image with stamp zero: using its time of arrival; let the camera's driver stamp its images",
            )
            stamp_ns = arrival_ns
        newest_ns = self._newest_ns
        if newest_ns is not None and stamp_ns <= newest_ns:
            back_s = (newest_ns - stamp_ns) * _SECONDS_PER_NANOSECOND
            if back_s > self._time_jump_s:
                self.backward_jumps += 1
                decision, key = TimestampDecision.RESET_AND_USE, "time jump"
                warning = (
                    f"time jumped back by {back_s:.3f} s (stamp {stamp_ns} ns after {newest_ns} ns): starting a new map"
                )
            else:
                relation = f"{back_s:.6f} s older than" if stamp_ns < newest_ns else "the same as"
                return TimestampCheck(
                    TimestampDecision.DROP,
                    stamp_ns,
                    "old stamp" if stamp_ns < newest_ns else "equal stamp",
                    f"image dropped: its stamp {stamp_ns} ns is {relation} the newest one's",
                )
        self._newest_ns = stamp_ns
        return TimestampCheck(decision, stamp_ns, key, warning)

    def clock_jumped_back(self, now_ns: int) -> bool:
        """The clock went back to ``now_ns``: whether used stamps lie in its future, so that a new map must start."""
        if self._newest_ns is None or self._newest_ns <= now_ns:
            return False
        self.backward_jumps += 1
        self._newest_ns = None
        return True

    def reset(self) -> None:
        """Accept any stamp next."""
        self._newest_ns = None
