"""What is shown: colours, confidence, size and number of points, height, and the parts of the scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import viser

from slam3r_ros.viewer.display_settings import Colouring, DisplaySettings
from slam3r_ros.viewer.tuning import TUNING

Change = Callable[[Callable[[DisplaySettings], DisplaySettings]], None]
"""Replaces the page's settings by what a function makes of them."""


class DisplayPanel:
    """Sliders and boxes; every change goes to the page's settings at once."""

    def __init__(self, gui: viser.GuiApi, change: Change) -> None:
        begin = DisplaySettings()
        colouring = gui.add_dropdown("Colour", [each.value for each in Colouring], initial_value=begin.colouring.value)
        colouring.on_update(lambda _: change(lambda old: replace(old, colouring=Colouring(colouring.value))))
        hidden = gui.add_slider("Hide unsure (%)", 0, 95, 1, round(begin.hidden_percent))
        hidden.on_update(lambda _: change(lambda old: replace(old, hidden_percent=float(hidden.value))))
        size = gui.add_slider("Point size", 0.05, 2.0, 0.05, begin.point_size_percent)
        size.on_update(lambda _: change(lambda old: replace(old, point_size_percent=float(size.value))))
        budget = gui.add_slider("Points (thousands)", 50, TUNING.largest_budget // 1000, 50, begin.budget // 1000)
        budget.on_update(lambda _: change(lambda old: replace(old, budget=1000 * int(budget.value))))
        band = gui.add_multi_slider("Height band (%)", 0, 100, 1, (0, 100))
        band.on_update(
            lambda _: change(lambda old: replace(old, height_band=(float(min(band.value)), float(max(band.value)))))
        )
        with gui.add_folder("Show", expand_by_default=False):
            for label, name in (
                ("Points", "shows_points"),
                ("Keyframes", "shows_cameras"),
                ("Images in keyframes", "shows_images"),
                ("Path", "shows_path"),
                ("Loops", "shows_loops"),
                ("Grid", "shows_grid"),
            ):
                _add_box(gui, label, name, begin, change)


def _add_box(gui: viser.GuiApi, label: str, name: str, begin: DisplaySettings, change: Change) -> None:
    """A box that shows or hides a part of the scene."""
    box = gui.add_checkbox(label, bool(getattr(begin, name)))

    def apply(settings: DisplaySettings) -> DisplaySettings:
        values: dict[str, bool] = {name: box.value}
        return replace(settings, **values)  # type: ignore[arg-type]

    box.on_update(lambda _: change(apply))
