"""When each frame of a recording is due, and the recording's time meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

_NANOSECONDS = 10**9
_FIRST_STAMP_NS = _NANOSECONDS
"""Recordings whose stamps begin before this are moved: a zero stamp means 'none' in ROS, and a negative one is none."""
_LAST_STAMP_NS = (2**31 - 1) * _NANOSECONDS
"""The last time that a ROS message can hold."""


@dataclass(frozen=True, slots=True)
class PaceTuning:
    """How long a recording may pause."""

    longest_wait_s: float = 3.0
    """A gap in the stamps that is longer than this is waited for only so long."""
    longest_wait_frames: float = 5.0
    """The same in usual distances of frames, which counts where these are long."""
    late_share: float = 0.5
    """A frame is late when more than this share of the usual distance has passed since its time."""


class Pace:
    """Says of one frame after the other when it is due, by the recorded stamps or by a rate.

    Stamps that stand still, run backwards or leap ahead, as where a clock was set, neither stop nor hurry the playing.
    """

    def __init__(
        self,
        rate_hz: float | None,
        usual_rate_hz: float,
        tuning: PaceTuning | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``rate_hz`` is the rate asked for, None for the recorded stamps; ``usual_rate_hz`` the recording's own;
        ``clock`` gives seconds that never go back."""
        self._tuning, self._clock = tuning or PaceTuning(), clock
        self._rate_hz = rate_hz
        self._usual_interval_s = 1 / usual_rate_hz
        self._longest_s = max(self._tuning.longest_wait_s, self._tuning.longest_wait_frames * self._usual_interval_s)
        self._shift_ns: int | None = None
        self.begin_again()

    def begin_again(self) -> None:
        """The next frame is the first."""
        self._index = 0
        self._started_s = self._due_s = 0.0
        self._speed = 1.0
        self._stamp_ns = self._previous_ns = 0
        self.gap_s = 0.0
        """The length of a gap before the newest frame that is not waited for; 0 without one."""

    def shifted(self, stamp_ns: int) -> int:
        """A recorded stamp as a time of ROS: moved where the recording begins at or before zero."""
        if self._shift_ns is None:
            self._shift_ns = _FIRST_STAMP_NS - min(stamp_ns, 0) if stamp_ns < _FIRST_STAMP_NS else 0
        return min(max(stamp_ns + self._shift_ns, 1), _LAST_STAMP_NS)

    def time_of(self, recorded_ns: int) -> float:
        """The moment of the clock at which the next frame, which has this stamp, is due."""
        stamp_ns = self.shifted(recorded_ns)
        if self._index == 0:
            self._started_s = self._due_s = self._clock()
            self._previous_ns = stamp_ns
        else:
            self._previous_ns, previous_due_s = self._stamp_ns, self._due_s
            step_s = (stamp_ns - self._previous_ns) / _NANOSECONDS
            self.gap_s = step_s if step_s > self._longest_s and self._rate_hz is None else 0.0
            if self._rate_hz is not None:
                self._due_s = self._started_s + self._index / self._rate_hz
            else:
                self._due_s += min(step_s, self._longest_s) if step_s > 0 else self._usual_interval_s
            self._speed = 1.0 if self.gap_s else max(step_s, 0.0) / max(self._due_s - previous_due_s, 1e-6)
        self._stamp_ns = stamp_ns
        self._index += 1
        return self._due_s

    def recorded_now_ns(self) -> int:
        """The recording's time now, between the previous frame's and the next one's."""
        left_s = max(self._due_s - self._clock(), 0.0)
        return max(self._stamp_ns - round(left_s * self._speed * _NANOSECONDS), min(self._previous_ns, self._stamp_ns))

    @property
    def longest_wait_s(self) -> float:
        """How long a gap is waited for at most."""
        return self._longest_s

    def is_late(self) -> bool:
        """Whether the newest frame's time has passed by more than a share of the usual distance."""
        interval_s = 1 / self._rate_hz if self._rate_hz else min(self._usual_interval_s, 1 / 30)
        return self._clock() - self._due_s > self._tuning.late_share * interval_s
