"""The map: one fused point of every voxel, incremental and bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.free_space import FreeSpace
from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.engine.voxel_hash_map import CHUNK, VoxelHashMap, voxel_keys
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.settings import MapSettings
from slam3r_ros.types import MapPoints

_COLUMNS: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
    "points": ((3,), np.float32),
    "colours": ((3,), np.uint8),
    "confidence": ((), np.float32),
    "weight": ((), np.float32),
    "frames": ((), np.int32),
    "is_provisional": ((), np.bool_),
    "is_added": ((), np.bool_),
    "seen_through": ((), np.uint8),
}
"""What is stored of each voxel: the mean of its points' positions and colours, their highest confidence, the sum of
their weights (0: the voxel is empty again), the frame that the most confident one was mapped with, whether its points
are provisional, whether the present `add` has filled it, and how many keyframes have seen through it since."""


class PointMap:
    """The voxel-filtered points of the map.

    A voxel keeps the mean of the positions and colours of all points that fell into it. Confidence is inversely
    proportional to the relative error that is expected of a point (`VisionTuning.confidence_times_error`), so a point's
    weight, which is inversely proportional to its variance, is its squared confidence. The fused point has the highest
    confidence of those that it is made of, since their errors are not independent.

    Points may be provisional: others replace them, and provisional ones that come later change nothing. `settle` says
    what becomes of those that nothing has replaced.

    `add` reports the points of voxels that were empty, or held provisional points only; later changes of a voxel are
    not reported. Whoever collects what `add` reports has a point in every voxel of the map; `points` has the fused
    ones.

    `carve` removes what several keyframes have looked through.

    At ``maximum_points`` the voxels' side doubles, and the stored points are fused again. The same when a loop is
    closed (`correct`).

    Work: the time for an `add` grows with the points given, not with the map, but for the doublings: each goes once
    over all stored points (about a second a million). They are rare: a doubling thins a surface to a quarter,
    and where it thins less, doubling goes on until a quarter of the maximum is free for new points.
    Memory: 30 bytes a point and 12 to 24 in the table.
    """

    def __init__(self, settings: MapSettings) -> None:
        self._voxel_size = self._first_voxel_size = settings.voxel_size or TUNING.voxel_size_before_scene
        self._maximum = settings.maximum_points
        reserved = min(self._maximum, TUNING.reserved_map_points) + CHUNK
        self._table = VoxelHashMap(reserved)
        self._columns = {name: np.empty((reserved, *shape), kind) for name, (shape, kind) in _COLUMNS.items()}
        self._empty = 0  # voxels in the table that are empty again

    def __len__(self) -> int:
        return len(self._table) - self._empty

    @property
    def voxel_size(self) -> float:
        """Present side of a voxel, scene units."""
        return self._voxel_size

    @property
    def memory_bytes(self) -> int:
        """Bytes in use for points and table."""
        a_point = sum(array[:1].nbytes for array in self._columns.values())
        return a_point * len(self._table) + self._table.memory_bytes

    def begin(self, voxel_size: float) -> None:
        """Set the side of the voxels of an empty map."""
        if len(self._table):
            raise RuntimeError("map: the side of the voxels is set while the map is empty")
        self._voxel_size = self._first_voxel_size = voxel_size

    def set_voxel_size(self, voxel_size: float) -> None:
        """Fuse all points again in voxels of another side. In smaller ones the points of before stay as far apart as
        they were."""
        self._voxel_size = self._first_voxel_size = voxel_size
        self._enter_again(lambda values: values["points"])

    def set_maximum(self, maximum: int) -> None:
        """Keep at most so many points from now on."""
        self._maximum = maximum
        if len(self._table) > maximum:
            self._coarsen()

    def clear(self) -> None:
        """Forget all points and go back to the first voxel size."""
        self._table.clear()
        self._empty = 0
        self._voxel_size = self._first_voxel_size

    def points(self) -> MapPoints:
        """A copy of the whole map, in the order in which the voxels were first seen."""
        return self._copy(self._column("weight") > 0)

    # ---- what comes in -------------------------------------------------------------------------------------------

    def add(
        self,
        points_world: NDArray[np.float32],
        colours: NDArray[np.uint8],
        confidence: NDArray[np.float32],
        frame: int | NDArray[np.integer] = 0,
        *,
        is_provisional: bool = False,
    ) -> MapPoints:
        """Take in (N, 3) points in scene units with (N, 3) RGB colours and (N,) confidences, which were
        mapped with the frame of this index, or with those of these indices (N,).

        Returns a copy of the map's points in voxels that were empty before, or held provisional points and hold others
        now. Points that are not finite, or whose confidence is not positive and finite, are dropped. Raises ValueError
        when the shapes do not fit.
        """
        count = len(points_world)
        if points_world.shape != (count, 3) or colours.shape != (count, 3) or confidence.shape != (count,):
            shapes = f"{points_world.shape}, {colours.shape} and {confidence.shape}"
            raise ValueError(f"map: expected (N, 3) points, (N, 3) colours and (N,) confidences, got {shapes}")
        usable = np.isfinite(confidence) & (confidence > 0)
        points_world, colours, confidence = points_world[usable], colours[usable], confidence[usable]
        frames = np.broadcast_to(np.asarray(frame, np.int32), count)[usable]
        for start in range(0, len(confidence), CHUNK):
            part = slice(start, start + CHUNK)
            of_part = len(confidence[part])
            self._insert(
                {
                    "points": points_world[part],
                    "colours": colours[part],
                    "confidence": confidence[part],
                    "weight": confidence[part] ** 2,
                    "frames": frames[part],
                    "is_provisional": np.full(of_part, is_provisional),
                    "is_added": np.ones(of_part, np.bool_),
                    "seen_through": np.zeros(of_part, np.uint8),
                }
            )
            if len(self._table) > self._maximum:
                self._coarsen()
        is_added = self._column("is_added")
        added = self._copy(is_added)
        is_added[:] = False
        return added

    def settle(self, first_frame: int, last_frame: int, *, keep: bool) -> None:
        """Keep the points of these frames that are provisional still, or remove them."""
        frames, is_provisional = self._column("frames"), self._column("is_provisional") & (self._column("weight") > 0)
        chosen = np.flatnonzero(is_provisional & (frames >= first_frame) & (frames <= last_frame))
        self._column("is_provisional")[chosen] = False
        if not keep:
            self._remove(chosen)

    def carve(self, free_space: FreeSpace) -> None:
        """Note what a keyframe looks through, and remove what enough of them have looked through in succession, since
        the last point was added there."""
        occupied = self._column("weight") > 0
        through = free_space.contains(self._column("points"), self._voxel_size) & occupied
        counts = self._column("seen_through")
        counts[through] += 1
        self._remove(np.flatnonzero(through & (counts >= TUNING.views_that_carve)))

    def frames(self) -> NDArray[np.int32]:
        """(N,) the index of the frame that each of the map's `points` was mapped with."""
        return self._column("frames")[self._column("weight") > 0]

    def correct(self, correction: MapCorrection) -> None:
        """Move every point with the frame that it was mapped with, and fuse all again: other points share a voxel."""
        self._enter_again(lambda values: correction.of_points(values["frames"], values["points"]))

    # ---- how -----------------------------------------------------------------------------------------------------

    def _column(self, name: str) -> NDArray[Any]:
        return self._columns[name][: len(self._table)]

    def _insert(self, given: dict[str, NDArray[Any]]) -> None:
        """Enter at most CHUNK points, all with a weight."""
        keys, usable = voxel_keys(given["points"], self._voxel_size)
        if not usable.all():
            keys, given = keys[usable], {name: values[usable] for name, values in given.items()}
        before = len(self._table)
        numbers, _ = self._table.find_or_add(keys)
        self._reserve(len(self._table))
        for name in ("weight", "confidence", "seen_through"):
            self._columns[name][before : len(self._table)] = 0
        self._columns["is_provisional"][before : len(self._table)] = True
        self._empty += len(self._table) - before

        is_provisional, weight = self._columns["is_provisional"], self._columns["weight"]
        settles = numbers[~given["is_provisional"]]
        replaced = settles[is_provisional[settles]]
        self._empty += int(np.count_nonzero(weight[np.unique(replaced)] > 0))
        is_provisional[replaced] = False
        weight[replaced] = self._columns["confidence"][replaced] = 0
        counts = given["is_provisional"] == is_provisional[numbers]
        if not counts.all():
            numbers, given = numbers[counts], {name: values[counts] for name, values in given.items()}
        self._fuse(numbers, given)

    def _fuse(self, numbers: NDArray[np.int32], given: dict[str, NDArray[Any]]) -> None:
        """Put points into the means of voxels (N,), which hold nothing but points of their kind."""
        columns = self._columns
        voxels, which = np.unique(numbers, return_inverse=True)
        weights, count = given["weight"].astype(np.float64), len(voxels)
        old = columns["weight"][voxels].astype(np.float64)
        self._empty -= int(np.count_nonzero(old == 0))
        total = old + np.bincount(which, weights, count)
        for name, rounding in (("points", 0.0), ("colours", 0.5)):
            stored = columns[name]
            for axis in range(3):
                kept = np.where(old > 0, stored[voxels, axis], 0) * old
                mean = (kept + np.bincount(which, weights * given[name][:, axis], count)) / total
                stored[voxels, axis] = mean + rounding
        is_added = np.where(old > 0, columns["is_added"][voxels], True)
        columns["is_added"][voxels] = is_added & (np.bincount(which, ~given["is_added"], count) == 0)
        columns["weight"][voxels] = total
        columns["seen_through"][voxels] = 0
        # Of equal confidences in one voxel the first wins, so it is written last.
        better = np.flatnonzero(given["confidence"] > columns["confidence"][numbers])[::-1]
        np.maximum.at(columns["confidence"], numbers[better], given["confidence"][better])
        better = better[given["confidence"][better] == columns["confidence"][numbers[better]]]
        columns["frames"][numbers[better]] = given["frames"][better]

    def _remove(self, voxels: NDArray[np.intp]) -> None:
        """Empty voxels, which hold points."""
        self._columns["weight"][voxels] = 0
        self._columns["confidence"][voxels] = 0
        self._columns["is_provisional"][voxels] = True
        self._empty += len(voxels)

    def _coarsen(self) -> None:
        """Forget the empty voxels, and double the others until there is room again."""
        if self._empty:
            self._enter_again(lambda values: values["points"])
        while len(self) > TUNING.max_share_after_coarsening * self._maximum:
            self._voxel_size *= 2
            self._enter_again(lambda values: values["points"])

    def _enter_again(self, moved: Callable[[dict[str, NDArray[Any]]], NDArray[np.float32]]) -> None:
        """Fuse all points again, where ``moved`` takes them; in their order, so that voxels stay in the order first
        seen. Entering writes to the same arrays, never beyond the points already read."""
        stored = len(self._table)
        self._table.clear()
        self._empty = 0
        for start in range(0, stored, CHUNK):
            part = slice(start, min(start + CHUNK, stored))
            holds = self._columns["weight"][part] > 0
            values = {name: column[part][holds] for name, column in self._columns.items()}
            self._insert({**values, "points": moved(values)})

    def _copy(self, chosen: NDArray[np.bool_]) -> MapPoints:
        return MapPoints(*(self._column(name)[chosen] for name in ("points", "colours", "confidence")))

    def _reserve(self, needed: int) -> None:
        used = len(self._columns["weight"])
        if needed <= used:
            return
        size = min(max(needed, 2 * used), self._maximum + CHUNK)
        for name, old in self._columns.items():
            new = np.empty((size, *old.shape[1:]), dtype=old.dtype)
            new[:used] = old
            self._columns[name] = new
