"""A process of our own that answers requests through a pipe: what crashes there does not end the page."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

_CONTEXT = multiprocessing.get_context("spawn")
"""New processes begin with a fresh interpreter: a fork would copy threads' locks and the page's sockets."""
_JOIN_S = 5.0
_PIXELS_VARIABLE = "OPENCV_IO_MAX_IMAGE_PIXELS"
"""The environment variable with the most pixels of an image that OpenCV decodes; a process reads it when it starts."""


class ProcessEndedError(RuntimeError):
    """The process has ended without an answer; the message says how."""


class ChildProcess:
    """A process that runs ``target(connection)`` until the connection is closed; started when it is first needed, and
    again after it has ended. It ends with this process, however that ends.

    To be used by one thread, but for `close`.
    """

    def __init__(self, name: str, target: Callable[[Connection], None]) -> None:
        self._name, self._target = name, target
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """The number of the process; None where it is not running."""
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    def start(self) -> None:
        """Start the process unless it runs already. Raises ProcessEndedError after `close`."""
        if self._is_closed:
            raise ProcessEndedError("the process was ended")
        if self.pid is not None:
            return
        self.kill()
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=self._target, args=(theirs,), name=self._name, daemon=True)
        process.start()
        theirs.close()
        self._process, self._connection = process, ours

    def send(self, message: object) -> None:
        """Hand a message to the process, which is started where it does not run. Raises ProcessEndedError."""
        self.start()
        connection = self._connection
        try:
            if connection is None:
                raise ProcessEndedError("the process was ended")
            connection.send(message)
        except OSError as error:
            raise self._ended() from error

    def receive(self, timeout_s: float) -> object | None:
        """The next message of the process, None where none has come in this time. Raises ProcessEndedError."""
        connection = self._connection
        if connection is None:
            raise ProcessEndedError("the process was ended")
        try:
            message: object | None = connection.recv() if connection.poll(timeout_s) else None
        except (EOFError, OSError) as error:
            raise self._ended() from error
        return message

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if process is not None:
            process.kill()
            process.join(_JOIN_S)
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """End the process at once, for good."""
        self._is_closed = True
        self.kill()

    def _ended(self) -> ProcessEndedError:
        """Why the process has ended."""
        process = self._process
        if process is None:
            return ProcessEndedError("the process was ended")
        process.join(_JOIN_S)
        status = process.exitcode
        if status is not None and status < 0:
            number = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
            memory = ": the computer may have too little memory" if -status == signal.SIGKILL else ""
            return ProcessEndedError(f"the process was ended by signal {number}{memory}")
        return ProcessEndedError(f"the process ended with status {status}")


def limit_decoded_pixels(pixels: int) -> None:
    """Let the processes that are started from now on decode no image of more pixels, wherever it comes from."""
    os.environ[_PIXELS_VARIABLE] = str(pixels)


def ignore_interrupts() -> None:
    """For the process: Ctrl-C, which a terminal sends to all processes, is for the page's process alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
