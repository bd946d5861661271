"""Which time an image of a bag gets: that of its header where it can be believed, else that of its recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bag_writing import compressed_message, write_bag
from hypothesis import given
from hypothesis import strategies as st

from slam3r_ros.io.sources import Source, open_source
from slam3r_ros.io.sources.recorded_time import RecordedTime, stamps_grow

SECOND = 10**9
BASE = 1_700_000_000 * SECOND
PERIOD = 50_000_000
IMAGE = np.full((12, 16, 3), 99, np.uint8)


def recorded(index: int) -> int:
    return BASE + index * PERIOD + 3_000_000


def times_of(header: Callable[[int], int], count: int = 12) -> tuple[list[int], list[str]]:
    pairs = [(header(index), recorded(index)) for index in range(count)]
    time = RecordedTime(pairs[:100])
    return [time.stamp_ns(*pair) for pair in pairs], time.problems


def test_good_stamps_stay() -> None:
    stamps, problems = times_of(lambda index: BASE + index * PERIOD)
    assert stamps == [BASE + index * PERIOD for index in range(12)] and problems == []


def test_stamps_of_another_clock_stay() -> None:
    """As simulation has it."""
    stamps, problems = times_of(lambda index: 7 * SECOND + index * PERIOD)
    assert stamps == [7 * SECOND + index * PERIOD for index in range(12)] and problems == []


@pytest.mark.parametrize(
    "header",
    [
        lambda _: BASE,
        lambda _: 0,
        lambda _: -5 * SECOND,
        lambda index: -SECOND + index,
        lambda index: BASE - index * PERIOD,
    ],
    ids=["frozen", "zero", "negative", "negative and growing", "backwards"],
)
def test_stamps_that_do_not_grow_give_way_to_the_time_of_recording(header: Callable[[int], int]) -> None:
    stamps, problems = times_of(header)
    assert stamps == [recorded(index) for index in range(12)]
    assert problems == ["the stamps in the images' headers do not grow: the time of recording is used instead"]


def test_images_that_are_sent_twice_keep_their_stamps() -> None:
    stamps, problems = times_of(lambda index: BASE + index // 2 * PERIOD)
    assert stamps == [BASE + index // 2 * PERIOD for index in range(12)] and problems == []


@pytest.mark.parametrize("wrong", [3600 * SECOND, -3600 * SECOND, 12 * SECOND])
@pytest.mark.parametrize("place", [0, 1, 6, 10])
def test_one_wrong_stamp_is_replaced_and_told(wrong: int, place: int) -> None:
    stamps, problems = times_of(lambda index: BASE + index * PERIOD + (wrong if index == place else 0))
    assert stamps == [BASE + index * PERIOD for index in range(12)] or place == 0
    assert all(abs(stamp - (BASE + index * PERIOD)) < SECOND for index, stamp in enumerate(stamps))
    assert place == 0 or f"is {wrong / SECOND:.1f} s off" in problems[0]


@pytest.mark.parametrize("bad", [0, -5 * SECOND])
def test_one_stamp_that_is_no_time_is_replaced_and_told(bad: int) -> None:
    stamps, problems = times_of(lambda index: BASE + index * PERIOD if index != 6 else bad)
    assert stamps == [BASE + index * PERIOD for index in range(12)]
    assert "no time (not above 0)" in problems[0]


def test_clock_that_was_set_while_recording_is_kept_and_told() -> None:
    stamps, problems = times_of(lambda index: index * PERIOD + (5 * SECOND if index < 6 else BASE))
    assert stamps[:6] == [5 * SECOND + index * PERIOD for index in range(6)]
    assert stamps[7:] == [BASE + index * PERIOD for index in range(7, 12)]
    assert "jump by 1699999995.0 s: a clock was set while recording" in problems[0]


def test_pause_of_the_camera_is_no_jump() -> None:
    pairs = [(BASE + second * SECOND, BASE + second * SECOND + PERIOD) for second in (0, 1, 2, 600, 601)]
    time = RecordedTime(pairs)
    assert [time.stamp_ns(*pair) for pair in pairs] == [header for header, _ in pairs] and time.problems == []


def test_recording_times_that_say_nothing_are_not_asked() -> None:
    pairs = [(BASE + second * SECOND, 0) for second in (1, 2, 3, 600, 601)]
    time = RecordedTime(pairs)
    assert [time.stamp_ns(*pair) for pair in pairs] == [header for header, _ in pairs] and time.problems == []


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=30), st.integers(1, 100))
def test_no_stamp_is_ever_the_end(headers: list[int], sampled: int) -> None:
    pairs = [(header, recorded(index)) for index, header in enumerate(headers)]
    time = RecordedTime(pairs[:sampled])
    assert all(isinstance(time.stamp_ns(*pair), int) for pair in pairs)


def test_growing() -> None:
    assert stamps_grow([]) and stamps_grow([1]) and stamps_grow([1, 2]) and stamps_grow([1, 1, 2, 2])
    assert not stamps_grow([1, 1]) and not stamps_grow([2, 1]) and not stamps_grow([1, 1, 1, 1, 2])


def bag(folder: Path, header: Callable[[int], int]) -> Source:
    messages = [("/image", recorded(index), compressed_message(header(index), IMAGE)) for index in range(12)]
    return open_source(str(write_bag(folder, "mcap", messages)))


def test_bag_of_frozen_stamps(tmp_path: Path) -> None:
    source = bag(tmp_path / "bag", lambda _: BASE)
    assert [frame.stamp_ns for frame in source] == [recorded(index) for index in range(12)]
    assert "do not grow" in source.problems[0] and len(source.problems) == 1


def test_bag_with_one_stamp_before_1970(tmp_path: Path) -> None:
    source = bag(tmp_path / "bag", lambda index: BASE + index * PERIOD if index != 4 else -5 * SECOND)
    assert [frame.stamp_ns for frame in source] == [BASE + index * PERIOD for index in range(12)]
    assert "no time" in source.problems[0]
