"""What the executor thread and the worker thread share: the newest images."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from sensor_msgs.msg import CompressedImage, Image


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """An image message, not looked into yet."""

    message: Image | CompressedImage
    arrival_ns: int
    """When it arrived, by the node's clock."""


class NewestImages:
    """A ring of the newest images: the newest wins."""

    def __init__(self, capacity: int) -> None:
        self._images: deque[Arrival] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._nudged = False

    def put(self, arrival: Arrival) -> int:
        """Add an image; if there is no room the oldest goes. Returns how many went."""
        with self._changed:
            full = len(self._images) == self._capacity
            if full:
                self._images.popleft()
            self._images.append(arrival)
            self._changed.notify()
            return int(full)

    def take(self, timeout_s: float) -> list[Arrival]:
        """Every image kept, oldest first; none if none came within the time, or when nudged."""
        with self._changed:
            self._changed.wait_for(lambda: self._images or self._nudged, timeout_s)
            self._nudged = False
            taken = list(self._images)
            self._images.clear()
            return taken

    def nudge(self) -> None:
        """Make a waiting `take` return at once."""
        with self._changed:
            self._nudged = True
            self._changed.notify()

    def clear(self) -> None:
        """Forget the images kept."""
        with self._changed:
            self._images.clear()
