"""A request to the mapping thread gets an answer, whatever becomes of it; a stuck thread is not joined by another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import pytest
from rclpy.logging import get_logger
from ros_harness import PATIENCE_S, wait_until

from slam3r_ros.io.files import OutputError
from slam3r_ros.map_file.facts import MapFacts
from slam3r_ros.ros.pipeline.automatic_saving import AutomaticSaving
from slam3r_ros.ros.pipeline.map_recording import MapRecording
from slam3r_ros.ros.pipeline.session import Session, ThreadStuckError
from slam3r_ros.ros.pipeline.slam_runner import PublishingError
from slam3r_ros.ros.threads.back_pressure import BackPressure
from slam3r_ros.ros.threads.drop_oldest_queue import DropOldestQueue
from slam3r_ros.ros.threads.mapping_thread import MappingThread, RequestError
from slam3r_ros.ros.throttled_log import ThrottledLog


class Engine:
    """Mapping that does with each frame, and in the pauses, what it is told to."""

    has_pending = False

    def __init__(self) -> None:
        self.does: Callable[[], object] = lambda: None
        self.flushed = threading.Event()

    def process(self, _: object) -> None:
        self.does()

    def finish_pending(self) -> None:
        pass

    def publish_due(self) -> None:
        pass

    def flush(self) -> None:
        self.flushed.set()


@pytest.fixture
def running() -> Iterator[tuple[MappingThread, Engine, DropOldestQueue[Any]]]:
    engine, frames = Engine(), DropOldestQueue[Any](3)
    worker = MappingThread(frames, engine, BackPressure(), flush_after_s=0.0)  # type: ignore[arg-type]
    worker.start()
    yield worker, engine, frames
    worker.stop(PATIENCE_S)


def failing(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", [OutputError("disk full"), ValueError("no scale"), RuntimeError("device")])
def test_what_a_request_raises_is_told_to_who_asked(
    running: tuple[MappingThread, Engine, DropOldestQueue[Any]], error: Exception
) -> None:
    worker, _, _ = running
    assert worker.submit(failing(error)).exception(PATIENCE_S) is error
    assert worker.submit(lambda: 7).result(PATIENCE_S) == 7


@pytest.mark.parametrize("error", [cv2.error("filter"), PublishingError("no context"), MemoryError(), AssertionError()])
def test_an_unforeseen_one_is_told_too_and_the_worker_goes_on(
    running: tuple[MappingThread, Engine, DropOldestQueue[Any]], error: Exception
) -> None:
    worker, _, _ = running
    told = worker.submit(failing(error)).exception(PATIENCE_S)
    assert isinstance(told, RequestError) and type(error).__name__ in str(told)
    assert worker.submit(lambda: 7).result(PATIENCE_S) == 7
    assert worker.failure is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_requests_to_a_worker_that_fails_are_refused(
    running: tuple[MappingThread, Engine, DropOldestQueue[Any]],
) -> None:
    worker, engine, frames = running
    began, leave = threading.Event(), threading.Event()

    def fail_later() -> None:
        began.set()
        assert leave.wait(PATIENCE_S)
        raise PublishingError("no context")

    engine.does = fail_later
    frames.put("frame")
    assert began.wait(PATIENCE_S)
    waiting = worker.submit(lambda: 7)
    leave.set()
    assert "no context" in str(waiting.exception(PATIENCE_S))
    wait_until(lambda: worker.failure is not None, "the failure")
    assert "no context" in str(worker.submit(lambda: 7).exception(PATIENCE_S))


def test_a_thread_that_was_never_started_can_be_stopped() -> None:
    """As where a signal comes while the node is being activated."""
    worker = MappingThread(DropOldestQueue[Any](3), Engine(), BackPressure(), flush_after_s=0.0)  # type: ignore[arg-type]
    assert worker.stop(PATIENCE_S)


class Thread:
    """A thread that ends only when it is let."""

    def __init__(self, ends: bool) -> None:
        self.ends, self.told = ends, 0

    def stop(self, _: float) -> bool:
        self.told += 1
        return self.ends


def session_of(tracking: Thread, mapping: Thread, runner: object, save_on_exit: str = "") -> Any:
    """A session after activation, with these parts."""
    session: Any = object.__new__(Session)
    session._subscription, session._tracking, session._mapping, session._runner = None, tracking, mapping, runner
    session._builder, session._loops, session._stuck = None, None, []
    session.settings = SimpleNamespace()
    session._outputs = SimpleNamespace(destroy=lambda: None)
    session._log = ThrottledLog(get_logger("test"), lambda: 0)
    session._recording = SimpleNamespace(close=lambda: None, failure="")
    session._saving = AutomaticSaving(save_on_exit, session._log)
    session._recording = MapRecording("", MapFacts(), session._log)
    return session


def test_while_a_thread_is_stuck_nothing_else_uses_the_engine(tmp_path: Any) -> None:
    calls: list[str] = []
    saved = SimpleNamespace(point_count=1, map_path="map")
    runner = SimpleNamespace(
        flush=lambda: calls.append("flush"),
        save=lambda _: calls.append("save"),
        save_without_flush=lambda _: calls.append("save as it is") or saved,
        status=lambda: SimpleNamespace(map_points=1),
    )
    tracking, mapping = Thread(ends=False), Thread(ends=True)
    session = session_of(tracking, mapping, runner, str(tmp_path / "map.ply"))
    with pytest.raises(ThreadStuckError):
        session.deactivate()
    assert mapping.told == 1  # too, though the other one is stuck
    with pytest.raises(ThreadStuckError, match="before the node was deactivated"):
        session.activate()
    assert isinstance(session.save("map.ply").exception(0.0), ThreadStuckError)
    session.close()
    assert calls == ["save as it is"]


def test_a_thread_that_ends_late_leaves_the_engine_to_others() -> None:
    calls: list[str] = []
    runner = SimpleNamespace(flush=lambda: calls.append("flush"), save=lambda path: calls.append(path) or path)
    tracking = Thread(ends=False)
    session = session_of(tracking, Thread(ends=True), runner)
    with pytest.raises(ThreadStuckError):
        session.deactivate()
    tracking.ends = True
    assert session.save("map.ply").result(0.0) == "map.ply"
    assert calls == ["map.ply"]
