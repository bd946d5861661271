"""Windows of the stream, and in which rounds its frames are registered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from slam3r_ros.engine.ring_buffer import RingBuffer
from slam3r_ros.engine.types import Window


def build_window(ring: RingBuffer, index: int, stride: int, radius: int) -> Window:
    """The window of frame ``index``: itself and index +- i * stride, i = 1..radius, as far as they have come.

    A frame that has none of these (a stream shorter than the stride) gets its nearest neighbour.
    """
    offsets = (sign * i * stride for i in range(1, radius + 1) for sign in (-1, 1))
    members = [index + offset for offset in offsets if ring.oldest <= index + offset <= ring.newest]
    if not members:
        members = [neighbour for neighbour in (index - 1, index + 1) if ring.oldest <= neighbour <= ring.newest][:1]
    return Window(ring[index], tuple(ring[member] for member in members))


@dataclass(frozen=True, slots=True)
class Round:
    """Frames registered in one L2W call."""

    frames: tuple[int, ...]
    is_head: bool
    """Whether they lie between the initial frames, which are then all of the scene."""


class Rounds:
    """Which frames are registered next: first those between the initial frames, then those after them, n at a time.

    Those between are registered one by one, as the published script does; without lookahead n at a time too.
    """

    def __init__(self, initial: tuple[int, ...], stride: int, lookahead: int, together_max: int) -> None:
        """``initial``: indices of the initial frames, ``stride`` apart."""
        self._stride = stride
        self._lookahead = lookahead
        self._waits = lookahead > 0  # without lookahead nothing waits: a round is what has come at once
        self._together = max(1, min((stride + 1) // 2, together_max)) if self._waits else together_max
        self._head = [index for index in range(initial[0], initial[-1]) if index not in initial]
        self._next = initial[-1] + 1

    @property
    def head_is_done(self) -> bool:
        """Whether every frame between the initial ones has been given out."""
        return not self._head

    @property
    def oldest_pending(self) -> int:
        """Index of the oldest frame that has not been given out."""
        return self._head[0] if self._head else self._next

    def ready(self, newest: int, ended: bool) -> Iterator[Round]:
        """The rounds whose windows are complete when ``newest`` is the newest frame; all that is left if ``ended``."""
        reach = newest if ended else newest - self._lookahead * self._stride
        while self._head and self._head[0] <= reach:
            count = 1 if self._waits else self._together
            frames, self._head = tuple(self._head[:count]), self._head[count:]
            yield Round(frames, is_head=True)
        while not self._head and self._next <= reach:
            last = self._next + self._together - 1
            if ended or not self._waits:
                last = min(last, newest)
            if last > reach:
                return
            frames = tuple(range(self._next, last + 1))
            self._next = last + 1
            yield Round(frames, is_head=False)
