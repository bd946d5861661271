"""Frames that a window may still need."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque

from slam3r_ros.types import EncodedFrame, StreamFrame


class RingBuffer:
    """Consecutive frames, newest last; the oldest leave as soon as no window can reach them."""

    def __init__(self) -> None:
        self._frames: deque[StreamFrame] = deque()

    def append(self, frame: StreamFrame) -> None:
        """Add the frame that follows the newest; raises ValueError if its index does not."""
        if self._frames and frame.index != self.newest + 1:
            raise ValueError(f"ring buffer: expected frame {self.newest + 1}, got {frame.index}")
        self._frames.append(frame)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> StreamFrame:
        """The frame with this index; raises IndexError if it has left or has not come."""
        if not self._frames or not self.oldest <= index <= self.newest:
            raise IndexError(f"ring buffer: frame {index} is not in it")
        return self._frames[index - self.oldest]

    def encoded(self, index: int) -> EncodedFrame:
        """The frame with this index, which has been encoded; raises TypeError if it has not."""
        frame = self[index]
        if not isinstance(frame, EncodedFrame):
            raise TypeError(f"ring buffer: frame {index} has not been encoded")
        return frame

    def replace(self, frame: EncodedFrame) -> None:
        """Put a frame that has been encoded in its own place."""
        self._frames[frame.index - self.oldest] = frame

    @property
    def oldest(self) -> int:
        """Index of the oldest frame held."""
        return self._frames[0].index

    @property
    def newest(self) -> int:
        """Index of the newest frame held."""
        return self._frames[-1].index

    @property
    def images_held(self) -> int:
        """Images of the camera's stream from the oldest frame held to the newest."""
        return 1 + self._frames[-1].source_index - self._frames[0].source_index

    def nearest(self, source_index: int) -> int:
        """Index of the frame nearest to this number of the camera's stream; the earlier of two equally near ones."""
        position = bisect_left(self._frames, source_index, key=_source_index)
        if position == 0:
            return self.oldest
        if position == len(self._frames):
            return self.newest
        before, after = self._frames[position - 1], self._frames[position]
        is_before = source_index - before.source_index <= after.source_index - source_index
        return before.index if is_before else after.index

    def at_or_before(self, source_index: int) -> int:
        """Index of the newest frame up to this number of the camera's stream; ``oldest - 1`` if there is none."""
        return self.oldest + bisect_right(self._frames, source_index, key=_source_index) - 1

    def discard_before(self, index: int) -> None:
        """Let go of every frame older than ``index``."""
        while self._frames and self._frames[0].index < index:
            self._frames.popleft()


def _source_index(frame: StreamFrame) -> int:
    return frame.source_index
