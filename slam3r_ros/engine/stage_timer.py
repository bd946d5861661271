"""Time spent in each stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_WEIGHT = 0.1  # of the newest value in the moving average


class StageTimer:
    """Moving averages of milliseconds a frame, by stage.

    On a GPU a stage's time is that of giving its work to the device.
    """

    def __init__(self) -> None:
        self._average_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, frames: int = 1) -> Iterator[None]:
        """Measure the body as one run of stage ``name`` on so many frames."""
        started = time.perf_counter()
        try:
            yield
        finally:
            elapsed_ms = (time.perf_counter() - started) * 1e3 / frames
            previous = self._average_ms.get(name, elapsed_ms)
            self._average_ms[name] = previous + _WEIGHT * (elapsed_ms - previous)

    def average_ms(self) -> dict[str, float]:
        """A copy of the averages, by stage."""
        return dict(self._average_ms)
