"""What can be done to the map: pause, save, begin a new one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import viser

from slam3r_ros.viewer.map_actions import ActionError, MapActions
from slam3r_ros.viewer.map_model import MapSnapshot
from slam3r_ros.viewer.panels.film_panel import FilmPanel

_PAUSE, _GO_ON = "Pause", "Go on"
_DOWNLOAD, _PREPARING = "Download", "The file is being made"


class MapPanel:
    """Buttons for what the page's actions offer."""

    def __init__(self, gui: viser.GuiApi, actions: MapActions) -> None:
        self._gui, self._actions = gui, actions
        self._is_paused = False
        offered = actions.offered
        self._pause = gui.add_button(_PAUSE, icon=viser.Icon.PLAYER_PAUSE, visible="pause" in offered)
        self._pause.on_click(lambda event: self._do(event.client, lambda: actions.pause(not self._is_paused)))
        self._path = gui.add_text(
            "Save as", "", hint="path on the machine that makes the map; empty: its own", visible="save" in offered
        )
        save = gui.add_button("Save the map", icon=viser.Icon.DEVICE_FLOPPY, visible="save" in offered)
        save.on_click(lambda event: self._do(event.client, lambda: actions.save(self._path.value.strip())))
        new = gui.add_button("New map", icon=viser.Icon.MAP_2, color="red", visible="reset" in offered)
        new.on_click(lambda event: self._ask(event.client))
        if actions.downloads:
            formats = gui.add_dropdown("Format", list(actions.downloads))
            meaning = gui.add_markdown(_sentence(actions.downloads[formats.value]))
            formats.on_update(lambda _: setattr(meaning, "content", _sentence(actions.downloads[formats.value])))
            self._button = gui.add_button(_DOWNLOAD, icon=viser.Icon.DOWNLOAD)
            self._button.on_click(lambda event: self._hand_out(event.client, formats.value))
            if "film" in offered:
                FilmPanel(gui, actions)
        elif not offered & {"pause", "save", "reset"}:
            gui.add_markdown("This map is shown as it is.")

    def update(self, snapshot: MapSnapshot) -> None:
        """Follow the state."""
        self._is_paused = snapshot.status.is_paused
        self._pause.label = _GO_ON if self._is_paused else _PAUSE
        self._pause.icon = viser.Icon.PLAYER_PLAY if self._is_paused else viser.Icon.PLAYER_PAUSE

    def _ask(self, client: viser.ClientHandle | None) -> None:
        """Ask the visitor before the map is forgotten."""
        if client is None:
            return
        with client.gui.add_modal("New map") as modal:
            client.gui.add_markdown("The present map is forgotten, and a new one begins with the next image.")
            yes = client.gui.add_button("Begin a new map", color="red")
            no = client.gui.add_button("Keep the map")
        no.on_click(lambda _: modal.close())

        def begin() -> None:
            modal.close()
            self._do(client, self._actions.reset)

        yes.on_click(lambda _: begin())

    def _hand_out(self, client: viser.ClientHandle | None, format_name: str) -> None:
        """Export the map for a visitor, and show on the button that it goes on: a large map takes a while."""
        self._button.disabled, self._button.label = True, _PREPARING
        try:
            self._do(client, lambda: self._download(client, format_name))
        finally:
            self._button.disabled, self._button.label = False, _DOWNLOAD

    def _download(self, client: viser.ClientHandle | None, format_name: str) -> str:
        """Export the map and send the file to the visitor."""
        with tempfile.TemporaryDirectory(prefix="slam3r_export_") as folder:
            path = self._actions.export(format_name, Path(folder))
            content = path.read_bytes()
        if client is not None:
            client.send_file_download(path.name, content, save_immediately=True)
        return f"{path.name}: {len(content) / 2**20:.1f} MB"

    def _do(self, client: viser.ClientHandle | None, action: Callable[[], str]) -> None:
        """Do something, and tell the visitor who asked for it."""
        try:
            text = action()
        except ActionError as error:
            if client is not None:
                client.add_notification("Not done", str(error), color="red", auto_close_seconds=8)
            return
        if client is not None:
            client.add_notification("Done", text, color="green", auto_close_seconds=6)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
