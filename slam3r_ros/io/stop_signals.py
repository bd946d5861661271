"""Ending a process cleanly when a signal asks for it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals by which Ctrl-C, a launch file or a service manager, and a terminal that closes ask a process to end."""
_POLL_S = 0.05
"""Longest time, in seconds, that `StopRequest.wait` sleeps before it looks whether a signal has come."""


class StopRequest:
    """Whether this process was asked to end. It has no lock, so that a signal's handler may set it at any moment."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        """The first signal that came; None before."""
        self.is_interrupting = False
        """Whether the first signal raises KeyboardInterrupt in the main thread; see `interrupting`."""
        self._is_set = False

    def set(self) -> None:
        """Ask the process to end."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether it was asked to end."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Wait until it is asked to end, for so long at most; returns `is_set`."""
        end_s = time.monotonic() + seconds
        while not self._is_set and (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _POLL_S))
        return self._is_set

    @property
    def exit_status(self) -> int:
        """What a shell reports of a process that a signal has ended, 128 + its number; 0 where none came."""
        return 0 if self.signal_number is None else 128 + self.signal_number

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """A block that the first signal ends by KeyboardInterrupt; also one that came before it."""
        self.is_interrupting = True
        try:
            if self._is_set:
                raise KeyboardInterrupt
            yield
        finally:
            self.is_interrupting = False


@contextmanager
def stop_on_signals(*, process_ends: bool = True, second_interrupts: bool = False) -> Iterator[StopRequest]:
    """A request to stop that SIGINT (Ctrl-C), SIGTERM and SIGHUP (a terminal that closes) set, in the main thread.

    A hang-up that is ignored from the start, as nohup has it, stays ignored. With ``second_interrupts`` a Ctrl-C after
    the first signal raises KeyboardInterrupt. After the block all are ignored where the process ends (`ros2 launch` and
    a terminal may both send one), else they do what they did before.
    """
    stop = StopRequest()
    usual = {number: signal.getsignal(number) for number in _SIGNALS}

    def handle(number: int, _frame: object) -> None:
        if stop.signal_number is None:
            stop.signal_number = number
            stop.set()
            if stop.is_interrupting:
                raise KeyboardInterrupt
        elif second_interrupts and number == signal.SIGINT:
            raise KeyboardInterrupt

    for number, action in usual.items():
        if number != signal.SIGHUP or action != signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, action in usual.items():
            signal.signal(number, signal.SIG_IGN if process_ends else action)
