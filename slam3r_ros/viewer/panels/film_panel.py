"""The panel of films: the map as a video to take away."""

from __future__ import annotations

import tempfile
from pathlib import Path

import viser

from slam3r_ros.film.film import FilmOptions, FilmView
from slam3r_ros.viewer.map_actions import ActionError, FilmProgress, MapActions

_VIEWS: dict[str, FilmView] = {
    "The map as it grows": "growing",
    "Along the camera's path": "path",
    "From above": "above",
    "All around": "orbit",
}
"""What the page calls the views of a film."""
_SIZES = {f"{width} x {height}": (width, height) for width, height in ((1920, 1080), (1280, 720), (640, 360))}
"""Width and height of a film by what the page calls them; a smaller one takes less time."""


class FilmPanel:
    """Chooses a view and makes the film, one at a time. Its callbacks run in viser's threads."""

    def __init__(self, gui: viser.GuiApi, actions: MapActions) -> None:
        self._actions = actions
        self._view = gui.add_dropdown("Film", tuple(_VIEWS))
        self._size = gui.add_dropdown("Film size", tuple(_SIZES))
        self._button = gui.add_button("Make a film", icon=viser.Icon.MOVIE)
        self._bar = gui.add_progress_bar(0.0, visible=False)
        self._button.on_click(lambda event: self._make(event.client))

    def _make(self, client: viser.ClientHandle | None) -> None:
        """Make the film and hand it to the browser of the visitor who asked for it."""
        if client is None:
            return
        self._button.disabled, self._bar.visible, self._bar.animated = True, True, True
        try:
            with tempfile.TemporaryDirectory(prefix="slam3r_film_") as folder:
                width, height = _SIZES[self._size.value]
                options = FilmOptions(_VIEWS[self._view.value], width, height)
                target = Path(folder) / f"{options.view}.mp4"
                content = self._actions.film(options, target, self._show).read_bytes()
            client.send_file_download(target.name, content, save_immediately=True)
        except (ActionError, OSError) as error:
            client.add_notification("No film", str(error), color="red", auto_close_seconds=8)
        finally:
            self._button.disabled, self._bar.visible = False, False

    def _show(self, progress: FilmProgress) -> None:
        share = min(progress.done / max(progress.total, 1), 1.0)
        self._bar.animated = False
        self._bar.value = 100.0 * share  # type: ignore[misc]  # viser's setter, which mypy does not see
