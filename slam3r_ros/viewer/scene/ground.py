"""The grid on the map's floor, whose cells are a length that is easy to read."""

from __future__ import annotations

import viser

from slam3r_ros.viewer.display_settings import DisplaySettings
from slam3r_ros.viewer.extent import MapExtent, nice_length

_CELLS_ACROSS = 12
"""Number of cells along the map's diagonal, about."""


class Ground:
    """Keeps viser's grid in step with the map's size and unit."""

    def __init__(self, scene: viser.SceneApi) -> None:
        self._scene = scene
        self._grid: viser.GridHandle | None = None
        self._shown: tuple[float, float] = (0.0, 0.0)
        self.cell = 0.0
        """Side of a cell in the shown unit; 0 before the first."""

    def clear(self) -> None:
        """Remove the grid."""
        if self._grid is not None:
            self._grid.remove()
        self._grid, self.cell = None, 0.0

    def update(self, extent: MapExtent, unit: float, settings: DisplaySettings) -> None:
        """Draw the grid; ``unit`` is the shown length of a scene unit."""
        self.cell = nice_length(extent.size * unit / _CELLS_ACROSS)
        side, height = self.cell / unit, float(extent.low[2])
        if self._grid is None or (side, height) != self._shown:
            self._shown = (side, height)
            self._grid = self._scene.add_grid(
                "/map/grid",
                plane="xy",
                infinite_grid=True,
                cell_size=side,
                section_size=5 * side,
                cell_color=(62, 66, 76),
                section_color=(92, 98, 112),
                fade_distance=3 * extent.size,
                shadow_opacity=0.0,
                position=(0.0, 0.0, height),
            )
        self._grid.visible = settings.shows_grid
