"""A list of bounded length that covers all of the past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class DecimatedList(Generic[Item]):
    """Items in order. When ``limit`` of them are kept every second one is removed, and from then on every second one,
    every fourth one and so on of the items that come is kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[Item] = []
        self._newest: list[Item] = []  # the newest item, or none
        self._stride = 1
        self._count = 0

    def add(self, item: Item) -> None:
        """Add the next item."""
        if self._count % self._stride == 0 and len(self._kept) == self._limit:
            self._kept = self._kept[::2]
            self._stride *= 2
        if self._count % self._stride == 0:
            self._kept.append(item)
        self._newest = [item]
        self._count += 1

    def set_limit(self, limit: int) -> None:
        """Keep at most so many items from now on."""
        self._limit = limit
        while len(self._kept) > limit:
            self._kept = self._kept[::2]
            self._stride *= 2

    def rebuild(self, count: int, make: Callable[[int], Item]) -> None:
        """Replace everything by ``count`` items; only those that are kept are made, by their number from 0."""
        self._stride = 1
        while -(-count // self._stride) > self._limit:
            self._stride *= 2
        self._kept = [make(number) for number in range(0, count, self._stride)]
        self._newest = [make(count - 1)] if count else []
        self._count = count

    def items(self) -> list[Item]:
        """Return the items kept, at most ``limit``; the newest item is always the last."""
        if self._kept[-1:] == self._newest:
            return list(self._kept)
        return [*self._kept[: self._limit - 1], *self._newest]
