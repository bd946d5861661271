"""The time of a bag's images: the stamp in the header where it can be believed, else the time of recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class TimeTuning:
    """When a header's stamp is believed."""

    largest_step_s: float = 10.0
    """A stamp that is farther than this from where the time of recording lets it be expected is doubted."""
    least_growing_share: float = 1 / 3
    """Stamps of which fewer steps than this share are forward are no times; of images sent twice half of them are."""


class RecordedTime:
    """Decides on the stamp of one image after the other.

    A stamp that is no time, and one that is alone far from its neighbours, is replaced by the time of recording, moved
    to the clock of the headers. Where the stamps that follow agree with it, the clock was set, and they are kept.
    """

    def __init__(self, sample: Sequence[tuple[int, int]], tuning: TimeTuning | None = None) -> None:
        """``sample`` are the header's stamp and the time of recording (ns) of the first images."""
        self._tuning = tuning or TimeTuning()
        self.problems: list[str] = []
        """What was wrong with the stamps so far, one sentence each."""
        headers = [header for header, _ in sample if header > 0]
        self._uses_headers = 2 * len(headers) >= len(sample) and self._grow(headers)
        self._checks_steps = len(sample) > 1 and self._grow([recorded for _, recorded in sample])
        if not self._uses_headers:
            self._report("the stamps in the images' headers do not grow: the time of recording is used instead")
        offsets = [header - recorded for header, recorded in sample if header > 0]
        first_is_alone = len(offsets) > 2 and self._near(offsets[1], offsets[2]) and not self._near(*offsets[:2])
        self._offset_ns = offsets[1] if first_is_alone else (offsets or [0])[0]
        self._doubted_ns: int | None = None

    def stamp_ns(self, header_ns: int, recorded_ns: int) -> int:
        """The time of an image, integer nanoseconds."""
        if not self._uses_headers:
            return recorded_ns
        expected_ns = recorded_ns + self._offset_ns
        if header_ns <= 0:
            self._report("some stamps in the images' headers are no time (not above 0): the time of recording is used")
            return expected_ns
        offset_ns = header_ns - recorded_ns
        if self._checks_steps and not self._near(offset_ns, self._offset_ns):
            if self._doubted_ns is None or not self._near(offset_ns, self._doubted_ns):
                self._doubted_ns = offset_ns
                return expected_ns
            step_s = (offset_ns - self._offset_ns) / _SECOND_NS
            self._report(f"the stamps in the images' headers jump by {step_s:.1f} s: a clock was set while recording")
        elif self._doubted_ns is not None:
            wrong_s = (self._doubted_ns - offset_ns) / _SECOND_NS
            self._report(f"a stamp in an image's header is {wrong_s:.1f} s off: the time of recording is used for it")
        self._doubted_ns, self._offset_ns = None, offset_ns
        return header_ns

    def _near(self, one_ns: int, other_ns: int) -> bool:
        return abs(one_ns - other_ns) <= self._tuning.largest_step_s * _SECOND_NS

    def _grow(self, stamps_ns: Sequence[int]) -> bool:
        return stamps_grow(stamps_ns, self._tuning)

    def _report(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def stamps_grow(stamps_ns: Sequence[int], tuning: TimeTuning | None = None) -> bool:
    """Whether stamps are times that go on, not one that stands still or runs backwards."""
    steps = np.diff(np.array(stamps_ns, dtype=np.int64))
    return not len(steps) or float(np.mean(steps > 0)) >= (tuning or TimeTuning()).least_growing_share
