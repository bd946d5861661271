"""One browser's page of the app: the map of its visitor, and the panels to make one."""

from __future__ import annotations

import viser

from slam3r_ros.app.download_panel import DownloadPanel
from slam3r_ros.app.exporter import Exporter
from slam3r_ros.app.run_panel import RunPanel
from slam3r_ros.app.visitors import Visitor
from slam3r_ros.viewer.map_actions import ActionError, NoActions
from slam3r_ros.viewer.map_view import MapView


class VisitorActions(NoActions):
    """What a visitor can do to his map: set its scale."""

    offered = frozenset({"set_scale"})

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor

    def set_scale(self, metres_per_unit: float) -> str:
        """Say how many metres a scene unit has; what is downloaded is in metres from then on."""
        if self._visitor.map_file is None:
            raise ActionError("the scale can be set once the run is over")
        self._visitor.set_scale(metres_per_unit)
        return f"a scene unit has {metres_per_unit:.4g} m; downloads are in metres"


class AppPage:
    """What one browser sees. `update` is called by the thread of all pages."""

    def __init__(
        self, client: viser.ClientHandle, visitor: Visitor, exporter: Exporter, webcams: tuple[str, ...]
    ) -> None:
        self.visitor = visitor
        """Whose page it is."""
        self._client = client

        def add_tabs(tabs: viser.GuiTabGroupHandle) -> None:
            with tabs.add_tab("Map", viser.Icon.MAP_2):
                self._run_panel = RunPanel(client, visitor, webcams)
                self._download_panel = DownloadPanel(client, visitor, exporter)

        self._view = MapView(client, visitor.model, VisitorActions(visitor), add_tabs=add_tabs)
        self._view.welcome(client)

    def update(self) -> None:
        """Follow the visitor's run and map."""
        self._run_panel.update()
        self._download_panel.update()
        self._view.update()
