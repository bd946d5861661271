"""Runs in a process of their own: two images alone, the queue, stopping, and a process that dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from upload_files import example_images

from slam3r_ros.app.messages import MAP_FILE_NAME, NetworkChoice, RunProgress, RunRequest
from slam3r_ros.app.run_manager import RunManager
from slam3r_ros.app.run_settings import RunSettings
from slam3r_ros.app.runs import Run, RunState
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.io.sources.example import EXAMPLE
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.summary import summarise
from slam3r_ros.types import PoseUpdate

LIMIT_S = 180.0


@pytest.fixture(scope="module")
def manager() -> Iterator[RunManager]:
    """One manager for all tests, so that torch is imported and the networks are loaded once."""
    made = RunManager()
    yield made
    made.close()


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[..., tuple[Run, list[RunProgress]]]:
    """Make a run of a source with settings, and the list of its messages."""

    def make(source: str, **values: int | float | str) -> tuple[Run, list[RunProgress]]:
        said: list[RunProgress] = []
        number = len(list(tmp_path.iterdir()))
        folder = tmp_path / f"run_{number}"
        folder.mkdir()
        settings = RunSettings().with_values({name.replace("__", "."): value for name, value in values.items()})
        return Run(RunRequest(source, None, settings, NetworkChoice(), folder), said.append), said

    return make


def wait_until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.01)


NewRun = Callable[..., tuple[Run, list[RunProgress]]]


def test_two_images_alone_give_a_map(manager: RunManager, new_run: NewRun, tmp_path: Path) -> None:
    (images := tmp_path / "images").mkdir()
    example_images(images, (100, 112))
    run, said = new_run(str(images))
    manager.submit(run)
    assert run.ended.wait(LIMIT_S)
    report = run.report()
    assert report.state is RunState.DONE and report.share == 1.0 and report.outcome is not None
    assert report.outcome.problems == () and "points from 2 images in" in report.sentence
    assert (said[-1].frames, said[-1].total) == (2, 2) and said[-1].status.map_points > 3000
    with MapFile(run.request.folder / MAP_FILE_NAME) as file:
        assert summarise(file).point_count == pytest.approx(said[-1].status.map_points, rel=0.001)
        # Pixels stand for the points of voxels, so where voxels are hardly larger some points share one again.
        assert 0.85 < len(file.points()) / said[-1].status.map_points <= 1.0
    events = [event for message in said for event in message.events]
    # Each has a view by the networks, and then one with dense depth; the first may be moved by the second.
    kinds = [type(event) for event in events if not isinstance(event, MapCorrection)]
    assert kinds == [PoseUpdate, KeyframeView, PoseUpdate, KeyframeView, KeyframeView, KeyframeView]
    views = [event for event in events if isinstance(event, KeyframeView)]
    assert [view.id for view in views] == [0, 1, 0, 1] and all(view.added is None for view in views)
    with MapFile(run.request.folder / MAP_FILE_NAME) as file:
        assert report.sentence.startswith(f"{len(file.points()):,} points")
        assert (len(file.keyframe_ids()), len(file.trajectory())) == (2, 2)


def test_a_run_waits_for_the_one_before_and_a_stopped_one_keeps_its_map(manager: RunManager, new_run: NewRun) -> None:
    first, said = new_run(str(EXAMPLE))
    second, _ = new_run(str(EXAMPLE), every=5)
    third, _ = new_run("/nowhere")
    manager.submit(first)
    wait_until(lambda: first.report().state is not RunState.QUEUED)
    manager.submit(second)
    manager.submit(third)
    assert second.report().sentence == "busy with another map: your run is number 1 in the queue"
    assert third.report().place == 2
    wait_until(lambda: bool(said) and said[-1].status.map_points > 0)
    assert 0 < first.report().share < 1 and first.report().state is RunState.RUNNING
    manager.stop(second)
    assert second.report().state is RunState.FAILED and third.report().place == 1
    assert second.report().sentence == "taken out of the queue before it began"
    manager.stop(first)
    assert first.report().state is RunState.STOPPING
    assert first.ended.wait(LIMIT_S) and first.report().state is RunState.DONE
    assert first.report().sentence.startswith("stopped: ") and said[-1].frames < 300
    with MapFile(first.request.folder / MAP_FILE_NAME) as file:
        assert len(file.trajectory()) > 10 and f"stopped: {len(file.points()):,} points" in first.report().sentence
    assert third.ended.wait(LIMIT_S) and third.report().state is RunState.FAILED
    assert third.report().sentence == "source '/nowhere' does not exist (looked for /nowhere)"


def test_a_process_that_dies_leaves_what_it_has_mapped(manager: RunManager, new_run: NewRun, tmp_path: Path) -> None:
    run, said = new_run(str(EXAMPLE))
    manager.submit(run)
    wait_until(lambda: sum(isinstance(event, KeyframeView) for message in said for event in message.events) > 5)
    pid = manager.process_ids[0]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert run.ended.wait(LIMIT_S)
    assert run.report().sentence == (
        "the run broke off: the process was ended by signal SIGKILL: the computer may have too little memory; "
        "what was mapped until then is kept"
    )
    with MapFile(run.request.folder / MAP_FILE_NAME) as file:
        assert len(file.keyframe_ids()) >= 5 and len(file.points()) > 1000
    (images := tmp_path / "images").mkdir()
    example_images(images, (100, 112))
    again, _ = new_run(str(images))
    manager.submit(again)
    assert again.ended.wait(LIMIT_S) and again.report().state is RunState.DONE
    assert manager.process_ids[0] not in (None, pid)


def test_a_camera_that_does_not_fit_is_refused(manager: RunManager, new_run: NewRun) -> None:
    run, _ = new_run(str(EXAMPLE), intrinsics="0 5 3 2")
    manager.submit(run)
    assert run.ended.wait(LIMIT_S) and run.report().state is RunState.FAILED
    assert run.report().sentence.startswith("intrinsics: focal lengths must be positive")


def test_closing_ends_everything(new_run: NewRun) -> None:
    manager = RunManager()
    first, said = new_run(str(EXAMPLE))
    second, _ = new_run(str(EXAMPLE))
    manager.submit(first)
    manager.submit(second)
    manager.close()
    assert first.report().state is RunState.FAILED and second.report().sentence == "the app is closed"
    assert manager.process_ids == (None,) and said == []
