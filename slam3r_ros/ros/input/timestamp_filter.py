"""Whether an image's stamp can be used: stamps must grow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_NANOSECONDS = 1e-9


class TimestampDecision(Enum):
    """What to do with an image."""

    USE = 0
    DROP = 1
    RESET_AND_USE = 2


@dataclass(frozen=True, slots=True)
class TimestampCheck:
    """What to do with an image, and what to tell the user."""

    verdict: TimestampDecision
    stamp_ns: int
    """The stamp to use."""
    kind: str = ""
    """For throttling: the sort of trouble, empty if there is none."""
    reason: str = ""


class TimestampFilter:
    """Lets stamps through that grow. A zero stamp becomes the time of arrival; one far in the past starts anew."""

    def __init__(self, time_jump_s: float) -> None:
        self._time_jump_s = time_jump_s
        self._newest_ns: int | None = None
        self.jumps = 0
        """Backward jumps of time since the start."""

    def judge(self, stamp_ns: int, arrival_ns: int) -> TimestampCheck:
        """What to do with an image of this stamp that arrived at ``arrival_ns``; both by the same clock."""
        kind, reason, verdict = "", "", TimestampDecision.USE
        if stamp_ns == 0:
            kind, reason = (
                "zero stamp",
                "image with stamp zero: using its time of arrival; let the camera's driver stamp its images",
            )
            stamp_ns = arrival_ns
        newest = self._newest_ns
        if newest is not None and stamp_ns <= newest:
            back_s = (newest - stamp_ns) * _NANOSECONDS
            if back_s > self._time_jump_s:
                self.jumps += 1
                verdict, kind = TimestampDecision.RESET_AND_USE, "time jump"
                reason = (
                    f"time jumped back by {back_s:.3f} s (stamp {stamp_ns} ns after {newest} ns): starting a new map"
                )
            else:
                said = f"{back_s:.6f} s older than" if stamp_ns < newest else "the same as"
                kind = "old stamp" if stamp_ns < newest else "equal stamp"
                return TimestampCheck(
                    TimestampDecision.DROP,
                    stamp_ns,
                    kind,
                    f"image dropped: its stamp {stamp_ns} ns is {said} the newest one's",
                )
        self._newest_ns = stamp_ns
        return TimestampCheck(verdict, stamp_ns, kind, reason)

    def clock_jumped_back(self, now_ns: int) -> bool:
        """The clock went back to ``now_ns``: whether stamps already used lie in its future, so that all starts anew."""
        if self._newest_ns is None or self._newest_ns <= now_ns:
            return False
        self.jumps += 1
        self._newest_ns = None
        return True

    def forget(self) -> None:
        """Accept any stamp next."""
        self._newest_ns = None
