"""What is done when the device's memory is full: the same again with less, and from then on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
_OUT_OF_MEMORY = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the device's memory was full, as torch's allocator or a library below it says."""
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY)


class MemoryGuard:
    """Tries again with fewer frames at once, and then with fewer keyframes, while memory runs out."""

    def __init__(self) -> None:
        self._together: int | None = None
        self.notices: tuple[str, ...] = ()
        """What had to be done, in order."""

    def note(self, text: str) -> None:
        """Have another notice among these, unless it is empty or there already."""
        if text and text not in self.notices:
            self.notices += (text,)

    @property
    def together(self) -> int | None:
        """Most frames that go through a network at once; None while there is no limit."""
        return self._together

    def batches(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        """The items in order, as many at once as the limit allows."""
        size = self._together or max(len(items), 1)
        return (items[start : start + size] for start in range(0, len(items), size))

    def attempt(self, work: Callable[[], Result], frames: int, shrink_buffer: Callable[[], int]) -> Result | None:
        """What ``work`` for so many frames returns; None where it does not fit however little is asked for.

        It is called again after each saving, so it must be something that can be begun anew.
        shrink_buffer: make the buffering set smaller; the number of its keyframes then, 0 where it cannot be.
        """
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Not in the handler: the error holds on to the tensors of all calls it came through.
            gc.collect()
            torch.cuda.empty_cache()
            if not (saving := self._save(frames, shrink_buffer)):
                return None
            self.notices += (f"the device's memory is full: {saving}",)

    def _save(self, frames: int, shrink_buffer: Callable[[], int]) -> str:
        """What is done with less from now on; empty where nothing is left."""
        at_once = min(frames, self._together or frames)
        if at_once > 1:
            self._together = at_once // 2
            return f"at most {self._together} frames go through a network at once from now on"
        keyframes = shrink_buffer()
        return f"the buffering set keeps {keyframes} keyframes from now on" if keyframes else ""
