"""The whole scene: points, cameras, lines and ground, from snapshots of the map."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import viser
from numpy.typing import NDArray

from slam3r_ros.viewer.display_settings import DisplaySettings
from slam3r_ros.viewer.extent import MapExtent, extent_of
from slam3r_ros.viewer.map_model import MapSnapshot
from slam3r_ros.viewer.point_budget import drawn_counts
from slam3r_ros.viewer.scene.cameras import Cameras
from slam3r_ros.viewer.scene.clouds import Clouds
from slam3r_ros.viewer.scene.ground import Ground
from slam3r_ros.viewer.scene.lines import Lines
from slam3r_ros.viewer.tuning import TUNING, ViewerTuning

_GROWTH = 1.25
"""Factor by which the map's size has to change before sizes, floor and colours follow it."""


class MapScene:
    """Follows the map. Used by one thread."""

    def __init__(self, scene: viser.SceneApi, tuning: ViewerTuning = TUNING) -> None:
        self._tuning = tuning
        self._clouds, self._cameras = Clouds(scene, tuning), Cameras(scene, tuning)
        self._lines, self._ground = Lines(scene), Ground(scene)
        self._map_number = 0
        self._start_anew()

    def _start_anew(self) -> None:
        self.extent: MapExtent | None = None
        """The extent that sizes, floor and colours are made for; None before the first points."""
        self._measured_chunks = 0
        self._counts: NDArray[np.int64] = np.empty(0, np.int64)
        self._decided: tuple[object, ...] = ()
        self._decided_s = 0.0
        self._is_complete = True

    @property
    def drawn_points(self) -> int:
        """Number of points that are drawn now."""
        return self._clouds.drawn_points

    @property
    def grid_cell(self) -> float:
        """Side of a cell of the grid in the shown unit; 0 before the first points."""
        return self._ground.cell

    def update(self, snapshot: MapSnapshot, settings: DisplaySettings, eyes: Sequence[NDArray[np.float64]]) -> None:
        """Draw a snapshot; ``eyes`` are the (3,) positions of the visitors in the map's axes."""
        if snapshot.map_number != self._map_number:
            for part in (self._clouds, self._cameras, self._lines, self._ground):
                part.clear()
            self._map_number = snapshot.map_number
            self._start_anew()
        self._lines.update(snapshot, settings)
        self._measure(snapshot)
        if self.extent is None:
            self._cameras.update(snapshot, settings, _size_of_path(snapshot))
            return
        self._cameras.update(snapshot, settings, self.extent.size)
        self._ground.update(self.extent, snapshot.unit, settings)
        self._decide(snapshot, settings, eyes, self.extent)
        self._is_complete = self._clouds.update(snapshot.chunks, self._counts, settings, self.extent)

    def _measure(self, snapshot: MapSnapshot) -> None:
        """Measure the map again when there are a quarter more keyframes, or another number of points."""
        chunks = snapshot.chunks
        if self.extent is not None and self._measured_chunks <= len(chunks) < _GROWTH * self._measured_chunks + 1:
            return
        self._measured_chunks = len(chunks)
        found = extent_of(chunks)
        if found is None or self.extent is None or not 1 / _GROWTH < found.size / self.extent.size < _GROWTH:
            self.extent = found if found is not None else self.extent

    def _decide(
        self,
        snapshot: MapSnapshot,
        settings: DisplaySettings,
        eyes: Sequence[NDArray[np.float64]],
        extent: MapExtent,
    ) -> None:
        """Decide how many points of each chunk are drawn: at once for new settings or chunks, else once a period."""
        chunks, now_s = snapshot.chunks, time.monotonic()
        state = (tuple(chunk.id for chunk in chunks), settings)
        if state == self._decided and (now_s - self._decided_s < self._tuning.budget_period_s):
            return
        self._decided, self._decided_s = state, now_s
        counts = self._clouds.kept_counts(chunks, settings, extent)
        shown = np.array([settings.is_shown(position) for position in range(len(chunks))], bool)
        centres = np.array([chunk.T_map_camera[:3, 3] for chunk in chunks])
        watched = np.array(eyes) if len(eyes) else centres[-1:]
        distances = np.linalg.norm(centres[:, None] - watched[None], axis=2).min(axis=1)
        self._counts = counts.copy()
        self._counts[shown] = drawn_counts(counts[shown], distances[shown], settings.budget)


def _size_of_path(snapshot: MapSnapshot) -> float:
    """The length of the diagonal around the path, scene units; 1 where there is none."""
    if not snapshot.path:
        return 1.0
    positions = np.concatenate(snapshot.path)
    return float(np.linalg.norm(positions.max(axis=0) - positions.min(axis=0))) or 1.0
