"""When images are prepared: shortly before the engine is free, by a clock that the test turns."""

from __future__ import annotations

import threading

import pytest

from slam3r_ros.ros.threads.back_pressure import BackPressure


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def busy_for(back_pressure: BackPressure, clock: FakeClock, seconds: float) -> None:
    back_pressure.begin_work()
    clock.now_s += seconds
    back_pressure.end_work()


def test_at_first_and_whenever_the_engine_is_free_images_are_wanted(clock: FakeClock) -> None:
    back_pressure = BackPressure(clock)
    assert back_pressure.wait_until_wanted(0.0, 0.0)
    back_pressure.begin_work()
    assert back_pressure.wait_until_wanted(0.0, 0.0)  # nothing is known yet of how long it will be busy
    clock.now_s += 0.04
    back_pressure.end_work()
    assert back_pressure.wait_until_wanted(0.0, 0.0)


def test_a_busy_engine_wants_an_image_as_long_before_it_is_free_as_preparing_takes(clock: FakeClock) -> None:
    back_pressure = BackPressure(clock)
    for _ in range(30):
        busy_for(back_pressure, clock, 0.04)
    back_pressure.begin_work()
    assert back_pressure.remaining_s() == pytest.approx(0.04)
    assert not back_pressure.wait_until_wanted(0.01, 0.0)
    clock.now_s += 0.029
    assert not back_pressure.wait_until_wanted(0.01, 0.0)
    clock.now_s += 0.002
    assert back_pressure.wait_until_wanted(0.01, 0.0)
    clock.now_s += 1.0  # longer than usual
    assert back_pressure.remaining_s() == 0.0


def test_the_time_expected_follows_the_engine_and_one_slow_frame_changes_it_little(clock: FakeClock) -> None:
    back_pressure = BackPressure(clock)
    for _ in range(30):
        busy_for(back_pressure, clock, 0.04)
    busy_for(back_pressure, clock, 0.14)
    back_pressure.begin_work()
    assert back_pressure.remaining_s() == pytest.approx(0.06)
    back_pressure.end_work()
    for _ in range(30):
        busy_for(back_pressure, clock, 0.1)
    back_pressure.begin_work()
    assert back_pressure.remaining_s() == pytest.approx(0.1, rel=0.01)


def test_waiting_ends_at_once_when_the_engine_becomes_free(clock: FakeClock) -> None:
    back_pressure = BackPressure(clock)
    busy_for(back_pressure, clock, 1000.0)
    back_pressure.begin_work()  # expected to be busy for as long again
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(back_pressure.wait_until_wanted(0.0, 1000.0)), daemon=True)
    waiting.start()
    waiting.join(0.03)
    assert answers == []
    back_pressure.end_work()
    waiting.join(60.0)
    assert answers == [True]
