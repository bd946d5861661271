"""The processes of a command end with it, whatever ends the command, and leave no shared memory."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slam3r_ros.cli import process_guard
from slam3r_ros.cli.process_guard import guarding, remove_abandoned_segments

pytestmark = pytest.mark.usefixtures("default_signals")

CHILD = """
import signal, sys, time
def end(number, frame):
    print("asked by", number, flush=True)
    sys.exit(0)
signal.signal(signal.SIGINT, end)
print("began", flush=True)
time.sleep(600)
"""
COMMAND = f"""
import sys, time
from pathlib import Path
from slam3r_ros.cli.process_guard import guarding
with guarding() as guard, guard.running([sys.executable, "-c", {CHILD!r}], Path(sys.argv[1])) as child:
    print(child.pid, flush=True)
    time.sleep(600)
"""


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def is_running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_process_is_asked_to_end_when_its_command_is_gone(number: signal.Signals, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with subprocess.Popen([sys.executable, "-c", COMMAND, str(log)], stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        child = int(command.stdout.readline())
        wait_for(lambda: "began" in log.read_text(), "the child's start")
        command.send_signal(number)
        assert command.wait(60) != 0
    wait_for(lambda: not is_running(child), "the child's end")
    assert log.read_text().split() == ["began", "asked", "by", str(int(signal.SIGINT))]


def test_a_process_that_does_not_end_when_asked_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_guard, "_END_LIMIT_S", 0.2)
    deaf = CHILD.replace("sys.exit(0)", "pass").replace("time.sleep(600)", "[time.sleep(1) for _ in range(600)]")
    log = tmp_path / "log"
    with guarding() as guard:
        with guard.running([sys.executable, "-c", deaf], log) as child:
            wait_for(lambda: "began" in log.read_text(), "the child's start")
        assert child.returncode == -signal.SIGKILL
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"began\n"
        process_guard._ask_to_end([os.pidfd_open(other.pid)])
        assert other.wait(60) == -signal.SIGKILL


def test_shared_memory_of_the_dead_goes_and_that_of_the_living_stays(tmp_path: Path) -> None:
    dead = ["fastdds_0123456789abcdef", "fastrtps_port7412"]
    for name in dead:
        (tmp_path / name).write_bytes(b"segment")
    (tmp_path / f"{dead[0]}_el").touch()
    (tmp_path / f"{dead[1]}_el").touch()
    (tmp_path / f"{dead[1]}_sl").touch()
    (tmp_path / f"sem.{dead[1]}_mutex").touch()
    roomless = tmp_path / "fastdds_1111111111111111"
    roomless.touch()
    os.utime(roomless, (0, 0))
    kept = ["fastdds_fedcba9876543210", "fastdds_fedcba9876543210_el", "fastdds_port7000", "fastdds_port7000_el",
            "fastdds_port7000_sl", "fastdds_2222222222222222", "lttng-ust-wait-6", "fast_el", "other_el"]  # fmt: skip
    for name in kept:
        (tmp_path / name).touch()
    with (tmp_path / kept[1]).open("rb") as living, (tmp_path / kept[4]).open("rb") as listening:
        fcntl.flock(living, fcntl.LOCK_EX)
        fcntl.flock(listening, fcntl.LOCK_SH)
        assert remove_abandoned_segments(tmp_path) == ["fastdds_0123456789abcdef", roomless.name, "fastrtps_port7412"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
