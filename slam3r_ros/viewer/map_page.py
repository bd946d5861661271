"""The live page: a map model, shown to every browser that opens the page."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import viser

from slam3r_ros.viewer.display_settings import DisplaySettings, TimelineMode
from slam3r_ros.viewer.following import ViewMode
from slam3r_ros.viewer.map_actions import MapActions, NoActions
from slam3r_ros.viewer.map_model import MapModel, MapSnapshot
from slam3r_ros.viewer.page_server import PageAddress, PageServer
from slam3r_ros.viewer.panels.camera_panel import CameraPanel
from slam3r_ros.viewer.panels.display_panel import DisplayPanel
from slam3r_ros.viewer.panels.map_panel import MapPanel
from slam3r_ros.viewer.panels.status_panel import StatusPanel
from slam3r_ros.viewer.panels.timeline_panel import TimelinePanel
from slam3r_ros.viewer.picking import Selection
from slam3r_ros.viewer.scene.map_scene import MapScene
from slam3r_ros.viewer.tuning import TUNING, ViewerTuning
from slam3r_ros.viewer.visitors.visitor import Surroundings, Visitor

_LOG = logging.getLogger(__name__)


class MapPage:
    """Shows a `MapModel` that others feed. Whatever visitors do, whoever feeds the model never waits for them."""

    def __init__(
        self,
        model: MapModel,
        address: PageAddress,
        actions: MapActions | None = None,
        *,
        title: str = "slam3r",
        first_mode: ViewMode = ViewMode.FREE,
        tuning: ViewerTuning = TUNING,
    ) -> None:
        """Begin to listen. ``first_mode`` is how a new visitor's view moves. Raises PageError."""
        self.model = model
        self.actions: MapActions = actions or NoActions()
        self._tuning, self._first_mode = tuning, first_mode
        self._settings = DisplaySettings()
        self._settings_lock = threading.Lock()
        self._visitors: dict[int, Visitor] = {}
        self._visitors_lock = threading.Lock()
        self.server = PageServer(address, title)
        """The web server; `server.url` is what to open in a browser."""
        server = self.server.viser
        server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False, brand_color=(64, 130, 255))
        server.scene.set_up_direction("+z")
        self._scene = MapScene(server.scene, tuning)
        self._build_panels(server)
        server.on_client_connect(self._welcome)
        server.on_client_disconnect(self._say_goodbye)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slam3r_page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving the page."""
        self._ended.set()
        self._thread.join()
        self.server.stop()

    @property
    def settings(self) -> DisplaySettings:
        """What is shown now."""
        with self._settings_lock:
            return self._settings

    def change_settings(self, change: Callable[[DisplaySettings], DisplaySettings]) -> None:
        """Replace the settings by what a function makes of them."""
        with self._settings_lock:
            self._settings = change(self._settings)

    # ---- visitors ------------------------------------------------------------------------------------------------

    def _welcome(self, client: viser.ClientHandle) -> None:
        visitor = Visitor(
            client,
            Surroundings(
                actions=self.actions,
                snapshot=self.model.snapshot,
                extent=lambda: self._scene.extent,
                hide_points=self._hide_points,
                view_folder=self._view_tab,
                measure_folder=self._tools_tab,
                first_mode=self._first_mode,
            ),
        )
        with self._visitors_lock:
            self._visitors[client.client_id] = visitor

    def _say_goodbye(self, client: viser.ClientHandle) -> None:
        with self._visitors_lock:
            self._visitors.pop(client.client_id, None)

    def _hide_points(self, selection: Selection, is_inside: bool) -> int:
        return self.model.remove_points(selection, inside=is_inside)

    # ---- the page's thread ---------------------------------------------------------------------------------------

    def _build_panels(self, server: viser.ViserServer) -> None:
        gui = server.gui
        gui.main_panel.dock_right()
        gui.main_panel.set_width(330)
        self._status_panel = StatusPanel(gui)
        tabs = gui.add_tab_group()
        self._view_tab = tabs.add_tab("View", viser.Icon.EYE)
        with self._view_tab:
            DisplayPanel(gui, self.change_settings)
        with tabs.add_tab("Time", viser.Icon.CLOCK):
            self._timeline_panel = TimelinePanel(gui, self.change_settings)
        self._tools_tab = tabs.add_tab("Tools", viser.Icon.RULER_MEASURE)
        with tabs.add_tab("Map", viser.Icon.MAP_2):
            self._map_panel = MapPanel(gui, self.actions)
        pictures = gui.add_panel()
        with pictures.add_tab("Camera", viser.Icon.CAMERA):
            self._camera_panel = CameraPanel(gui)
        pictures.float(x=12, y=-12, width=215)

    def _run(self) -> None:
        panels_due_s = 0.0
        while not self._ended.wait(1.0 / self._tuning.updates_per_second):
            try:
                snapshot, settings = self.model.snapshot(), self.settings
                self._update(snapshot, settings)
                if (now_s := time.monotonic()) >= panels_due_s:
                    panels_due_s = now_s + 1.0 / self._tuning.panel_updates_per_second
                    self._update_panels(snapshot)
            except (ValueError, RuntimeError, KeyError):  # a visitor who leaves in the middle of it
                _LOG.warning("the page could not follow the map once", exc_info=True)

    def _update(self, snapshot: MapSnapshot, settings: DisplaySettings) -> None:
        with self._visitors_lock:
            visitors = list(self._visitors.values())
        self._timeline_panel.update(len(snapshot.chunks))
        with self.server.viser.atomic():
            self._scene.update(snapshot, settings, [visitor.eye for visitor in visitors])
        followed = snapshot.T_map_camera
        if settings.timeline_mode is not TimelineMode.ALL and snapshot.chunks:
            position = min(settings.timeline_position, len(snapshot.chunks) - 1)
            followed = snapshot.chunks[position].T_map_camera
        for visitor in visitors:
            visitor.update(snapshot, followed)

    def _update_panels(self, snapshot: MapSnapshot) -> None:
        self._status_panel.update(snapshot, self._scene.drawn_points, self._scene.grid_cell)
        self._map_panel.update(snapshot)
        self._camera_panel.update(snapshot)
