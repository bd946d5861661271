"""How far a command is, as one line on the terminal that is written anew."""

from __future__ import annotations

import io
import time
from types import TracebackType

from slam3r_ros.io.terminal import LastingStderr

_BAR_WIDTH = 24


class Progress:
    """A line on standard error: description, bar, count, rate and a note; a context manager that ends the line.

    On a terminal the line is written anew at most every `interval_s`; elsewhere, as in a log, only its last state is
    written.
    """

    def __init__(
        self,
        description: str,
        total: int | None,
        unit: str,
        *,
        interval_s: float = 0.2,
        out: io.TextIOBase | None = None,
    ) -> None:
        self.count = 0
        """How many are done."""
        self._description, self._unit, self._interval_s = description, unit, interval_s
        self.total = total
        """How many there will be; None where that is not known."""
        self._out = LastingStderr() if out is None else out
        self._note = ""
        self._started_s = time.monotonic()
        self._shown_s = float("-inf")
        self._shown_width = 0

    def __enter__(self) -> Progress:
        self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()
        self._out.write("\n")
        self._out.flush()

    def update(self, count: int, note: str = "") -> None:
        """So many are done now; the note is shown behind the count."""
        self.count, self._note = count, note
        if time.monotonic() - self._shown_s >= self._interval_s:
            self._show()

    def message(self, text: str) -> None:
        """Write a line of its own above."""
        self._out.write(f"{self._wiping()}{text}\n")
        self._shown_width = 0
        self._show()

    def text(self) -> str:
        """The line as it is now."""
        seconds = max(time.monotonic() - self._started_s, 1e-9)
        rate = f"{self.count / seconds:.1f} {self._unit}s/s"
        if self.total:
            share = min(self.count / self.total, 1.0)
            bar = ("#" * round(share * _BAR_WIDTH)).ljust(_BAR_WIDTH, ".")
            done = f"{share:4.0%} [{bar}] {self.count} of {self.total} {self._unit}s"
        else:
            done = f"{self.count} {self._unit}s"
        return ", ".join(part for part in (f"{self._description}: {done}", rate, self._note) if part)

    def _show(self) -> None:
        if self._out.isatty():
            self._shown_s = time.monotonic()
            self._write()

    def _write(self) -> None:
        text = self.text()
        self._out.write(self._wiping() + text)
        self._out.flush()
        self._shown_width = len(text)

    def _wiping(self) -> str:
        """What removes the line as it was shown last."""
        return f"\r{' ' * self._shown_width}\r" if self._shown_width else ""
