"""Which keyframes of the buffer see the same place (SLAM3R section 3.3, retrieval)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slam3r_ros.engine.types import EncodedFrame
from slam3r_ros.networks.blocks import LayerInput
from slam3r_ros.networks.interfaces import PointsNetwork


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What retrieval chose."""

    chosen: tuple[int, ...]
    """Positions in the buffer, best first; all of it, in order, where there was nothing to choose."""
    scores: tuple[float, ...]
    """Mean score of every candidate, in [0, 1), in the buffer's order; empty where there was nothing to choose."""


class Retrieval:
    """Scores the buffer's keyframes against the frames to be registered."""

    def __init__(self, network: PointsNetwork, scene_frames: int) -> None:
        self._network = network
        self._scene_frames = scene_frames

    def choose(self, queries: Sequence[EncodedFrame], candidate_count: int, candidates: LayerInput) -> Retrieved:
        """The scene frames for ``queries`` among ``candidates``: I2P's layer-0 source shares (candidates, ...)."""
        if candidate_count <= self._scene_frames:
            return Retrieved(tuple(range(candidate_count)), ())
        references = LayerInput.stack([query.as_reference for query in queries])[:, None]
        correlation = self._network.correlation(references, candidates[None])
        mean = correlation.mean(dim=(0, 2)).cpu().numpy()
        scores = (mean - 1) / mean
        best_first = np.argsort(-scores, kind="stable")[: self._scene_frames]
        return Retrieved(tuple(int(i) for i in best_first), tuple(float(s) for s in scores))
