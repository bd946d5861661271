"""A hash table from voxels to the numbers 0, 1, 2 ... in the order in which voxels first came; all of it vectorised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 16
"""Most keys of one `find_or_add`."""
COORDINATE_LIMIT = 1 << 40
"""Voxel coordinates at or beyond this have no key."""
_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)


def voxel_keys(points: NDArray[np.float32], voxel_size: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The keys (N,) of the voxels that (N, 3) points lie in, and which points (N,) have one at all.

    Points that are not finite, or further out than COORDINATE_LIMIT voxels, have none (their key is meaningless).
    The key is x + y * 2^21 + z * 2^42 in wrapping arithmetic: different for any two voxels less than 2^20 apart, which
    at 1 cm is 10 km; of voxels further apart than that, a chance pair in 2^63 shares a key.
    """
    coordinates = points.astype(np.float64)
    with np.errstate(invalid="ignore"):
        coordinates *= 1.0 / voxel_size
        np.floor(coordinates, out=coordinates)
        has_key: NDArray[np.bool_] = np.ones(len(points), dtype=np.bool_)
        inside = len(points) == 0 or (coordinates.max() < COORDINATE_LIMIT and coordinates.min() > -COORDINATE_LIMIT)
        if not inside:
            has_key = np.abs(coordinates).max(axis=1) < COORDINATE_LIMIT
            coordinates[~has_key] = 0
    keys = coordinates[:, 2].astype(np.int64)
    for axis in (1, 0):
        keys <<= 21
        keys += coordinates[:, axis].astype(np.int64)
    return keys, has_key


class VoxelHashMap:
    """Open addressing with linear probing, at most half full.

    One slot holds one int32: 1 + the voxel's number, or 0. Keys are compared in `_keys`, by number. All keys of a call
    probe together, round by round: each round finishes the keys whose slot is free or theirs, and the rest go on to the
    next slot. The rounds of one call are as many as the longest run of taken slots, a few tens, the later ones of a
    handful of keys; so the time for a call depends on its own size, not on how many voxels there are.

    Memory: 16 to 24 bytes a voxel at full load. It grows by doubling, which re-enters all keys once; `capacity`
    voxels fit before the first time.
    """

    def __init__(self, capacity: int) -> None:
        self._count = 0
        self._allocate(max(capacity, CHUNK))

    def __len__(self) -> int:
        return self._count

    @property
    def capacity(self) -> int:
        """Voxels that fit before the table grows."""
        return len(self._keys) - CHUNK

    @property
    def memory_bytes(self) -> int:
        """Bytes in use."""
        return self._slots.nbytes + self._keys.itemsize * self._count

    def clear(self) -> None:
        """Forget all voxels, keep the memory."""
        self._slots[:] = 0
        self._count = 0

    def find_or_add(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        """The number (N,) of each key's voxel, and the positions (M,), ascending, of the keys that made a new one.

        Of equal new keys the first makes the voxel. At most CHUNK keys a call.
        """
        if self._count + len(keys) > self.capacity:
            self._grow(self._count + len(keys))
        first = self._count
        # Until it is known which keys make a voxel, key i has the number first + i.
        self._keys[first : first + len(keys)] = keys
        numbers = np.empty(len(keys), dtype=np.int32)
        taken_slot = np.full(len(keys), -1, dtype=np.int64)
        self._probe(keys, numbers, taken_slot)
        made = np.flatnonzero(taken_slot >= 0)

        final = np.zeros(len(keys), dtype=np.int32)
        final[made] = np.arange(first, first + len(made), dtype=np.int32)
        is_new = np.flatnonzero(numbers >= first)
        numbers[is_new] = final[numbers[is_new] - first]
        self._slots[taken_slot[made]] = np.arange(first + 1, first + 1 + len(made), dtype=np.int32)
        self._keys[first : first + len(made)] = keys[made]
        self._count += len(made)
        return numbers, made

    def _probe(self, keys: NDArray[np.int64], numbers: NDArray[np.int32], taken_slot: NDArray[np.int64]) -> None:
        """Fill in ``numbers``, and ``taken_slot`` of the keys that took a free one."""
        mask = len(self._slots) - 1
        waiting = np.arange(len(keys), dtype=np.int32)
        slots = ((keys.view(np.uint64) * _GOLDEN_RATIO) >> self._shift).view(np.int64)
        while len(waiting):
            content = self._slots[slots]
            free = np.flatnonzero(content == 0)
            if len(free):
                free_slots, claims = slots[free], waiting[free] + np.int32(self._count + 1)
                # Backwards, so that of several keys for one free slot the first stays.
                self._slots[free_slots[::-1]] = claims[::-1]
                content[free] = settled = self._slots[free_slots]
                took = settled == claims
                taken_slot[waiting[free[took]]] = free_slots[took]
            content -= 1
            numbers[waiting] = content  # right for the keys that are finished; the others come again
            differs = np.flatnonzero(self._keys[content] != keys[waiting])
            waiting, slots = waiting[differs], (slots[differs] + 1) & mask

    def _allocate(self, capacity: int) -> None:
        bits = max(int(2 * capacity - 1).bit_length(), 10)
        self._shift = np.uint64(64 - bits)
        # Written, not just reserved: else the first frames pay for having the system hand out page after page.
        self._slots = np.full(1 << bits, 0, dtype=np.int32)
        self._keys = np.empty(capacity + CHUNK, dtype=np.int64)

    def _grow(self, needed: int) -> None:
        keys = self._keys[: self._count]
        self._allocate(max(needed, 2 * self.capacity))
        self._count = 0
        for start in range(0, len(keys), CHUNK):
            self.find_or_add(keys[start : start + CHUNK])
