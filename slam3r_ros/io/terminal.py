"""Words for a terminal that may go away: a closed window or a pipe that nobody reads ends no command."""

from __future__ import annotations

import io
import os
import sys


def say(text: str, *, is_trouble: bool = False) -> None:
    """Print a line to standard output or, of trouble, to standard error; nothing where neither can be written to."""
    try:
        print(text, file=sys.stderr if is_trouble else sys.stdout, flush=True)
    except OSError:
        silence()


def ensure_standard_streams() -> None:
    """Give a process that was started without a standard stream one that leads nowhere.

    Without it Python has none to print to, and the first file that is opened gets its number: what a library prints as
    an error would go into a map.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))


def silence() -> None:
    """Send what is still printed to nowhere, so that writing it fails no more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


class LastingStderr(io.TextIOBase):
    """Standard error for a line of progress, that swallows the errors of a terminal that is gone."""

    def write(self, text: str) -> int:
        """Write a text; returns its length."""
        try:
            return sys.stderr.write(text)
        except OSError:
            silence()
            return len(text)

    def flush(self) -> None:
        """Hand on what is buffered."""
        try:
            sys.stderr.flush()
        except OSError:
            silence()

    def isatty(self) -> bool:
        """Whether a terminal shows it."""
        return sys.stderr.isatty()
