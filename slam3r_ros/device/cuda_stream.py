"""A side stream of a CUDA device: work that runs beside that of the current stream; other devices have none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class SideStream:
    """A second stream of a CUDA device, whose work goes on while the current stream does its own.

    On any other device every operation is done at once, and all methods do nothing.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)
            self._stream.wait_stream(torch.cuda.current_stream(device))  # the weights may still be on their way

    @contextmanager
    def work(self) -> Iterator[None]:
        """The device's operations inside the context go to the side stream, from whatever thread."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield

    def record_event(self) -> torch.cuda.Event | None:
        """An event that happens when all work given to the side stream so far is done; None on other devices."""
        return None if self._stream is None else self._stream.record_event()

    def wait_event(self, event: torch.cuda.Event | None, tensors: Iterable[Tensor]) -> None:
        """Let the current stream, not the caller, wait for an event; then it may use the side stream's ``tensors``.

        Their memory is not given to new work of the side stream before the current stream is done with them.
        """
        if self._stream is None or event is None:
            return
        current = torch.cuda.current_stream(self._stream.device)
        current.wait_event(event)
        for tensor in tensors:
            tensor.record_stream(current)
