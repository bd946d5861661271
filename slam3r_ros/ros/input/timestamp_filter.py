"""Whether an image's stamp can be used: the stamps of the images that are mapped must grow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_SECONDS_PER_NANOSECOND = 1e-9
_END_OF_TIME_NS = 2**31 * 10**9
"""First stamp that a message cannot hold: seconds of builtin_interfaces/Time have 32 bits with a sign."""


@dataclass(frozen=True, slots=True)
class TimestampTuning:
    """Constants of the timestamp filter that were chosen by hand."""

    longest_learned_gap_s: float = 60.0
    """Longest gap, in seconds, that two images in succession may have each and confirm one another all the same, as
    those of a fast replay do, of which the node maps few."""
    patience: int = 5
    """Number of images dropped in succession for stamps far ahead after which the next one that is later is used."""


TUNING = TimestampTuning()
"""The constants in use."""


class TimestampDecision(Enum):
    """What is done with an image because of its stamp."""

    USE = 0
    DROP = 1
    HOLD = 2
    """The image waits for the next one, which decides on it."""


@dataclass(frozen=True, slots=True)
class TimestampCheck:
    """The decision on one image and on the one held before it, and the warning that the user gets."""

    decision: TimestampDecision
    """What is done with the image."""
    stamp_ns: int
    """The stamp to use, integer nanoseconds: the image's own, or its time of arrival where its own is zero."""
    key: str = ""
    """Key of the warning, by which it is throttled; empty if there is no warning."""
    warning: str = ""
    """Text of the warning; empty if there is none."""
    held: TimestampDecision = TimestampDecision.HOLD
    """What is done with the image that was held before, if there is one; HOLD leaves it waiting."""
    repeats: bool = False
    """Whether the image is a late or a repeated one, which leaves no gap in the stream."""
    starts_new_map: bool = False
    """Whether time has jumped back, so that the images used now begin a new map."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    """Stamp and time of arrival of an image, integer nanoseconds."""

    stamp_ns: int
    arrival_ns: int

    def lead_over(self, earlier: _Arrival) -> float:
        """Return by how many seconds more the stamp has grown since an earlier image than the node's clock has."""
        waited_ns = max(self.arrival_ns - earlier.arrival_ns, 0)
        return (self.stamp_ns - earlier.stamp_ns - waited_ns) * _SECONDS_PER_NANOSECOND


