"""When images are prepared: shortly before the engine is free, by a clock that the test turns."""

from __future__ import annotations

import threading
import time

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


def busy_for(demand: BackPressure, clock: FakeClock, seconds: float) -> None:
    demand.begin()
    clock.now_s += seconds
    demand.end()


def test_at_first_and_whenever_the_engine_is_free_images_are_wanted(clock: FakeClock) -> None:
    demand = BackPressure(clock)
    assert demand.wait(0.0, 0.0)
    demand.begin()
    assert demand.wait(0.0, 0.0)  # nothing is known yet of how long it will be busy
    clock.now_s += 0.04
    demand.end()
    assert demand.wait(0.0, 0.0)


def test_a_busy_engine_wants_an_image_as_long_before_it_is_free_as_preparing_takes(clock: FakeClock) -> None:
    demand = BackPressure(clock)
    for _ in range(30):
        busy_for(demand, clock, 0.04)
    demand.begin()
    assert demand.left_s() == pytest.approx(0.04)
    assert not demand.wait(0.01, 0.0)
    clock.now_s += 0.029
    assert not demand.wait(0.01, 0.0)
    clock.now_s += 0.002
    assert demand.wait(0.01, 0.0)
    clock.now_s += 1.0  # longer than usual
    assert demand.left_s() == 0.0


def test_the_time_expected_follows_the_engine_and_one_slow_frame_changes_it_little(clock: FakeClock) -> None:
    demand = BackPressure(clock)
    for _ in range(30):
        busy_for(demand, clock, 0.04)
    busy_for(demand, clock, 0.14)
    demand.begin()
    assert demand.left_s() == pytest.approx(0.06)
    demand.end()
    for _ in range(30):
        busy_for(demand, clock, 0.1)
    demand.begin()
    assert demand.left_s() == pytest.approx(0.1, rel=0.01)


def test_waiting_ends_at_once_when_the_engine_becomes_free() -> None:
    demand = BackPressure()
    demand.begin()
    time.sleep(0.2)
    demand.end()
    demand.begin()  # expected to be busy for 0.2 s
    threading.Timer(0.03, demand.end).start()
    began = time.monotonic()
    assert demand.wait(0.0, 5.0)
    assert time.monotonic() - began < 0.19
