"""The out-of-memory guard: what does not fit into the device's memory is run again with smaller batches."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_OUT_OF_MEMORY = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)
"""What the messages of CUDA and its libraries hold when memory ran out below torch's own allocator, and those of its
allocator on a CPU, which raises a plain RuntimeError."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device's memory was full, as torch's allocator, NumPy or a library below them says."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)


class MemoryGuard:
    """Runs work again with smaller batches, and then with fewer keyframes, while the device's memory is full.

    What was found to fit holds from then on.
    """

    def __init__(self) -> None:
        self._batch_limit: int | None = None
        self.warnings: tuple[str, ...] = ()
        """What had to be reduced, in order, one sentence each."""

    def add_warning(self, text: str) -> None:
        """Add a sentence to the warnings, unless it is empty or among them already."""
        if text and text not in self.warnings:
            self.warnings += (text,)

    @property
    def batch_limit(self) -> int | None:
        """Largest number of frames that go through a network at once; None while there is no limit."""
        return self._batch_limit

    def batches(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        """The items in order, in batches as large as the limit allows."""
        size = self._batch_limit or max(len(items), 1)
        return (items[start : start + size] for start in range(0, len(items), size))

    def run(self, work: Callable[[], Result], frames: int, shrink_buffer: Callable[[], int]) -> Result | None:
        """What ``work`` for so many frames returns; None where it does not fit however little is asked for.

        ``work`` is called again after each reduction, so it must be something that can be begun anew.
        ``shrink_buffer`` makes the keyframe buffer smaller and returns the number of its keyframes then, 0 where it
        cannot be made smaller.
        """
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Not in the handler: the error holds on to the tensors of all calls it came through.
            gc.collect()
            torch.cuda.empty_cache()
            if not (reduction := self._reduce(frames, shrink_buffer)):
                return None
            self.warnings += (f"the device's memory is full: {reduction}",)

    def _reduce(self, frames: int, shrink_buffer: Callable[[], int]) -> str:
        """Make batches or the buffer smaller from now on; the sentence that says so, empty where nothing is left."""
        batch = min(frames, self._batch_limit or frames)
        if batch > 1:
            self._batch_limit = batch // 2
            return f"at most {self._batch_limit} frames go through a network at once from now on"
        keyframes = shrink_buffer()
        return f"the keyframe buffer keeps {keyframes} keyframes from now on" if keyframes else ""
