"""The map and its panels on one place of viser: a server, for all who open its page, or one browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import viser

from slam3r_ros.viewer.display_settings import DisplaySettings, TimelineMode
from slam3r_ros.viewer.following import ViewMode
from slam3r_ros.viewer.map_actions import MapActions
from slam3r_ros.viewer.map_model import MapModel, MapSnapshot
from slam3r_ros.viewer.panels.camera_panel import CameraPanel
from slam3r_ros.viewer.panels.display_panel import DisplayPanel
from slam3r_ros.viewer.panels.map_panel import MapPanel
from slam3r_ros.viewer.panels.status_panel import StatusPanel
from slam3r_ros.viewer.panels.timeline_panel import TimelinePanel
from slam3r_ros.viewer.picking import Selection
from slam3r_ros.viewer.scene.map_scene import MapScene
from slam3r_ros.viewer.tuning import TUNING, ViewerTuning
from slam3r_ros.viewer.visitors.visitor import Surroundings, Visitor

AddTabs = Callable[[viser.GuiTabGroupHandle], None]
"""Adds tabs of its own, before those of the map."""


class MapView:
    """Shows a `MapModel`. `update` is called by one thread, the rest by viser's."""

    def __init__(
        self,
        place: viser.ViserServer | viser.ClientHandle,
        model: MapModel,
        actions: MapActions,
        *,
        first_mode: ViewMode = ViewMode.FREE,
        tuning: ViewerTuning = TUNING,
        add_tabs: AddTabs | None = None,
    ) -> None:
        """``first_mode`` is how a new visitor's view moves."""
        self._place, self._model, self._actions = place, model, actions
        self._tuning, self._first_mode = tuning, first_mode
        self._settings = DisplaySettings()
        self._settings_lock = threading.Lock()
        self._visitors: dict[int, Visitor] = {}
        self._visitors_lock = threading.Lock()
        self._panels_due_s = 0.0
        self._scene = MapScene(place.scene, tuning)
        self._build_panels(place.gui, add_tabs)

    @property
    def settings(self) -> DisplaySettings:
        """What is shown now."""
        with self._settings_lock:
            return self._settings

    def change_settings(self, change: Callable[[DisplaySettings], DisplaySettings]) -> None:
        """Replace the settings by what a function makes of them."""
        with self._settings_lock:
            self._settings = change(self._settings)

    def welcome(self, client: viser.ClientHandle) -> None:
        """Give a browser its own view and its tools."""
        visitor = Visitor(
            client,
            Surroundings(
                actions=self._actions,
                snapshot=self._model.snapshot,
                extent=lambda: self._scene.extent,
                hide_points=self._hide_points,
                view_folder=self._view_tab,
                measure_folder=self._tools_tab,
                first_mode=self._first_mode,
            ),
        )
        with self._visitors_lock:
            self._visitors[client.client_id] = visitor

    def say_goodbye(self, client: viser.ClientHandle) -> None:
        """Forget a browser that has gone."""
        with self._visitors_lock:
            self._visitors.pop(client.client_id, None)

    def update(self) -> None:
        """Follow the map: the scene each time, the panels when it is their turn."""
        snapshot, settings = self._model.snapshot(), self.settings
        self._update_scene(snapshot, settings)
        if (now_s := time.monotonic()) >= self._panels_due_s:
            self._panels_due_s = now_s + 1.0 / self._tuning.panel_updates_per_second
            self._status_panel.update(snapshot, self._scene.drawn_points, self._scene.grid_cell)
            self._camera_panel.update(snapshot)
            self._pictures.visible = snapshot.newest_view is not None
            if self._map_panel is not None:
                self._map_panel.update(snapshot)

    def _hide_points(self, selection: Selection, is_inside: bool) -> int:
        return self._model.remove_points(selection, inside=is_inside)

    def _build_panels(self, gui: viser.GuiApi, add_tabs: AddTabs | None) -> None:
        gui.main_panel.dock_right()
        gui.main_panel.set_width(330)
        self._status_panel = StatusPanel(gui)
        tabs = gui.add_tab_group()
        if add_tabs is not None:
            add_tabs(tabs)
        self._view_tab = tabs.add_tab("View", viser.Icon.EYE)
        with self._view_tab:
            DisplayPanel(gui, self.change_settings)
        with tabs.add_tab("Time", viser.Icon.CLOCK):
            self._timeline_panel = TimelinePanel(gui, self.change_settings)
        self._tools_tab = tabs.add_tab("Tools", viser.Icon.RULER_MEASURE)
        self._map_panel: MapPanel | None = None
        if add_tabs is None:
            with tabs.add_tab("Map", viser.Icon.MAP_2):
                self._map_panel = MapPanel(gui, self._actions)
        self._pictures = gui.add_panel(visible=False)
        with self._pictures.add_tab("Camera", viser.Icon.CAMERA):
            self._camera_panel = CameraPanel(gui)
        self._pictures.float(x=12, y=-12, width=215)

    def _update_scene(self, snapshot: MapSnapshot, settings: DisplaySettings) -> None:
        with self._visitors_lock:
            visitors = list(self._visitors.values())
        self._timeline_panel.update(len(snapshot.chunks))
        with self._place.atomic():
            self._scene.update(snapshot, settings, [visitor.eye for visitor in visitors])
        followed = snapshot.T_map_camera
        if settings.timeline_mode is not TimelineMode.ALL and snapshot.chunks:
            position = min(settings.timeline_position, len(snapshot.chunks) - 1)
            followed = snapshot.chunks[position].T_map_camera
        for visitor in visitors:
            visitor.update(snapshot, followed)
