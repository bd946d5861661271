"""Measuring: two clicks show the distance between two points, and its true length sets the scale."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import viser
from numpy.typing import NDArray

from slam3r_ros.viewer.map_actions import ActionError, MapActions
from slam3r_ros.viewer.map_model import MapSnapshot
from slam3r_ros.viewer.picking import point_on_ray
from slam3r_ros.viewer.tuning import TUNING

_COLOUR = (0, 255, 190)
_MARK = 0.006
"""Radius of the marks, as a fraction of the map's size."""


class MeasureTool:
    """One visitor's measuring. Its callbacks run in viser's threads, one at a time for a visitor."""

    def __init__(
        self,
        client: viser.ClientHandle,
        actions: MapActions,
        snapshot: Callable[[], MapSnapshot],
        map_size: Callable[[], float],
    ) -> None:
        self._client, self._actions, self._snapshot, self._map_size = client, actions, snapshot, map_size
        self._points: list[NDArray[np.float64]] = []
        self._nodes: list[viser.SceneNodeHandle] = []
        self._is_active = False
        gui = client.gui
        self._button = gui.add_button("Measure: click two points", icon=viser.Icon.RULER_MEASURE)
        self._result = gui.add_markdown("")
        self._length = gui.add_number("True length (m)", 1.0, min=1e-6, max=1e6, step=0.001, visible=False)
        self._set = gui.add_button("Set the scale by this length", icon=viser.Icon.RULER_2, visible=False)
        self._button.on_click(lambda _: self._toggle())
        self._set.on_click(lambda _: self._set_scale())

    @property
    def distance(self) -> float | None:
        """The measured distance in scene units; None until two points were hit."""
        if len(self._points) < 2:
            return None
        return float(np.linalg.norm(self._points[1] - self._points[0]))

    def refresh(self) -> None:
        """Show the measured distance in the present unit."""
        distance = self.distance
        if distance is None:
            return
        text = self._snapshot().length_text(distance)
        self._result.content = f"Distance: **{text}**"
        label = self._nodes[-1]
        if isinstance(label, viser.LabelHandle):
            label.text = text

    def _toggle(self) -> None:
        if self._is_active:
            self._stop()
            return
        self._forget()
        self._is_active = True
        self._button.label = "Stop measuring"
        self._result.content = "Click the first point."
        self._client.scene.on_click()(self._on_click)

    def _stop(self) -> None:
        self._is_active = False
        self._button.label = "Measure: click two points"
        self._client.scene.remove_click_callback()
        if self.distance is None:
            self._forget()

    def _forget(self) -> None:
        """Remove marks and result."""
        for node in self._nodes:
            node.remove()
        self._points, self._nodes = [], []
        self._result.content = ""
        self._length.visible = self._set.visible = False

    def _on_click(self, event: viser.SceneClickEvent) -> None:
        clouds = [chunk.points_map() for chunk in self._snapshot().chunks]
        origin, direction = np.array(event.ray_origin, np.float64), np.array(event.ray_direction, np.float64)
        hit = point_on_ray(origin, direction, clouds, TUNING.pick_angles_rad)
        if hit is None:
            self._result.content = "There is no point under the cursor; click on the map."
            return
        self._points.append(hit)
        number = len(self._points)
        mark = self._client.scene.add_icosphere(
            f"/measure/{number}", radius=_MARK * self._map_size(), color=_COLOUR, position=hit, cast_shadow=False
        )
        self._nodes.append(mark)
        if number == 1:
            self._result.content = "Click the second point."
            return
        self._show()
        self._stop()

    def _show(self) -> None:
        """Draw the line between the two points, with its length."""
        scene, ends = self._client.scene, np.stack(self._points).astype(np.float32)
        self._nodes.append(
            scene.add_line_segments("/measure/line", ends[None], _COLOUR, thickness=3.0, thickness_units="screen")
        )
        self._nodes.append(scene.add_label("/measure/label", "", position=ends.mean(axis=0), anchor="bottom-center"))
        can_set = "set_scale" in self._actions.offered
        self._length.visible = self._set.visible = can_set
        self.refresh()

    def _set_scale(self) -> None:
        distance = self.distance
        if distance is None or not distance > 0:
            return
        try:
            text = self._actions.set_scale(self._length.value / distance)
        except ActionError as error:
            self._client.add_notification("Scale not set", str(error), color="red", auto_close_seconds=8)
            return
        self._client.add_notification("Scale set", text, color="green", auto_close_seconds=5)
