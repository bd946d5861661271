"""The grid on the map's floor, whose cells are a length that is easy to read.

It is made of lines: viser's own grid is computed for every pixel of the picture, which takes a browser without a GPU
longer than the map.
"""

from __future__ import annotations

import numpy as np
import viser
from numpy.typing import NDArray

from slam3r_ros.viewer.display_settings import DisplaySettings
from slam3r_ros.viewer.extent import MapExtent, nice_length

_CELLS_ACROSS = 12
"""Number of cells along the map's diagonal, about."""
_REACH = 1.5
"""How far the grid reaches from the map's middle, as a multiple of the map's size."""
_SECTION = 5
"""Every so manyth line is brighter."""
_CELL_COLOUR, _SECTION_COLOUR = (11, 12, 16), (30, 33, 42)
"""Linear intensities, as viser takes them for lines."""


class Ground:
    """Keeps the grid in step with the map's size and unit."""

    def __init__(self, scene: viser.SceneApi) -> None:
        self._scene = scene
        self._grid: viser.LineSegmentsHandle | None = None
        self._shown: tuple[float, ...] = ()
        self.cell = 0.0
        """Side of a cell in the shown unit; 0 before the first."""

    def clear(self) -> None:
        """Remove the grid."""
        if self._grid is not None:
            self._grid.remove()
        self._grid, self._shown, self.cell = None, (), 0.0

    def update(self, extent: MapExtent, unit: float, settings: DisplaySettings) -> None:
        """Draw the grid; ``unit`` is the shown length of a scene unit."""
        self.cell = nice_length(extent.size * unit / _CELLS_ACROSS)
        side = self.cell / unit
        middle = side * np.round(extent.centre[:2] / side)
        wanted = (side, *middle.tolist(), float(extent.low[2]))
        if self._grid is None or wanted != self._shown:
            self._shown = wanted
            ends, colours = grid_lines(side, round(_REACH * extent.size / side))
            self._grid = self._scene.add_line_segments(
                "/map/grid", ends, colours, thickness=1.0, thickness_units="screen", position=(*middle, wanted[3])
            )
        self._grid.visible = settings.shows_grid


def grid_lines(side: float, cells: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """(N, 2, 3) ends and (N, 2, 3) colours of the lines of a grid in the xy plane, so many cells to each side."""
    steps = np.arange(-cells, cells + 1)
    far = np.full(len(steps), cells)
    one = np.stack([np.stack([steps, -far], 1), np.stack([steps, far], 1)], 1)  # (n, 2 ends, 2 axes)
    ends = np.zeros((2 * len(steps), 2, 3), np.float32)
    ends[:, :, :2] = np.concatenate([one, one[:, :, ::-1]]) * side
    is_section = np.tile(steps % _SECTION == 0, 2)
    colours = np.where(is_section[:, None], np.array(_SECTION_COLOUR), np.array(_CELL_COLOUR)).astype(np.uint8)
    return ends, np.repeat(colours[:, None], 2, axis=1)
