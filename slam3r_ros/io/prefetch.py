"""Frames decoded ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from slam3r_ros.engine.types import Frame


def prefetched(frames: Iterable[Frame], depth: int) -> Iterator[Frame]:
    """The same frames in the same order, the next ``depth`` of them being decoded in a thread meanwhile."""
    iterator = iter(frames)
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        pending = deque(pool.submit(next, iterator, None) for _ in range(depth))
        while (frame := pending.popleft().result()) is not None:
            pending.append(pool.submit(next, iterator, None))
            yield frame
