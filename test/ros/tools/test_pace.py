"""When frames are due, whatever their stamps do."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slam3r_ros.ros.tools.pace import Pace

SECOND = 10**9


def standing() -> float:
    """A clock that stands still."""
    return 100.0


def distances(stamps_ns: list[int], rate_hz: float | None = None, usual_hz: float = 20.0) -> list[float]:
    """Seconds from one frame to the next."""
    pace = Pace(rate_hz, usual_hz, clock=standing)
    due = [pace.time_of(stamp) for stamp in stamps_ns]
    return [b - a for a, b in pairwise(due)]


def test_frames_come_as_they_were_recorded() -> None:
    assert distances([SECOND, 2 * SECOND, 2 * SECOND + 50_000_000]) == pytest.approx([1.0, 0.05])


@pytest.mark.parametrize("gap_s", [3600, 53 * 365 * 86400])
def test_gap_is_waited_for_only_so_long_and_told(gap_s: int) -> None:
    pace = Pace(None, 20.0, clock=standing)
    first, second = pace.time_of(5 * SECOND), pace.time_of((5 + gap_s) * SECOND)
    assert second - first == pytest.approx(pace.longest_wait_s) == pytest.approx(3.0)
    assert pace.gap_s == pytest.approx(gap_s)
    assert pace.recorded_now_ns() == pytest.approx((5 + gap_s - 3) * SECOND, abs=SECOND // 1000)
    assert pace.time_of((5 + gap_s) * SECOND + 50_000_000) - second == pytest.approx(0.05) and pace.gap_s == 0


def test_slow_recording_has_no_gaps() -> None:
    assert distances([0, 10 * SECOND, 20 * SECOND], usual_hz=0.1) == pytest.approx([10, 10])


@pytest.mark.parametrize("step", [0, -SECOND, -(10**18)])
def test_stamps_that_do_not_grow_come_at_the_usual_rate(step: int) -> None:
    stamp = 1_700_000_000 * SECOND
    assert distances([stamp, stamp + step, stamp + 2 * step]) == pytest.approx([0.05, 0.05])


def test_rate_that_is_asked_for_knows_no_gaps() -> None:
    assert distances([0, SECOND, 3600 * SECOND, 0], rate_hz=4) == pytest.approx([0.25, 0.25, 0.25])


@given(st.lists(st.integers(-(2**62), 2**62), min_size=2, max_size=20))
def test_every_stamp_is_a_time_of_ros_and_due_soon(stamps_ns: list[int]) -> None:
    pace = Pace(None, 20.0, clock=standing)
    for stamp in stamps_ns:
        pace.time_of(stamp)
        assert 0 < pace.shifted(stamp) < 2**31 * SECOND
        assert 0 < pace.recorded_now_ns() < 2**31 * SECOND
    assert pace.time_of(stamps_ns[-1]) - standing() <= 3.1 * len(stamps_ns)


@pytest.mark.parametrize(("first", "published"), [(0, 1), (-5, 1), (1700, 1700)])
def test_recordings_that_begin_at_or_before_zero_are_moved(first: int, published: int) -> None:
    pace = Pace(None, 20.0)
    assert pace.shifted(first * SECOND) == published * SECOND
    assert pace.shifted((first + 1) * SECOND) == (published + 1) * SECOND
