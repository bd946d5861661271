"""The panel of films: the map as a video to take away."""

from __future__ import annotations

import tempfile
from pathlib import Path

import viser

from slam3r_ros.app.exporter import FilmProgress
from slam3r_ros.app.visitor_actions import VisitorActions
from slam3r_ros.film.film import FilmView
from slam3r_ros.viewer.map_actions import ActionError

_VIEWS: dict[str, FilmView] = {
    "The map as it grows": "growing",
    "Along the camera's path": "path",
    "From above": "above",
    "All around": "orbit",
}
"""What the page calls the views of a film."""


class FilmPanel:
    """One browser's panel. Its callbacks run in viser's threads."""

    def __init__(self, client: viser.ClientHandle, actions: VisitorActions) -> None:
        self._client, self._actions = client, actions
        gui = client.gui
        self._view = gui.add_dropdown("Film", tuple(_VIEWS))
        self._button = gui.add_button("Make a film", icon=viser.Icon.MOVIE)
        self._bar = gui.add_progress_bar(0.0, visible=False)
        self._button.on_click(lambda _: self._make())

    def _make(self) -> None:
        """Make the film and hand it to the browser."""
        self._button.disabled, self._bar.visible, self._bar.animated = True, True, True
        try:
            with tempfile.TemporaryDirectory(prefix="slam3r_film_") as folder:
                target = Path(folder) / f"{_VIEWS[self._view.value]}.mp4"
                content = self._actions.film(_VIEWS[self._view.value], target, self._show).read_bytes()
            self._client.send_file_download(target.name, content, save_immediately=True)
        except (ActionError, OSError) as error:
            self._client.add_notification("No film", str(error), color="red", auto_close_seconds=8)
        finally:
            self._button.disabled, self._bar.visible = False, False

    def _show(self, progress: FilmProgress) -> None:
        share = min(progress.done / max(progress.total, 1), 1.0)
        self._bar.animated = False
        self._bar.value = 100.0 * share  # type: ignore[misc]  # viser's setter, which mypy does not see
