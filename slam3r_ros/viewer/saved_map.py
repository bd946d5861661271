"""A saved map on the page: a map file fills the model, and the page's buttons change the file and export it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.film.film import FilmOptions
from slam3r_ros.io.files import FileFormatError, OutputError
from slam3r_ros.io.map_axes import T_map_world
from slam3r_ros.map_file.editing import MapFileEditor
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.viewer.export_map import DOWNLOADS
from slam3r_ros.viewer.exporter import Exporter, ExportRequest, FilmRequest
from slam3r_ros.viewer.map_actions import ActionError, FilmProgress, NoActions
from slam3r_ros.viewer.map_model import MapModel
from slam3r_ros.viewer.map_status import MapStatus
from slam3r_ros.viewer.picking import Selection

STATE = "SAVED"
"""The state of a map that nobody adds to."""


def show_map(path: Path, model: MapModel) -> None:
    """Fill a model from a map file, keyframe by keyframe. Raises MapFileError."""
    with MapFile(path) as file:
        poses, ids = [pose.T_world_camera for pose in file.trajectory()], file.keyframe_ids()
        model.set_scale(file.scale().metres_per_unit)
        model.set_path(poses)
        for number, id in enumerate(ids):
            model.set_status(
                MapStatus(state=STATE, reason=f"reading keyframe {number + 1} of {len(ids)} of {path.name}")
            )
            view = file.keyframe(id)
            model.put_view(view)
        if poses:
            model.put_pose(len(poses) - 1, poses[-1])
        model.set_loops(file.loops())
    reason = path.name if ids else f"{path.name} has no keyframes"
    model.set_status(MapStatus(state=STATE, reason=reason, keyframes=len(ids)))


class SavedMapActions(NoActions):
    """Changes a map file and exports it. Each method may run in any thread, one at a time."""

    offered = frozenset({"set_scale", "remove_points", "undo_removal", "film"})
    downloads = DOWNLOADS

    def __init__(self, path: Path, model: MapModel) -> None:
        self._path, self._model = path, model
        self._editor, self._exporter = MapFileEditor(path), Exporter()

    def set_scale(self, metres_per_unit: float) -> str:
        """Write the scale into the file."""
        try:
            self._editor.set_scale(metres_per_unit)
        except (FileFormatError, OutputError) as error:
            raise ActionError(str(error)) from error
        self._model.set_scale(metres_per_unit)
        return f"{metres_per_unit:.4g} m to a scene unit, written into {self._path.name}"

    def remove_points(self, selection: Selection, inside: bool) -> str:
        """Remove points from the file."""
        rotation = T_map_world[:3, :3].astype(np.float32)

        def is_removed(points_world: NDArray[np.float32]) -> NDArray[np.bool_]:
            chosen: NDArray[np.bool_] = selection.contains(points_world @ rotation.T) == inside
            return chosen

        try:
            count = self._editor.remove_points(is_removed)
        except (FileFormatError, OutputError) as error:
            raise ActionError(str(error)) from error
        self._model.remove_points(selection, inside=inside)
        return f"{count} points are removed from {self._path.name}"

    def undo_removal(self) -> str:
        """Bring the points of the last removal back into the file."""
        if not self._editor.can_undo:
            raise ActionError("nothing was removed since the page was opened")
        try:
            self._editor.undo()
            show_map(self._path, self._model)
        except (FileFormatError, OutputError) as error:
            raise ActionError(str(error)) from error
        return f"the points are back in {self._path.name}"

    def export(self, format_name: str, folder: Path) -> Path:
        """Write the map in one of `DOWNLOADS`, in a process of its own; COLMAP's folder as a ZIP file."""
        return self._exporter.export(ExportRequest(self._path, format_name, folder))

    def film(self, options: FilmOptions, target: Path, on_progress: Callable[[FilmProgress], None]) -> Path:
        """Make a film of the map, in a process of its own."""
        return self._exporter.film(FilmRequest(self._path, options, target), on_progress)

    def close(self) -> None:
        """End the process that exports."""
        self._exporter.close()
