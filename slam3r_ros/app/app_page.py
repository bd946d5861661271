"""One browser's page of the app: the map of its visitor, and the panels to make one."""

from __future__ import annotations

import viser

from slam3r_ros.app.run_panel import RunPanel
from slam3r_ros.app.visitor_actions import VisitorActions
from slam3r_ros.app.visitors import Visitor
from slam3r_ros.viewer.map_view import MapView
from slam3r_ros.viewer.panels.map_panel import MapPanel


class AppPage:
    """What one browser sees. `update` is called by the thread of all pages."""

    def __init__(
        self, client: viser.ClientHandle, visitor: Visitor, actions: VisitorActions, webcams: tuple[str, ...]
    ) -> None:
        self.visitor = visitor
        """Whose page it is."""

        def add_tabs(tabs: viser.GuiTabGroupHandle) -> None:
            with tabs.add_tab("Map", viser.Icon.MAP_2):
                self._run_panel = RunPanel(client, visitor, webcams)
                self._downloads = client.gui.add_folder("Take it with you", visible=False)
                with self._downloads:
                    MapPanel(client.gui, actions)

        self._view = MapView(client, visitor.model, actions, add_tabs=add_tabs)
        self._view.welcome(client)

    def update(self) -> None:
        """Follow the visitor's run and map."""
        self._run_panel.update()
        self._downloads.visible = self.visitor.map_file is not None
        self._view.update()
