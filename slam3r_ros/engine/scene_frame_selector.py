"""Which keyframes of the buffer a registration batch is registered against."""

from __future__ import annotations

from collections.abc import Sequence

from slam3r_ros.engine.keyframe_buffer import KeyframeBuffer
from slam3r_ros.engine.retrieval import Retrieval, RetrievalResult
from slam3r_ros.networks.interfaces import PointsNetwork
from slam3r_ros.settings import RegisterSettings
from slam3r_ros.types import LocalPointmap


class SceneFrameSelector:
    """Asks retrieval every few registration batches and keeps its answer in between."""

    def __init__(self, network: PointsNetwork, settings: RegisterSettings) -> None:
        self._settings = settings
        self._retrieval = Retrieval(network, settings.scene_frames, settings.shortlist)
        self.invalidate()

    def invalidate(self) -> None:
        """Positions in the buffer have changed: ask again."""
        self._last: RetrievalResult | None = None
        self._rounds = 0

    def choose(self, locals_: Sequence[LocalPointmap], buffer: KeyframeBuffer, *, takes_all: bool) -> RetrievalResult:
        """The scene frames of a registration batch: all keyframes with ``takes_all``, else what retrieval chooses for
        every second frame of the batch."""
        if takes_all or len(buffer) <= self._settings.scene_frames:
            return RetrievalResult(tuple(range(len(buffer))), ())
        if self._last is None or self._rounds >= self._settings.retrieval_interval:
            self._last = self._retrieval.choose([local.frame for local in locals_[::2]], buffer.candidates)
            self._rounds = 0
        self._rounds += 1
        return self._last
