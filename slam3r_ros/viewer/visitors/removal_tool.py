"""Removing points: a rectangle deletes what is inside, or all that is outside of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import viser

from slam3r_ros.geometry.se3 import invert_rigid, rigid, rotation_from_quat_xyzw
from slam3r_ros.viewer.map_actions import ActionError, MapActions
from slam3r_ros.viewer.picking import Selection

_HINT = "Drag a rectangle over the map."


class RemovalTool:
    """One visitor's rectangle. Its callbacks run in viser's threads, one at a time for a visitor."""

    def __init__(
        self, client: viser.ClientHandle, actions: MapActions, hide_points: Callable[[Selection, bool], int]
    ) -> None:
        """``hide_points`` removes points from the page alone, where the map itself cannot be changed."""
        self._client, self._actions, self._hide_points = client, actions, hide_points
        self._is_inside: bool | None = None
        gui = client.gui
        self._delete = gui.add_button("Delete inside a rectangle", icon=viser.Icon.ERASER)
        self._crop = gui.add_button("Keep only a rectangle", icon=viser.Icon.CROP)
        self._changes_map = "remove_points" in actions.offered
        self._undo = gui.add_button("Undo", icon=viser.Icon.ARROW_BACK_UP, visible="undo_removal" in actions.offered)
        gui.add_markdown(
            "Saved map and exports follow."
            if self._changes_map
            else "On this page only: the node goes on with all points, and saves all of them."
        )
        self._hint = gui.add_markdown("")
        self._delete.on_click(lambda _: self._begin(is_inside=True))
        self._crop.on_click(lambda _: self._begin(is_inside=False))
        self._undo.on_click(lambda _: self._undo_last())

    def _begin(self, *, is_inside: bool) -> None:
        """Wait for a rectangle; the same button again gives up."""
        was_waiting, self._is_inside = self._is_inside, is_inside
        if was_waiting is not None:
            self._client.scene.remove_rect_select_callback()
        if was_waiting == is_inside:
            self._is_inside, self._hint.content = None, ""
            return
        self._hint.content = _HINT
        self._client.scene.on_rect_select()(self._on_rectangle)

    def _on_rectangle(self, event: viser.SceneRectSelectEvent) -> None:
        is_inside, self._is_inside = self._is_inside, None
        self._client.scene.remove_rect_select_callback()
        self._hint.content = ""
        if is_inside is None:
            return
        camera = event.client.camera
        rotation = rotation_from_quat_xyzw(np.roll(camera.wxyz, -1))
        selection = Selection(
            T_camera_map=invert_rigid(rigid(rotation, camera.position)),
            vertical_fov_rad=camera.fov,
            aspect=camera.aspect,
            smallest=event.screen_min,
            largest=event.screen_max,
        )
        try:
            if self._changes_map:
                text = self._actions.remove_points(selection, is_inside)
            else:
                text = f"{self._hide_points(selection, is_inside)} points are hidden on this page"
        except ActionError as error:
            self._client.add_notification("Nothing removed", str(error), color="red", auto_close_seconds=8)
            return
        self._client.add_notification("Removed", text, color="green", auto_close_seconds=5)

    def _undo_last(self) -> None:
        try:
            text = self._actions.undo_removal()
        except ActionError as error:
            self._client.add_notification("Nothing to undo", str(error), color="red", auto_close_seconds=8)
            return
        self._client.add_notification("Undone", text, color="green", auto_close_seconds=5)
