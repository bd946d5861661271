"""The settings of a run as fields of the panel, each made from its one definition."""

from __future__ import annotations

from collections.abc import Iterator

import viser

from slam3r_ros.app.run_settings import offered_settings
from slam3r_ros.setting_spec import SettingSpec, SettingValue

_LABELS = {
    "window.radius": "Window radius",
    "initialize.window_size": "Initial frames",
    "window.stride": "Window stride",
    "map.point_confidence": "Confidence",
    "map.voxel_size": "Voxel size",
    "loops.close": "Close loops",
    "every": "Every n-th image",
    "field_of_view": "Field of view (°)",
    "intrinsics": "fx fy cx cy (px)",
}
"""What the page calls the settings; others go by their names."""
Field = viser.GuiInputHandle[bool] | viser.GuiInputHandle[int] | viser.GuiInputHandle[float] | viser.GuiInputHandle[str]


class SettingsForm:
    """A folded field for each setting that the page offers, and what they mean."""

    def __init__(self, gui: viser.GuiApi) -> None:
        self._specs = offered_settings()
        with gui.add_folder("Settings", expand_by_default=False):
            self._fields = {spec.name: _field(gui, spec) for spec in self._specs}
            with gui.add_folder("What they mean", expand_by_default=False):
                gui.add_markdown("\n".join(f"- **{label_of(spec)}**: {spec.meaning}" for spec in self._specs))

    def values(self) -> dict[str, SettingValue]:
        """What the visitor has chosen, by the settings' names; what is left as it was is left out."""
        return {name: value for name, value in self._given() if value is not None}

    def enable(self, *, is_enabled: bool) -> None:
        """Let the visitor change the settings, or not."""
        for field in self._fields.values():
            field.disabled = not is_enabled

    def _given(self) -> Iterator[tuple[str, SettingValue | None]]:
        for spec in self._specs:
            value: SettingValue = self._fields[spec.name].value
            yield spec.name, None if value == spec.default else value


def label_of(spec: SettingSpec) -> str:
    """What the page calls a setting."""
    return _LABELS.get(spec.name, spec.name)


def _field(gui: viser.GuiApi, spec: SettingSpec) -> Field:
    """The field of a setting. What the field lets through the settings check all the same."""
    label, hint, default = label_of(spec), spec.meaning, spec.default
    if isinstance(default, bool):
        return gui.add_checkbox(label, default, hint=hint)
    if isinstance(default, str) and spec.choices:
        return gui.add_dropdown(label, spec.choices, initial_value=default, hint=hint)
    if isinstance(default, str):
        return gui.add_text(label, default, hint=hint)
    if isinstance(default, int):
        low, high = (None if bound is None else int(bound) for bound in (spec.minimum, spec.maximum))
        return gui.add_number(label, default, min=low, max=high, step=1, hint=hint)
    step = 0.1 if abs(default) >= 1 or default == 0 else abs(default) / 10
    return gui.add_number(label, default, min=spec.minimum, max=spec.maximum, step=step, hint=hint)
