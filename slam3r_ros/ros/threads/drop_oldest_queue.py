"""The bounded queue between two threads, which drops the oldest item when it is full."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class DropOldestQueue(Generic[Item]):
    """A queue of at most ``capacity`` items; a new item replaces the oldest one when it is full."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._woken = False

    def put(self, item: Item) -> int:
        """Add an item; returns the number of items dropped for it, 0 or 1."""
        with self._changed:
            full = len(self._items) == self._capacity
            if full:
                self._items.popleft()
            self._items.append(item)
            self._changed.notify()
            return int(full)

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is an item; False if none came within the time, or `wake` was called."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._woken, timeout_s)
            self._woken = False
            return bool(self._items)

    def take(self, timeout_s: float) -> list[Item]:
        """Remove and return all items, oldest first; none if none came within the time, or `wake` was called."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._woken, timeout_s)
            self._woken = False
            taken = list(self._items)
            self._items.clear()
            return taken

    def wake(self) -> None:
        """Make a `wait` or `take` that is waiting return at once."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def clear(self) -> None:
        """Remove all items; they do not count as dropped."""
        with self._changed:
            self._items.clear()
