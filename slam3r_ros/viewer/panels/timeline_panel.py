"""The timeline: keyframes one after the other, played or stepped through."""

from __future__ import annotations

import time
from dataclasses import replace

import viser

from slam3r_ros.viewer.display_settings import DisplaySettings, TimelineMode
from slam3r_ros.viewer.panels.display_panel import Change
from slam3r_ros.viewer.tuning import TUNING

_STEP_BACK, _STEP_ON = "◀ Step", "Step ▶"
_PLAY, _STOP = "Play", "Stop"


class TimelinePanel:
    """Which keyframes are shown. `update` is called by the page's thread, the rest by viser's."""

    def __init__(self, gui: viser.GuiApi, change: Change) -> None:
        self._change = change
        self._is_playing = False
        self._advanced_s = 0.0
        modes = [each.value for each in TimelineMode]
        self._mode = gui.add_dropdown("Keyframes", modes, initial_value=DisplaySettings().timeline_mode.value)
        self._slider = gui.add_slider("Keyframe", 0, 1, 1, 0, disabled=True)
        self._speed = gui.add_slider("A second", 1, 20, 1, round(1 / TUNING.play_period_s))
        self._play = gui.add_button(_PLAY, icon=viser.Icon.PLAYER_PLAY)
        steps = gui.add_button_group("", (_STEP_BACK, _STEP_ON))
        self._mode.on_update(lambda _: self._apply())
        self._slider.on_update(lambda _: self._apply())
        self._play.on_click(lambda _: self._toggle())
        steps.on_click(lambda _: self._step(-1 if steps.value == _STEP_BACK else 1))

    def update(self, keyframes: int) -> None:
        """Follow the number of keyframes, and go on to the next one while playing."""
        last = max(1, keyframes - 1)
        if self._slider.max != last:
            if self._slider.value > last:
                self._slider.value = last  # type: ignore[misc]
            self._slider.max = last
        self._slider.disabled = keyframes < 2
        now_s = time.monotonic()
        if self._is_playing and now_s - self._advanced_s >= 1.0 / self._speed.value:
            self._advanced_s = now_s
            if self._slider.value >= last:
                self._toggle()
            else:
                self._go(int(self._slider.value) + 1)

    def _toggle(self) -> None:
        self._is_playing = not self._is_playing
        self._play.label = _STOP if self._is_playing else _PLAY
        self._play.icon = viser.Icon.PLAYER_PAUSE if self._is_playing else viser.Icon.PLAYER_PLAY
        if not self._is_playing:
            return
        if self._mode.value == TimelineMode.ALL.value:
            self._mode.value = TimelineMode.CUMULATIVE.value  # type: ignore[misc]
        if self._slider.value >= self._slider.max:
            self._go(0)

    def _step(self, by: int) -> None:
        if self._mode.value == TimelineMode.ALL.value:
            self._mode.value = TimelineMode.SINGLE.value  # type: ignore[misc]
        self._go(int(min(max(self._slider.value + by, 0), self._slider.max)))

    def _go(self, position: int) -> None:
        self._slider.value = position  # type: ignore[misc]
        self._apply()

    def _apply(self) -> None:
        mode, position = TimelineMode(self._mode.value), int(self._slider.value)
        self._change(lambda old: replace(old, timeline_mode=mode, timeline_position=position))
