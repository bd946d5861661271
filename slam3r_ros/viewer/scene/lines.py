"""The lines of the scene: the camera's path and the loops that were closed."""

from __future__ import annotations

import numpy as np
import viser
from numpy.typing import NDArray

from slam3r_ros.viewer.display_settings import DisplaySettings, TimelineMode
from slam3r_ros.viewer.map_model import MapSnapshot

PATH_COLOUR = (255, 210, 80)
"""Colour of the camera's path."""
LOOP_COLOUR = (255, 60, 160)
"""Colour of the loops."""


class Lines:
    """Keeps viser's line segments in step with path and loops."""

    def __init__(self, scene: viser.SceneApi) -> None:
        self._scene = scene
        self._pieces: list[tuple[viser.LineSegmentsHandle, NDArray[np.float32]]] = []
        self._loops: viser.LineSegmentsHandle | None = None
        self._loop_ends: NDArray[np.float32] = np.empty((0, 2, 3), np.float32)

    def clear(self) -> None:
        """Remove all lines."""
        for handle, _ in self._pieces:
            handle.remove()
        if self._loops is not None:
            self._loops.remove()
        self._pieces, self._loops = [], None
        self._loop_ends = np.empty((0, 2, 3), np.float32)

    def update(self, snapshot: MapSnapshot, settings: DisplaySettings) -> None:
        """Draw the path, piece by piece, and the loops."""
        while len(self._pieces) > len(snapshot.path):
            self._pieces.pop()[0].remove()
        for number, piece in enumerate(snapshot.path):
            if number == len(self._pieces) or self._pieces[number][1] is not piece:
                entry = (self._send(f"/map/path/{number}", _segments(piece), PATH_COLOUR, 2.5), piece)
                self._pieces[number : number + 1] = [entry]
            self._pieces[number][0].visible = settings.shows_path and len(piece) > 1
        ends = _loop_ends(snapshot, settings)
        if not np.array_equal(ends, self._loop_ends):
            self._loops, self._loop_ends = self._send("/map/loops", ends, LOOP_COLOUR, 3.5), ends
        if self._loops is not None:
            self._loops.visible = settings.shows_loops and len(ends) > 0

    def _send(
        self, name: str, ends: NDArray[np.float32], colour: tuple[int, int, int], width: float
    ) -> viser.LineSegmentsHandle:
        if not len(ends):  # viser draws no line of nothing
            ends = np.zeros((1, 2, 3), np.float32)
        return self._scene.add_line_segments(name, ends, colour, thickness=width, thickness_units="screen")


def _segments(positions: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N - 1, 2, 3) the lines between N positions that follow one another."""
    return np.stack([positions[:-1], positions[1:]], axis=1)


def _loop_ends(snapshot: MapSnapshot, settings: DisplaySettings) -> NDArray[np.float32]:
    """(L, 2, 3) positions of the cameras that the loops join, of those that the timeline shows."""
    positions = {
        chunk.id: chunk.T_map_camera[:3, 3]
        for number, chunk in enumerate(snapshot.chunks)
        if settings.timeline_mode is TimelineMode.ALL or settings.is_shown(number)
    }
    ends = [(positions[a], positions[b]) for a, b in snapshot.loops if a in positions and b in positions]
    return np.array(ends, np.float32).reshape(-1, 2, 3)
