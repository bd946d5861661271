"""Encoded frames that a window may still need."""

from __future__ import annotations

from collections import deque

from slam3r_ros.engine.types import EncodedFrame


class RingBuffer:
    """Consecutive encoded frames, newest last; the oldest leave as soon as no window can reach them."""

    def __init__(self) -> None:
        self._frames: deque[EncodedFrame] = deque()

    def append(self, frame: EncodedFrame) -> None:
        """Add the frame that follows the newest; raises ValueError if its index does not."""
        if self._frames and frame.index != self.newest + 1:
            raise ValueError(f"ring buffer: expected frame {self.newest + 1}, got {frame.index}")
        self._frames.append(frame)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> EncodedFrame:
        """The frame with this index; raises IndexError if it has left or has not come."""
        if not self._frames or not self.oldest <= index <= self.newest:
            raise IndexError(f"ring buffer: frame {index} is not in it")
        return self._frames[index - self.oldest]

    @property
    def oldest(self) -> int:
        """Index of the oldest frame held."""
        return self._frames[0].index

    @property
    def newest(self) -> int:
        """Index of the newest frame held."""
        return self._frames[-1].index

    def discard_before(self, index: int) -> None:
        """Let go of every frame older than ``index``."""
        while self._frames and self._frames[0].index < index:
            self._frames.popleft()
