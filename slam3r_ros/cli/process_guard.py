"""Ends the processes of a command with it, whatever ends the command: ``python -m slam3r_ros.cli.process_guard``."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

_SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps shared memory."""
_LOCK_FILE = re.compile(r"(?P<segment>fast(dds|rtps)_\w+)_[es]l")
"""A lock file of a segment or port of Fast DDS, by the names of its version 3 and of those before."""
_SEGMENT = re.compile(r"fast(dds|rtps)_[0-9a-f]{16}")
"""A segment of Fast DDS."""
_LOCK_LIMIT_S = 10.0
"""Longest time, in seconds, from the making of a segment to that of its lock."""
_END_LIMIT_S = 20.0
"""Longest time, in seconds, that a process which was asked to end has for it, before it is killed."""
_KILL_LIMIT_S = 5.0
"""Longest time, in seconds, that the system has for killing a process."""


class ProcessGuard:
    """A process of its own that ends others when this one has ended, as it should or by any signal, SIGKILL too.

    It learns of the end by the pipe that it reads: the system closes the other end with the process that holds it.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        """``pipe`` is what the guard reads."""
        self._pipe = pipe

    @contextmanager
    def running(self, command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A process whose output goes to a file, in a session of its own, so that Ctrl-C in a terminal does not reach
        it; it is asked to end at the end of the block, and killed where it does not."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._pipe.write(b"%d\n" % process.pid)
        self._pipe.flush()
        try:
            yield process
        finally:
            end_process(process, _END_LIMIT_S)


def end_process(process: subprocess.Popen[bytes], limit_s: float) -> None:
    """Ask a process to end, as Ctrl-C does, if it still runs; kill it where it does not within so many seconds."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def guarding() -> Iterator[ProcessGuard]:
    """A guard; at the end of the block it ends what still runs and removes the shared memory that was left behind."""
    command = [sys.executable, "-m", __name__]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    try:
        yield ProcessGuard(process.stdin)
    finally:
        process.stdin.close()
        process.wait()


def remove_abandoned_segments(folder: Path = _SHARED_MEMORY) -> list[str]:
    """Remove Fast DDS's shared memory of processes that were killed, as `fastdds shm clean` does; returns the names.

    A process that lives holds a lock on one of the files ``NAME_el`` and ``NAME_sl`` beside its segment or port.
    """
    locks: dict[str, list[Path]] = {}
    for path in folder.glob("fast*_[es]l"):
        if (found := _LOCK_FILE.fullmatch(path.name)) is not None:
            locks.setdefault(found["segment"], []).append(path)
    for path in folder.glob("fast*"):  # one that had no room in the folder gets no lock
        if _SEGMENT.fullmatch(path.name) and time.time() - _modified_s(path) > _LOCK_LIMIT_S:
            locks.setdefault(path.name, [])
    return [name for name, files in sorted(locks.items()) if _remove_segment(folder, name, files)]


def _modified_s(path: Path) -> float:
    """When a file was changed last, seconds since 1970; the future for one that is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return float("inf")


def _remove_segment(folder: Path, name: str, locks: list[Path]) -> bool:
    """Remove a segment or port, unless a process holds one of its locks or it is another user's."""
    with ExitStack() as stack, suppress(OSError):
        for lock in locks:
            fcntl.flock(stack.enter_context(lock.open("rb")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in (folder / name, folder / f"sem.{name}_mutex", *locks):
            path.unlink(missing_ok=True)
        return True
    return False


def main() -> int:
    """Read the numbers of processes from standard input until it ends; then end these processes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    processes = []
    for line in sys.stdin:
        with suppress(ProcessLookupError):  # it has ended already
            processes.append(os.pidfd_open(int(line)))
    _ask_to_end(processes)
    remove_abandoned_segments()
    return 0


def _ask_to_end(processes: list[int]) -> None:
    """Interrupt processes, given by their descriptors, and kill those that have not ended in time."""
    for number, limit_s in ((signal.SIGINT, _END_LIMIT_S), (signal.SIGKILL, _KILL_LIMIT_S)):
        for process in processes:
            with suppress(ProcessLookupError):  # it has ended already
                signal.pidfd_send_signal(process, number)
        end_s = time.monotonic() + limit_s
        while processes and (left_s := end_s - time.monotonic()) > 0:
            ended, _, _ = select.select(processes, [], [], left_s)
            processes = [process for process in processes if process not in ended]


if __name__ == "__main__":
    sys.exit(main())
