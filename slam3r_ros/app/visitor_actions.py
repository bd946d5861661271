"""What visitors of the app can do to their map once it is made: measure, remove points, download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slam3r_ros.app.visitors import Visitor
from slam3r_ros.film.film import FilmOptions
from slam3r_ros.viewer.export_map import DOWNLOADS
from slam3r_ros.viewer.exporter import Exporter, ExportRequest, FilmRequest
from slam3r_ros.viewer.map_actions import ActionError, FilmProgress, NoActions
from slam3r_ros.viewer.picking import Selection
from slam3r_ros.viewer.saved_map import SavedMapActions


class VisitorActions(NoActions):
    """One visitor's actions, on the map file of the newest run."""

    offered = SavedMapActions.offered
    downloads = DOWNLOADS

    def __init__(self, visitor: Visitor, exporter: Exporter) -> None:
        self._visitor, self._exporter = visitor, exporter

    def set_scale(self, metres_per_unit: float) -> str:
        """Say how many metres a scene unit has; what is downloaded is in metres from then on."""
        with self._visitor.saved_map() as saved:
            return _done(saved).set_scale(metres_per_unit)

    def remove_points(self, selection: Selection, inside: bool) -> str:
        """Remove the points inside or outside a selection from the map."""
        with self._visitor.saved_map() as saved:
            return _done(saved).remove_points(selection, inside)

    def undo_removal(self) -> str:
        """Bring back the points that were removed last."""
        with self._visitor.saved_map() as saved:
            return _done(saved).undo_removal()

    def export(self, format_name: str, folder: Path) -> Path:
        """Write the map in a format into a folder; returns the file."""
        map_file = self._visitor.map_file
        if map_file is None:
            raise ActionError("there is no map yet")
        return self._exporter.export(ExportRequest(map_file, format_name, folder))

    def film(self, options: FilmOptions, target: Path, on_progress: Callable[[FilmProgress], None]) -> Path:
        """Make a film of the map; returns the file. Raises ActionError."""
        map_file = self._visitor.map_file
        if map_file is None:
            raise ActionError("there is no map yet")
        return self._exporter.film(FilmRequest(map_file, options, target), on_progress)


def _done(saved: SavedMapActions | None) -> SavedMapActions:
    """The actions on a map that is complete; raises ActionError where there is none."""
    if saved is None:
        raise ActionError("the map can be changed once the run is over")
    return saved
