"""Windows of the stream, and the batches in which its frames are registered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from slam3r_ros.engine.ring_buffer import RingBuffer
from slam3r_ros.types import Window


def build_window(ring: RingBuffer, index: int, stride: int, radius: int) -> Window:
    """The window of frame ``index``: itself and its `neighbours` on both sides, ``radius`` each.

    A frame that has none of these (a stream shorter than the stride) gets its nearest neighbour.
    """
    sources = window_sources(ring, index, stride, radius)
    return Window(ring.encoded(index), tuple(ring.encoded(source) for source in sources))


def window_sources(ring: RingBuffer, index: int, stride: int, radius: int) -> list[int]:
    """Indices of the source frames in the window of frame ``index``."""
    past, future = neighbours(ring, index, -stride, radius), neighbours(ring, index, stride, radius)
    members = [member for pair in zip_longest(past, future) for member in pair if member is not None]
    if not members:
        members = [neighbour for neighbour in (index - 1, index + 1) if ring.oldest <= neighbour <= ring.newest][:1]
    return members


def neighbours(ring: RingBuffer, index: int, stride: int, count: int) -> list[int]:
    """Indices of the frames i * ``stride`` images after frame ``index`` (before, if negative), i = 1..``count``.

    As far as they have come and are still there. Where images were left out the nearest frame is taken; each is another
    one, and after a gap half a stride or more from the one before it.
    """
    return [found for _, found in _walk(ring, index, ring[index].source_index, stride, count)]


def complete_until(ring: RingBuffer, stride: int, lookahead: int) -> int:
    """Index of the newest frame whose ``lookahead`` later members have come; ``ring.oldest - 1`` if there is none."""
    return ring.at_or_before(ring[ring.newest].source_index - lookahead * stride)


def oldest_needed(ring: RingBuffer, pending: int, stride: int, radius: int) -> int:
    """Index of the oldest frame in the windows of frame ``pending`` (perhaps the next to come) or of later ones."""
    source = ring[pending].source_index if pending <= ring.newest else ring[ring.newest].source_index + 1
    targets = [target for target, _ in _walk(ring, pending, source, -stride, radius)]
    return ring.at_or_before(targets[-1]) if len(targets) == radius else ring.oldest


def _walk(ring: RingBuffer, index: int, source: int, stride: int, count: int) -> Iterator[tuple[int, int]]:
    """From a frame's index and number in the camera's stream: the number looked for and the index found, of each."""
    side = 1 if stride > 0 else -1
    half = side * ((abs(stride) + 1) // 2)
    first, last = ring[ring.oldest].source_index, ring[ring.newest].source_index
    previous = source
    for number in range(1, count + 1):
        target = side * max(side * (source + number * stride), side * (previous + half))
        if not first <= target <= last:
            return
        index = side * max(side * ring.nearest(target), side * (index + side))
        previous = ring[index].source_index
        yield target, index


@dataclass(frozen=True, slots=True)
class RegistrationBatch:
    """Frames that are registered in one L2W call."""

    frames: tuple[int, ...]
    """Indices of the frames, ascending."""
    is_bootstrap: bool
    """Whether the frames lie between the initial frames, which are then all of the scene."""


class RegistrationSchedule:
    """Which frames are registered next: first those between the initial frames, then those after them, n at a time.

    Those between are registered one by one, as in the reference pipeline; without lookahead n at a time too.
    """

    def __init__(self, initial: tuple[int, ...], stride: int, lookahead: int, together_max: int) -> None:
        """``initial``: indices of the initial frames."""
        self._waits = lookahead > 0  # without lookahead nothing waits: a batch is what has come at once
        self._together = max(1, min((stride + 1) // 2, together_max)) if self._waits else together_max
        self._bootstrap_frames = [index for index in range(initial[0], initial[-1]) if index not in initial]
        self._next = initial[-1] + 1
        self.last_initial = initial[-1]
        """Index of the last initial frame."""

    @property
    def bootstrap_is_done(self) -> bool:
        """Whether every frame between the initial ones has been given out."""
        return not self._bootstrap_frames

    @property
    def oldest_pending(self) -> int:
        """Index of the oldest frame that has not been given out."""
        return self._bootstrap_frames[0] if self._bootstrap_frames else self._next

    def ready(self, newest: int, newest_complete: int, ended: bool) -> Iterator[RegistrationBatch]:
        """The batches of frames up to ``newest_complete``, whose windows are complete; ``newest`` is the newest frame.

        If the stream has ``ended``, smaller batches too.
        """
        while self._bootstrap_frames and self._bootstrap_frames[0] <= newest_complete:
            count = 1 if self._waits else self._together
            frames, self._bootstrap_frames = tuple(self._bootstrap_frames[:count]), self._bootstrap_frames[count:]
            yield RegistrationBatch(frames, is_bootstrap=True)
        while not self._bootstrap_frames and self._next <= newest_complete:
            last = self._next + self._together - 1
            if ended or not self._waits:
                last = min(last, newest)
            if last > newest_complete:
                return
            frames = tuple(range(self._next, last + 1))
            self._next = last + 1
            yield RegistrationBatch(frames, is_bootstrap=False)
