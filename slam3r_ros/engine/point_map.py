"""The map: the most confident point of every voxel, incremental and bounded."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.engine.voxel_hash_map import CHUNK, VoxelHashMap, voxel_keys
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.settings import MapSettings
from slam3r_ros.types import MapPoints


class PointMap:
    """The voxel-filtered points of the map.

    A voxel keeps its most confident point, of equals the first. A better point for a voxel that already has one
    replaces it in place and is not reported; only points in voxels that were empty are reported as added. Whoever
    collects what `add` reports has a point in every voxel of the map; `points` has the best one.

    At ``maximum_points`` the voxels' side doubles, and the stored points are filtered again: of the (up to eight)
    points that now share a voxel the most confident stays. Nothing else is lost. The same when a loop
    is closed (`correct`).

    Work: the time for an `add` grows with the points given, not with the map, but for the doublings: each goes once
    over all stored points (some tenths of a second a million). They are rare: a doubling thins a surface to a quarter,
    and where it thins less, doubling goes on until a quarter of the maximum is free for new points.
    Memory: about 40 bytes a point, 80 MB at two million.
    """

    def __init__(self, settings: MapSettings) -> None:
        self._settings = settings
        self._voxel_size = settings.voxel_size
        self._maximum = settings.maximum_points
        reserved = min(self._maximum, TUNING.reserved_map_points) + CHUNK
        self._table = VoxelHashMap(reserved)
        self._points = np.empty((reserved, 3), dtype=np.float32)
        self._colours = np.empty((reserved, 3), dtype=np.uint8)
        self._confidence = np.empty(reserved, dtype=np.float32)
        self._frames = np.empty(reserved, dtype=np.int32)

    def __len__(self) -> int:
        return len(self._table)

    @property
    def voxel_size(self) -> float:
        """Present side of a voxel, scene units."""
        return self._voxel_size

    @property
    def memory_bytes(self) -> int:
        """Bytes in use for points and table."""
        a_point = sum(array[:1].nbytes for array in self._columns)
        return a_point * len(self) + self._table.memory_bytes

    @property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        """What is stored of each point: position, colour, confidence, index of the frame that it was mapped with."""
        return self._points, self._colours, self._confidence, self._frames

    def clear(self) -> None:
        """Forget all points and go back to the first voxel size."""
        self._table.clear()
        self._voxel_size = self._settings.voxel_size

    def points(self) -> MapPoints:
        """A copy of the whole map, in the order in which the voxels were first seen."""
        return self._copy(0)

    def add(
        self,
        points_world: NDArray[np.float32],
        colours: NDArray[np.uint8],
        confidence: NDArray[np.float32],
        frame: int = 0,
    ) -> MapPoints:
        """Take in (N, 3) points in scene units with (N, 3) RGB colours and (N,) confidences, which were
        mapped with the frame of this index.

        Returns a copy of the map's points in voxels that were empty before. Points that are not finite, or whose
        confidence is not, are dropped. Raises ValueError when the shapes do not fit.
        """
        count = len(points_world)
        if points_world.shape != (count, 3) or colours.shape != (count, 3) or confidence.shape != (count,):
            shapes = f"{points_world.shape}, {colours.shape} and {confidence.shape}"
            raise ValueError(f"map: expected (N, 3) points, (N, 3) colours and (N,) confidences, got {shapes}")
        first_new = len(self)
        for start in range(0, count, CHUNK):
            part = slice(start, start + CHUNK)
            frames = np.full(len(confidence[part]), frame, np.int32)
            self._insert(points_world[part], colours[part], confidence[part], frames)
            if len(self) > self._maximum:
                first_new = self._coarsen(first_new)
        return self._copy(first_new)

    def correct(self, correction: MapCorrection) -> None:
        """Move every point with the frame that it was mapped with, and filter all again: other points share a voxel."""
        stored = len(self)
        self._table.clear()
        for start in range(0, stored, CHUNK):
            points, *rest = (column[start : min(start + CHUNK, stored)].copy() for column in self._columns)
            self._insert(correction.of_points(rest[-1], points), *rest)

    def _insert(
        self,
        points: NDArray[np.float32],
        colours: NDArray[np.uint8],
        confidence: NDArray[np.float32],
        frames: NDArray[np.int32],
    ) -> None:
        """Enter at most CHUNK points."""
        keys, usable = voxel_keys(points, self._voxel_size)
        usable &= np.isfinite(confidence)
        if not usable.all():
            keys, points, colours = keys[usable], points[usable], colours[usable]
            confidence, frames = confidence[usable], frames[usable]
        numbers, made = self._table.find_or_add(keys)
        self._reserve(len(self._table))
        new = slice(len(self._table) - len(made), len(self._table))
        given_columns: tuple[NDArray[Any], ...] = points, colours, confidence, frames
        for stored, given in zip(self._columns, given_columns, strict=True):
            stored[new] = given.take(made, axis=0)

        # The rest, where better. Of equal confidences in one voxel the first wins, so it is written last.
        better = np.flatnonzero(confidence > self._confidence[numbers])[::-1]
        voxels, best = numbers[better], confidence[better]
        np.maximum.at(self._confidence, voxels, best)
        wins = best == self._confidence[voxels]
        better, voxels = better[wins], voxels[wins]
        self._points[voxels] = points[better]
        self._colours[voxels] = colours[better]
        self._frames[voxels] = frames[better]

    def _coarsen(self, boundary: int) -> int:
        """Double the voxels until there is room again; what `_double_voxels` returns."""
        while len(self) > TUNING.max_share_after_coarsening * self._maximum:
            boundary = self._double_voxels(boundary)
        return boundary

    def _double_voxels(self, boundary: int) -> int:
        """Filter all points again with voxels of twice the side.

        Points are re-entered in their order, so that voxels stay in the order first seen: those of points before
        ``boundary`` come first, and their number is returned.
        """
        stored = len(self)
        self._voxel_size *= 2
        self._table.clear()
        moved_boundary = 0
        edges = sorted({*range(0, stored, CHUNK), boundary, stored})
        for start, end in pairwise(edges):
            # Copies: entering writes to the same arrays, never beyond the points already read.
            points, *rest = (column[start:end].copy() for column in self._columns)
            self._insert(points, *rest)
            if end == boundary:
                moved_boundary = len(self)
        return moved_boundary

    def _copy(self, start: int) -> MapPoints:
        end = len(self)
        return MapPoints(
            self._points[start:end].copy(), self._colours[start:end].copy(), self._confidence[start:end].copy()
        )

    def _reserve(self, needed: int) -> None:
        if needed <= len(self._confidence):
            return
        size = min(max(needed, 2 * len(self._confidence)), self._maximum + CHUNK)
        used = len(self._confidence)
        for name in ("_points", "_colours", "_confidence", "_frames"):
            old = getattr(self, name)
            new = np.empty((size, *old.shape[1:]), dtype=old.dtype)
            new[:used] = old
            setattr(self, name, new)
