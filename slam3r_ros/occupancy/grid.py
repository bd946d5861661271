"""The occupancy grid: the log-odds of cells by all virtual scans (Elfes 1989; Thrun, Probabilistic Robotics, 9.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.occupancy.scan import VirtualScan
from slam3r_ros.occupancy.tuning import TUNING

UNKNOWN, FREE, OCCUPIED = -1, 0, 100
"""The values of a cell in nav_msgs/OccupancyGrid."""


@dataclass(frozen=True, slots=True, eq=False)
class GridImage:
    """The grid as it is published."""

    cells: NDArray[np.int8]
    """(rows, columns): UNKNOWN, FREE or OCCUPIED; rows along y, columns along x."""
    origin: tuple[float, float]
    """x and y of the corner of cell (0, 0) that is nearest to minus infinity, published lengths."""
    resolution: float
    """Side of a cell, published lengths."""


class OccupancyGrid:
    """Scans in, cells out. The grid grows with what it has to hold and is made again when a closed loop moves scans.

    The newest scans are drawn only into what `image` returns: one that replaces another then costs no more than a new
    one.
    """

    def __init__(self, resolution: float) -> None:
        self._resolution = resolution
        self._scans: dict[int, VirtualScan] = {}
        self._log_odds: NDArray[np.float32]
        self._clear_cells()

    def __len__(self) -> int:
        return len(self._scans)

    @property
    def left_out(self) -> int:
        """Number of scans with an end outside of the largest grid."""
        return self._left_out

    def put(self, key: int, scan: VirtualScan) -> None:
        """Take a scan in; it replaces an earlier one of the same key."""
        self._scans[key] = scan
        is_too_many = len(self._scans) > TUNING.most_scans
        if is_too_many:
            for each in list(self._scans)[::2]:
                del self._scans[each]
        if is_too_many or key in self._drawn:
            self._begin_anew()
        elif not self._reserve(self._extent(scan)):
            self._left_out += 1
        self._draw_settled()

    def correct(self, changes: Sim3) -> None:
        """Move all scans, each by the similarity (one a scan, in their order) that moves the map where it was made."""
        for number, (key, scan) in enumerate(list(self._scans.items())):
            change = changes[number]
            origin, ends = change.apply(scan.origin[None])[0], change.apply(scan.ends)
            self._scans[key] = replace(scan, origin=origin, ends=ends)
        self._begin_anew()
        self._draw_settled()

    def set_resolution(self, resolution: float) -> None:
        """Draw all scans again with cells of another side."""
        self._resolution = resolution
        self._begin_anew()
        self._draw_settled()

    @property
    def indices(self) -> NDArray[np.int64]:
        """(scans,) number of the frame that each scan was made of, in their order."""
        return np.array([scan.index for scan in self._scans.values()], dtype=np.int64)

    def clear(self) -> None:
        """Forget everything."""
        self._scans.clear()
        self._clear_cells()

    def image(self) -> GridImage:
        """The grid as it is now; without a scan it has no cell."""
        settled = self._log_odds
        self._log_odds = settled.copy()
        for key, scan in self._scans.items():
            if key not in self._drawn:
                self._draw(scan)
        image = self._image()
        self._log_odds = settled
        return image

    # ---- implementation ------------------------------------------------------------------------------------------

    def _image(self) -> GridImage:
        cells = np.full(self._log_odds.shape, UNKNOWN, np.int8)
        cells[self._log_odds <= -TUNING.known_log_odds] = FREE
        cells[self._log_odds >= TUNING.known_log_odds] = OCCUPIED
        x, y = (self._corner * self._resolution).tolist()
        return GridImage(cells, (x, y), self._resolution)

    def _clear_cells(self) -> None:
        self._log_odds = np.zeros((0, 0), np.float32)
        self._corner = np.zeros(2, np.int64)  # x and y of the first cell, in cells
        self._left_out = 0
        self._drawn: set[int] = set()  # the scans that are in the cells

    def _begin_anew(self) -> None:
        """Forget what is drawn, and make room for all scans."""
        self._clear_cells()
        for scan in self._scans.values():
            self._left_out += not self._reserve(self._extent(scan))

    def _draw_settled(self) -> None:
        """Draw the scans that are no longer expected to be replaced."""
        for key in list(self._scans)[: -TUNING.undrawn_scans]:
            if key not in self._drawn:
                self._draw(self._scans[key])
                self._drawn.add(key)

    def _draw(self, scan: VirtualScan) -> None:
        """Add one scan: cells that its rays pass become freer, those where they end at obstacles more occupied."""
        if not len(scan.ends):
            return
        occupied = np.unique(self._cells_of(scan.ends[scan.is_obstacle, :2]), axis=0)
        free = np.unique(self._cells_of(_along_rays(scan, self._resolution)), axis=0)
        if not self._reserve(self._extent(scan)):
            return
        blocked = self._flat(occupied)
        passed = np.setdiff1d(self._flat(free), blocked, assume_unique=True)
        flat = self._log_odds.reshape(-1)
        flat[passed] += np.float32(TUNING.log_odds_free)
        flat[blocked] += np.float32(TUNING.log_odds_occupied)
        touched = np.concatenate([passed, blocked])
        flat[touched] = np.clip(flat[touched], -TUNING.most_log_odds, TUNING.most_log_odds)

    def _cells_of(self, xy: Array) -> NDArray[np.int64]:
        """(N, 2) column and row of places (N, 2), counted from the map's origin."""
        return np.floor(xy / self._resolution).astype(np.int64)

    def _extent(self, scan: VirtualScan) -> NDArray[np.int64]:
        """(N, 2) cells in whose bounding rectangle all rays of a scan lie; none of a scan without rays."""
        return self._cells_of(
            np.concatenate([scan.ends, scan.origin[None]])[:, :2] if len(scan.ends) else scan.ends[:, :2]
        )

    def _flat(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) positions of cells (N, 2) in the flattened array."""
        column, row = (cells - self._corner).T
        return np.asarray(row * self._log_odds.shape[1] + column)

    def _reserve(self, cells: NDArray[np.int64]) -> bool:
        """Let the grid grow until it holds these cells (N, 2); False, and it stays, where it would become too large."""
        if not len(cells):
            return True
        lowest, highest = cells.min(axis=0), cells.max(axis=0) + 1
        rows, columns = self._log_odds.shape
        end = self._corner + np.array([columns, rows])
        if rows and (lowest >= self._corner).all() and (highest <= end).all():
            return True
        if rows:
            lowest, highest = np.minimum(lowest, self._corner), np.maximum(highest, end)
        if int(np.prod(highest - lowest)) > TUNING.most_cells:
            return False
        lowest, highest = lowest - TUNING.margin_cells, highest + TUNING.margin_cells
        grown = np.zeros(tuple((highest - lowest)[::-1]), np.float32)
        column, row = self._corner - lowest if rows else (0, 0)
        grown[row : row + rows, column : column + columns] = self._log_odds
        self._log_odds, self._corner = grown, lowest
        return True


def _along_rays(scan: VirtualScan, resolution: float) -> Array:
    """(P, 2) places along all rays, at most half a cell apart, without the last cell of those that end at obstacles."""
    start, ends = scan.origin[:2], scan.ends[:, :2]
    lengths = np.linalg.norm(ends - start, axis=1)
    usable = np.where(scan.is_obstacle, np.maximum(lengths - resolution, 0), lengths)
    counts = np.ceil(2 * usable / resolution).astype(np.int64) + 1
    ray = np.repeat(np.arange(len(ends)), counts)
    step = np.arange(len(ray)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = np.minimum(step * resolution / 2, usable[ray]) / np.maximum(lengths[ray], 1e-9)
    return np.asarray(start + share[:, None] * (ends[ray] - start))
