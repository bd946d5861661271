"""What one thread leaves for the next: the newest items."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class DropOldestQueue(Generic[Item]):
    """A ring of the newest items: the newest wins."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._nudged = False

    def put(self, item: Item) -> int:
        """Add an item; if there is no room the oldest goes. Returns how many went."""
        with self._changed:
            full = len(self._items) == self._capacity
            if full:
                self._items.popleft()
            self._items.append(item)
            self._changed.notify()
            return int(full)

    def wait(self, timeout_s: float) -> bool:
        """Whether there is an item, or comes one within the time; a `nudge` ends the waiting."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._nudged, timeout_s)
            self._nudged = False
            return bool(self._items)

    def take(self, timeout_s: float) -> list[Item]:
        """Every item kept, oldest first; none if none came within the time, or when nudged."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._nudged, timeout_s)
            self._nudged = False
            taken = list(self._items)
            self._items.clear()
            return taken

    def nudge(self) -> None:
        """Make a waiting `take` return at once."""
        with self._changed:
            self._nudged = True
            self._changed.notify()

    def clear(self) -> None:
        """Forget the items kept."""
        with self._changed:
            self._items.clear()