class TimestampFilter:
    """Accepts stamps that grow; a jump of time counts once the next image, or the node's clock, agrees with it.

    An image whose stamp is far from that of the newest one is held. If the next image follows the held one, time has
    jumped and both are used, on a new map where it jumped back. If the next image follows the newest one, the held
    image's stamp was wrong and the held image is dropped. A zero stamp becomes the time of arrival.
    """

    def __init__(self, time_jump_s: float) -> None:
        self.time_jump_s = time_jump_s
        """A stamp that is more than this back, or ahead of the clock's growth by more, is far; seconds."""
        self._newest: _Arrival | None = None  # of the images used
        self._held: _Arrival | None = None
        self._lead_s = 0.0  # of the newest image used over the one before it
        self._dropped_ahead = 0  # in succession
        self.backward_jumps = 0
        """Number of backward jumps of time since the start."""

    def check(self, stamp_ns: int, arrival_ns: int) -> TimestampCheck:
        """Decide on an image with this stamp that arrived at ``arrival_ns``, both integer nanoseconds."""
        if not 0 <= stamp_ns < _END_OF_TIME_NS:
            warning = f"image dropped: its stamp {stamp_ns} ns is before 1970 or after 2038"
            return TimestampCheck(TimestampDecision.DROP, stamp_ns, "impossible stamp", warning)
        key = warning = ""
        if stamp_ns == 0:
            stamp_ns, key = arrival_ns, "zero stamp"
            warning = "image with stamp zero: using its time of arrival; let the camera's driver stamp its images"
        image, newest, held = _Arrival(stamp_ns, arrival_ns), self._newest, self._held
        if newest is None or self._follows(image, newest):
            return self._use(image, key, warning)
        if held is not None and self._confirms(image, held, newest):
            return self._use_held(image, held, newest)
        back_s = (newest.stamp_ns - stamp_ns) * _SECONDS_PER_NANOSECOND
        if 0 <= back_s <= self.time_jump_s + self._lead_s:
            return self._drop_late(stamp_ns, newest)
        if back_s > 0 and (newest.arrival_ns - arrival_ns) * _SECONDS_PER_NANOSECOND > self.time_jump_s:
            return self._start_new_map(image, newest)
        return self._hold(image, newest)

    def clock_jumped_back(self, now_ns: int) -> bool:
        """The clock went back to ``now_ns``: whether used stamps lie so far in its future that a new map must start."""
        newest = self._newest
        if newest is None or (newest.stamp_ns - now_ns) * _SECONDS_PER_NANOSECOND <= self.time_jump_s:
            return False
        self.backward_jumps += 1
        self.reset()
        return True

    def reset(self) -> None:
        """Accept any stamp next."""
        self._newest = self._held = None
        self._lead_s, self._dropped_ahead = 0.0, 0

    def _follows(self, image: _Arrival, earlier: _Arrival) -> bool:
        """Whether an image is later than an earlier one and not far ahead of it."""
        lead_limit_s = self.time_jump_s + self._lead_s
        return image.stamp_ns > earlier.stamp_ns and image.lead_over(earlier) <= lead_limit_s

    def _confirms(self, image: _Arrival, held: _Arrival, newest: _Arrival) -> bool:
        """Whether an image that does not follow the newest one agrees with the held one."""
        if image.stamp_ns <= held.stamp_ns or (held.stamp_ns < newest.stamp_ns < image.stamp_ns):
            return False
        if self._follows(image, held) or (held.stamp_ns > newest.stamp_ns and self._dropped_ahead >= TUNING.patience):
            return True
        gap_s = min(held.lead_over(newest), TUNING.longest_learned_gap_s)
        return image.lead_over(held) <= self.time_jump_s + max(gap_s, 0.0)

    def _use(self, image: _Arrival, key: str, warning: str) -> TimestampCheck:
        """Use an image that follows the newest one, and drop the held one, whose stamp was wrong."""
        newest, held = self._newest, self._held
        self._held, self._dropped_ahead = None, 0
        if newest is not None:
            self._lead_s = max(image.lead_over(newest), 0.0)
        self._newest = image
        if held is not None and newest is not None:
            key, warning = self._wrong_stamp(held, newest)
        return TimestampCheck(TimestampDecision.USE, image.stamp_ns, key, warning, TimestampDecision.DROP)

    def _use_held(self, image: _Arrival, held: _Arrival, newest: _Arrival) -> TimestampCheck:
        """Use the held image and the one that agrees with it: time has jumped."""
        is_back = held.stamp_ns < newest.stamp_ns
        self.backward_jumps += is_back
        self._newest, self._held, self._dropped_ahead = image, None, 0
        self._lead_s = max(image.lead_over(held), 0.0)
        key, warning = _jump_back(held, newest) if is_back else ("", "")
        use = TimestampDecision.USE
        return TimestampCheck(use, image.stamp_ns, key, warning, use, starts_new_map=is_back)

    def _start_new_map(self, image: _Arrival, newest: _Arrival) -> TimestampCheck:
        """Use an image whose stamp jumped back together with the node's clock."""
        self.reset()
        self.backward_jumps += 1
        self._newest = image
        key, warning = _jump_back(image, newest)
        use, drop = TimestampDecision.USE, TimestampDecision.DROP
        return TimestampCheck(use, image.stamp_ns, key, warning, drop, starts_new_map=True)

    def _drop_late(self, stamp_ns: int, newest: _Arrival) -> TimestampCheck:
        """Drop an image that is as old as the newest one or little older."""
        back_s = (newest.stamp_ns - stamp_ns) * _SECONDS_PER_NANOSECOND
        key, relation = ("old stamp", f"{back_s:.6f} s older than") if back_s > 0 else ("equal stamp", "the same as")
        warning = f"image dropped: its stamp {stamp_ns} ns is {relation} the newest one's"
        return TimestampCheck(TimestampDecision.DROP, stamp_ns, key, warning, repeats=True)

    def _hold(self, image: _Arrival, newest: _Arrival) -> TimestampCheck:
        """Hold an image in place of the one held before, which is dropped."""
        held, self._held = self._held, image
        key, warning = ("", "") if held is None else self._wrong_stamp(held, newest)
        is_ahead = held is not None and held.stamp_ns > newest.stamp_ns
        self._dropped_ahead = self._dropped_ahead + 1 if is_ahead else 0
        return TimestampCheck(TimestampDecision.HOLD, image.stamp_ns, key, warning, TimestampDecision.DROP)

    def _wrong_stamp(self, held: _Arrival, newest: _Arrival) -> tuple[str, str]:
        """Return key and text of the warning that a held image was dropped."""
        away_s = (held.stamp_ns - newest.stamp_ns) * _SECONDS_PER_NANOSECOND
        side = "ahead of" if away_s > 0 else "behind"
        text = f"image dropped: its stamp {held.stamp_ns} ns is {abs(away_s):.3f} s {side} that of the image before it"
        return "wrong stamp", f"{text}, and the next image does not agree"


def _jump_back(image: _Arrival, newest: _Arrival) -> tuple[str, str]:
    """Return key and text of the warning that time has jumped back."""
    back_s = (newest.stamp_ns - image.stamp_ns) * _SECONDS_PER_NANOSECOND
    stamps = f"stamp {image.stamp_ns} ns after {newest.stamp_ns} ns"
    return "time jump", f"time jumped back by {back_s:.3f} s ({stamps}): starting a new map"
