"""A process that is killed (SIGKILL), or meets a full disk, while it writes: the file opens, and what was committed is
there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from map_file_events import STRIDE

from slam3r_ros.map_file.facts import MapFacts
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.writer import MapFileWriter

EVENTS = Path(__file__).parents[1] / "map_file_events.py"
UNLIMITED = 1 << 40


class Writers:
    """A process that starts others, each of which writes keyframes; so torch is imported once."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(EVENTS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, path: Path, limit_bytes: int = UNLIMITED) -> int:
        """Start a process that writes keyframes; returns its number when the first is committed."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{path} {limit_bytes}\n")
        self.process.stdin.flush()
        word, number = self.line().split()
        assert word == "process" and self.line() == "0"
        return int(number)

    def line(self) -> str:
        """The next line of its output."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process that starts the writers has ended"
        return line.strip()

    def rest(self) -> list[str]:
        """The lines to the end of the process that writes."""
        lines = []
        while not (line := self.line()).startswith("ended"):
            lines.append(line)
        return lines


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    started = Writers()
    yield started
    assert started.process.stdin is not None
    started.process.stdin.close()
    assert started.process.wait(60) == 0


def committed(lines: list[str]) -> int:
    """The number of keyframes that the process has said to be committed, with the first."""
    return 1 + len([line for line in lines if line.isdigit()])


def test_a_killed_process_loses_at_most_the_keyframe_in_work(writers: Writers, tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    for attempt in range(6):
        path = tmp_path / f"room{attempt}.slam3r"
        process = writers.start(path)
        time.sleep(float(random.uniform(0, 0.25)))
        os.kill(process, signal.SIGKILL)
        count = committed(writers.rest())
        with MapFile(path) as file:
            scene = file.reconstruction()
            assert count <= len(scene.keyframes) <= count + 1
            assert [view.id for view in scene.keyframes] == list(range(len(scene.keyframes)))
            assert len(scene.trajectory) >= STRIDE * (count - 1) + 1
            assert file.meta()["closed"] is False and len(scene.points) > 100


def test_a_killed_process_gives_the_file_free(writers: Writers, tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    process = writers.start(path)
    with pytest.raises(OSError, match="is being written by another process"):
        MapFileWriter(path, MapFacts())
    os.kill(process, signal.SIGKILL)
    writers.rest()
    MapFileWriter(path, MapFacts()).close()
    with MapFile(path) as file:
        assert len(file.keyframe_ids()) >= 1


@pytest.mark.parametrize("limit_bytes", [400_000, 700_000])
def test_a_full_disk_is_said_and_leaves_a_good_file(writers: Writers, tmp_path: Path, limit_bytes: int) -> None:
    path = tmp_path / "room.slam3r"
    writers.start(path, limit_bytes)
    lines = writers.rest()
    assert any("room.slam3r'" in line and "disk" in line for line in lines)
    with MapFile(path) as file:
        assert len(file.keyframe_ids()) >= committed(lines) > 3
