"""Work in the background: one piece at a time, and what becomes of its result."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from slam3r_ros.background_task import BackgroundTask

LIMIT_S = 60.0


class Gate:
    """Work that begins, and ends when it is let."""

    def __init__(self) -> None:
        self.begun, self.leave = threading.Event(), threading.Event()

    def work(self, answer: int, *, plus: int = 0) -> int:
        self.begun.set()
        assert self.leave.wait(LIMIT_S)
        return answer + plus


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.leave.set()


def test_the_caller_goes_on_and_takes_the_result_later(gate: Gate) -> None:
    task: BackgroundTask[int] = BackgroundTask("test")
    assert not task.is_pending and not task.is_running
    task.start(gate.work, 3, plus=4)
    assert gate.begun.wait(LIMIT_S)
    assert task.is_pending and task.is_running
    gate.leave.set()
    assert task.result() == 7
    assert not task.is_pending and not task.is_running


def test_work_that_has_ended_is_pending_until_its_result_is_taken() -> None:
    task, ended = BackgroundTask[int]("test"), threading.Event()
    task.start(lambda: 5)
    task._executor.submit(ended.set)  # the same thread does it afterwards
    assert ended.wait(LIMIT_S)
    assert task.is_pending and not task.is_running
    assert task.result() == 5


def test_nothing_is_started_before_the_result_has_been_taken(gate: Gate) -> None:
    task: BackgroundTask[int] = BackgroundTask("test")
    task.start(gate.work, 1)
    for _ in range(2):  # while it runs, and when it has ended
        with pytest.raises(RuntimeError, match="the result of the work before has not been taken"):
            task.start(pytest.fail, "started")
        gate.leave.set()
    assert task.result() == 1
    task.start(lambda: 2)
    assert task.result() == 2


def test_a_result_is_taken_once() -> None:
    task: BackgroundTask[int] = BackgroundTask("test")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no work whose result could be taken"):
            task.result()
        task.start(lambda: 5)
        assert task.result() == 5


def test_what_the_work_raises_is_raised_to_who_takes_the_result_and_the_next_work_is_done() -> None:
    task: BackgroundTask[float] = BackgroundTask("test")

    def divide(dividend: float, divisor: float) -> float:
        return dividend / divisor

    task.start(divide, 1.0, 0.0)
    with pytest.raises(ZeroDivisionError):
        task.result()
    assert not task.is_pending and not task.is_running
    task.start(divide, 1.0, 2.0)
    assert task.result() == 0.5


def test_the_result_of_dropped_work_is_nobody_s(gate: Gate) -> None:
    task: BackgroundTask[int] = BackgroundTask("test")
    task.drop()  # there is none
    task.start(gate.work, 1)
    assert gate.begun.wait(LIMIT_S)
    task.drop()
    assert not task.is_pending and not task.is_running
    with pytest.raises(RuntimeError, match="no work"):
        task.result()
    task.start(lambda: 2)
    assert task.is_running  # behind what was dropped, which is not interrupted
    gate.leave.set()
    assert task.result() == 2


def test_all_work_is_done_by_one_thread_of_that_name() -> None:
    task: BackgroundTask[threading.Thread] = BackgroundTask("points")
    threads = []
    for _ in range(3):
        task.start(threading.current_thread)
        threads.append(task.result())
    assert len(set(threads)) == 1 and threads[0] is not threading.current_thread()
    assert threads[0].name.startswith("points")


def test_no_thread_is_begun_before_there_is_work() -> None:
    before = threading.active_count()
    BackgroundTask[int]("test")
    assert threading.active_count() == before
