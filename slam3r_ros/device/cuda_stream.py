"""Work on a stream of its own, beside the stream that the engine's thread uses; on a CPU all is one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class SideStream:
    """A second stream of a CUDA device. What is given to it runs while the first stream's work goes on."""

    def __init__(self, device: torch.device) -> None:
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)
            self._stream.wait_stream(torch.cuda.current_stream(device))  # the weights may still be on their way

    @contextmanager
    def work(self) -> Iterator[None]:
        """The device's operations inside go to this stream, from whatever thread."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield

    def mark(self) -> torch.cuda.Event | None:
        """What stands after all that this stream has been given; None where there is none to wait for."""
        return None if self._stream is None else self._stream.record_event()

    def take(self, tensors: Iterable[Tensor], mark: torch.cuda.Event | None) -> None:
        """Let the current stream wait, not the caller, until `mark` is reached; then it may use the tensors, whose
        memory is not given to new work of this stream before the current one is done with them.
        """
        if self._stream is None or mark is None:
            return
        current = torch.cuda.current_stream(self._stream.device)
        current.wait_event(mark)
        for tensor in tensors:
            tensor.record_stream(current)
