"""A browser that has the page open: how its view moves, and its tools."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import viser
from numpy.typing import NDArray

from slam3r_ros.viewer.extent import MapExtent
from slam3r_ros.viewer.following import View, ViewMode, behind, eased, first_person, from_above, overview
from slam3r_ros.viewer.map_actions import MapActions
from slam3r_ros.viewer.map_model import MapSnapshot
from slam3r_ros.viewer.picking import Selection
from slam3r_ros.viewer.tuning import TUNING
from slam3r_ros.viewer.visitors.measure_tool import MeasureTool
from slam3r_ros.viewer.visitors.removal_tool import RemovalTool

_STILL = 1e-4
"""Motion of the camera, as a fraction of the map's size, below which a view that follows it stays."""
_MOVED = 0.01
"""Distance, as a fraction of the map's size, from where a free view was put, beyond which it stays where it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What a visitor's tools need of the page."""

    actions: MapActions
    snapshot: Callable[[], MapSnapshot]
    extent: Callable[[], MapExtent | None]
    hide_points: Callable[[Selection, bool], int]
    view_folder: viser.GuiFolderHandle | viser.GuiTabHandle
    """Where the choice of the view goes."""
    measure_folder: viser.GuiFolderHandle | viser.GuiTabHandle
    """Where the tools go."""
    first_mode: ViewMode
    """How a new visitor's view moves."""


class Visitor:
    """One browser. `update` is called by the page's thread, the rest by viser's."""

    def __init__(self, client: viser.ClientHandle, around: Surroundings) -> None:
        self._client, self._around = client, around
        self._mode = around.first_mode
        self._has_begun = False  # whether the view has been put where its mode begins
        self._followed: NDArray[np.float64] | None = None
        self._fitted: MapExtent | None = None
        self._put: NDArray[np.float64] | None = None  # where the view was put last
        self._near = 0.0
        self._last_s = time.monotonic()
        with around.view_folder:
            self._choice = client.gui.add_dropdown(
                "View", [mode.value for mode in ViewMode], initial_value=self._mode.value, order=0.1
            )
            whole = client.gui.add_button("Show the whole map", icon=viser.Icon.ARROWS_MAXIMIZE, order=0.2)
        self._choice.on_update(lambda _: self._choose(ViewMode(self._choice.value)))
        whole.on_click(lambda _: self._show_whole())
        with around.measure_folder:
            self._measure = MeasureTool(client, around.actions, around.snapshot, self._map_size)
            self._removal = RemovalTool(client, around.actions, around.hide_points)

    @property
    def eye(self) -> NDArray[np.float64]:
        """(3,) where the visitor's view is, in the map's axes, scene units."""
        return np.array(self._client.camera.position, np.float64)

    def update(self, snapshot: MapSnapshot, T_map_camera: NDArray[np.float64] | None) -> None:
        """Move the view as its mode says; ``T_map_camera`` (4, 4) is the camera that it follows, if there is one."""
        now_s = time.monotonic()
        elapsed_s, self._last_s = now_s - self._last_s, now_s
        self._measure.refresh()
        extent = self._around.extent()
        if extent is None or not snapshot.chunks:
            self._has_begun = False
            return
        self._set_near(extent)
        if self._mode in (ViewMode.FREE, ViewMode.ABOVE) or T_map_camera is None:
            self._stand(extent)
            return
        before = T_map_camera if self._followed is None else self._followed
        followed = eased(before, T_map_camera, elapsed_s, TUNING.follow_time_s)
        self._followed = followed
        if self._mode is ViewMode.FIRST_PERSON:
            self._go(first_person(followed, extent.size))
        elif not self._has_begun:
            self._go(behind(followed, extent.size))
        else:
            self._carry_along(followed[:3, 3], extent.size)
        self._has_begun = True

    def _set_near(self, extent: MapExtent) -> None:
        """Draw nothing that is nearer than the mode wants."""
        is_first_person = self._mode is ViewMode.FIRST_PERSON
        near = extent.size * (TUNING.first_person_near if is_first_person else TUNING.usual_near)
        if near != self._near:
            self._client.camera.near = self._near = near

    def _carry_along(self, position: NDArray[np.float64], size: float) -> None:
        """Keep looking at the camera from where the visitor has turned the view to."""
        camera = self._client.camera
        if np.linalg.norm(position - camera.look_at) > _STILL * size:
            self._go(View(position + self.eye - camera.look_at, position, np.array(camera.up_direction)))

    def _stand(self, extent: MapExtent) -> None:
        """Show the whole map, and again when it has grown; a free view stays once the visitor has moved it."""
        if self._has_begun and (
            self._fitted is extent or (self._mode is ViewMode.FREE and self._is_moved(extent.size))
        ):
            return
        self._has_begun, self._fitted = True, extent
        show = from_above if self._mode is ViewMode.ABOVE else overview
        self._go(show(extent, self._client.camera.fov, self._client.camera.aspect))

    def _choose(self, mode: ViewMode) -> None:
        self._mode, self._followed, self._put = mode, None, None
        self._has_begun = mode is ViewMode.FREE  # a free view stays where it is
        if mode is ViewMode.FREE:
            self._client.camera.up_direction = (0.0, 0.0, 1.0)

    def _show_whole(self) -> None:
        extent = self._around.extent()
        self._choice.value = ViewMode.FREE.value  # type: ignore[misc]
        self._choose(ViewMode.FREE)
        if extent is not None:
            self._go(overview(extent, self._client.camera.fov, self._client.camera.aspect))

    def _is_moved(self, size: float) -> bool:
        """Whether the visitor has moved the view from where it was put."""
        return self._put is None or bool(np.linalg.norm(self.eye - self._put) > _MOVED * size)

    def _go(self, view: View) -> None:
        """Put the view somewhere."""
        camera, self._put = self._client.camera, view.position
        with self._client.atomic():
            camera.up_direction = view.up
            camera.position = view.position
            camera.look_at = view.look_at

    def _map_size(self) -> float:
        extent = self._around.extent()
        return 1.0 if extent is None else extent.size
