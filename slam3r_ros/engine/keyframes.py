"""The buffering set: the keyframes that stand for the scene (SLAM3R section 3.3, supplement A)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from slam3r_ros.engine.l2w import Registrar
from slam3r_ros.engine.settings import KeyframeSettings
from slam3r_ros.engine.types import Keyframe, SceneInput
from slam3r_ros.networks.blocks import LayerInput


class BufferingSet:
    """Keyframes for retrieval; of every finished stretch of ``stride`` frames the best may enter."""

    def __init__(
        self, initial: Sequence[Keyframe], stride: int, settings: KeyframeSettings, registrar: Registrar
    ) -> None:
        self._settings = settings
        self._stride = stride
        self._registrar = registrar
        self._scene_inputs = [registrar.scene_input([keyframe]) for keyframe in initial]
        self._random = np.random.RandomState(settings.seed)
        self._keyframes = list(initial)
        self._pending: list[tuple[Keyframe, bool]] = []
        self._seen = len(initial)
        self._last_index = initial[-1].index
        self._stacked: tuple[LayerInput, SceneInput] | None = None

    def __len__(self) -> int:
        return len(self._keyframes)

    def __getitem__(self, position: int) -> Keyframe:
        return self._keyframes[position]

    @property
    def indices(self) -> tuple[int, ...]:
        """Frame index of every keyframe, in the buffer's order."""
        return tuple(keyframe.index for keyframe in self._keyframes)

    @property
    def candidates(self) -> LayerInput:
        """What retrieval takes of the keyframes: I2P's layer-0 source shares (keyframes, ...)."""
        return self._stack()[0]

    @property
    def scene(self) -> SceneInput:
        """What L2W takes of the keyframes (keyframes, ...)."""
        return self._stack()[1]

    def offer(self, registered: Sequence[Keyframe], usable: Sequence[bool]) -> list[Keyframe]:
        """Take note of newly registered frames, in order; those not ``usable`` never enter. Returns what entered."""
        self._pending += zip(registered, usable, strict=True)
        entered: list[Keyframe] = []
        if len(self._pending) >= self._settings.interval * self._stride:
            while len(self._pending) >= self._stride:
                stretch, self._pending = self._pending[: self._stride], self._pending[self._stride :]
                entered += self._consider([keyframe for keyframe, good in stretch if good])
        return entered

    def _consider(self, stretch: Sequence[Keyframe]) -> list[Keyframe]:
        """Let the best frame of a finished stretch enter, if the strategy says so."""
        self._seen += 1
        size = self._settings.buffer_size
        far_enough = [keyframe for keyframe in stretch if keyframe.index >= self._last_index + 3 * self._stride // 4]
        if not far_enough:
            return []
        is_full = 0 < size <= len(self._keyframes)
        if is_full and self._settings.strategy == "reservoir" and self._random.random_sample() >= size / self._seen:
            return []
        best = max(far_enough, key=_worth)
        self._keyframes.append(best)
        self._scene_inputs.append(self._registrar.scene_input([best]))
        if is_full:
            dropped = self._random.randint(size) if self._settings.strategy == "reservoir" else 0
            del self._keyframes[dropped], self._scene_inputs[dropped]
        self._last_index = best.index
        self._stacked = None
        return [best]

    def _stack(self) -> tuple[LayerInput, SceneInput]:
        if self._stacked is None:
            candidates = LayerInput.stack([keyframe.local.frame.as_source for keyframe in self._keyframes])
            self._stacked = (
                candidates,
                SceneInput(
                    torch.cat([scene.embedding for scene in self._scene_inputs]),
                    LayerInput.concatenate([scene.layer for scene in self._scene_inputs]),
                ),
            )
        return self._stacked


def _worth(keyframe: Keyframe) -> float:
    """How much a keyframe is worth keeping: product of both networks' normalised mean confidence."""
    world, local = keyframe.mean_confidence, keyframe.local.mean_confidence
    return (world - 1) / world * (local - 1) / local
