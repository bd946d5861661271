"""Stopping a process cleanly when a signal asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals by which Ctrl-C, a launch file or a service manager, and a terminal that closes ask a process to end."""


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT (Ctrl-C), SIGTERM and SIGHUP (a terminal that closes) set.

    A hang-up that is ignored from the start, as nohup has it, stays ignored. After the block all are ignored: the
    process is ending, cleanly.
    """
    stop = threading.Event()
    for number in _SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())
    try:
        yield stop
    finally:
        for number in _SIGNALS:  # `ros2 launch` and a terminal may both send one
            signal.signal(number, signal.SIG_IGN)
