"""Which keyframes of the buffer see the same place (SLAM3R section 3.3, retrieval)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from slam3r_ros.device.host_transfer import to_device, to_host
from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.networks.interfaces import PointsNetwork
from slam3r_ros.types import EncodedFrame


def describe(tokens: Tensor) -> Tensor:
    """A frame's descriptor (bands, encoder width), float32: the means of its tokens (tokens, encoder width) by band."""
    return torch.stack(
        [band.float().mean(dim=0) for band in tokens.tensor_split(min(TUNING.descriptor_bands, len(tokens)))]
    )


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What retrieval takes of the buffer's keyframes: tensors by slot, which is where a keyframe is stored."""

    indices: tuple[int, ...]
    """Frame index of every keyframe, in the buffer's order."""
    slots: tuple[int, ...]
    """Slot of every keyframe, in the buffer's order: each of 0, 1 ... once."""
    layer: LayerActivations
    """I2P's layer-0 activations as source views (slots, ...)."""
    descriptors: Tensor
    """(slots, bands, encoder width) float32, from `describe`."""

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """What retrieval chose."""

    chosen: tuple[int, ...]
    """Positions in the buffer, best first; all of it, in order, where there was nothing to choose."""
    scores: tuple[float, ...]
    """Mean score of every candidate, in [0, 1), in the buffer's order, NaN for those left out of the shortlist; empty
    where there was nothing to choose."""


class Retrieval:
    """Scores the buffer's keyframes against the frames to be registered.

    With a ``shortlist`` only so many are scored, whatever the buffer holds: those that scored best when they were last
    scored, those not scored for longest, and those whose descriptors are most like the queries'. 0 scores all. A score
    depends a little on which keyframes are scored with it: the query's view merges their answers by maximum.
    """

    def __init__(self, network: PointsNetwork, scene_frames: int, shortlist: int = 0) -> None:
        self._network = network
        self._scene_frames = scene_frames
        self._shortlist = max(shortlist, scene_frames) if shortlist else 0
        self._calls = 0
        self._last: dict[int, tuple[float, int]] = {}  # by frame index: last score, and in which call

    def choose(self, queries: Sequence[EncodedFrame], candidates: Candidates) -> RetrievalResult:
        """The scene frames for ``queries`` among ``candidates``."""
        if len(candidates) <= self._scene_frames:
            return RetrievalResult(tuple(range(len(candidates))), ())
        slots = np.array(candidates.slots)
        references = LayerActivations.stack([query.reference_activations for query in queries])[:, None]
        if not 0 < self._shortlist < len(candidates):
            scores = self._score(references, candidates.layer)[slots]
        else:
            positions = self._choose_shortlist(queries, candidates)
            chosen_slots = to_device(slots[positions], candidates.descriptors.device)
            scores = np.full(len(candidates), np.nan, np.float32)
            scores[positions] = self._score(references, candidates.layer[chosen_slots])
            self._remember(candidates.indices, scores)
        best_first = np.argsort(-scores, kind="stable")[: self._scene_frames]
        return RetrievalResult(tuple(int(i) for i in best_first), tuple(float(s) for s in scores))

    def _score(self, references: LayerActivations, layer: LayerActivations) -> NDArray[np.float32]:
        """Mean score of each keyframe, over the queries and its patches; query by query, which bounds the memory."""
        views = range(len(references.features))
        by_query = [self._network.correlation(references[i : i + 1], layer[None]).mean(dim=(0, 2)) for i in views]
        (mean,) = to_host(torch.stack(by_query).mean(dim=0))
        return (mean - 1) / mean

    def _choose_shortlist(self, queries: Sequence[EncodedFrame], candidates: Candidates) -> NDArray[np.intp]:
        """Positions in the buffer, ascending."""
        known = [self._last.get(index, (-np.inf, -1)) for index in candidates.indices]
        scores, calls = np.array([score for score, _ in known]), np.array([call for _, call in known])
        best = np.argsort(-scores, kind="stable")[: int(self._shortlist * TUNING.shortlist_best_share)]
        listed = np.zeros(len(candidates), bool)
        listed[best[np.isfinite(scores[best])]] = True
        oldest = np.argsort(np.where(listed, np.inf, calls), kind="stable")
        listed[oldest[: int(self._shortlist * TUNING.shortlist_oldest_share)]] = True
        alike = np.argsort(np.where(listed, np.inf, -self._similarity(queries, candidates)), kind="stable")
        listed[alike[: self._shortlist - int(listed.sum())]] = True
        return np.flatnonzero(listed)

    @staticmethod
    def _similarity(queries: Sequence[EncodedFrame], candidates: Candidates) -> NDArray[np.float32]:
        """How alike every candidate's descriptor is to the queries': mean cosine of each band to the best band.

        Measured from the mean of all candidates' bands, which says what is particular to each.
        """
        mean = candidates.descriptors.mean(dim=(0, 1))
        own = functional.normalize(torch.stack([describe(query.tokens) for query in queries]) - mean, dim=-1)
        theirs = functional.normalize(candidates.descriptors - mean, dim=-1)
        cosines = torch.einsum("qaw,cbw->qcab", own, theirs)
        (similarity,) = to_host(cosines.amax(dim=3).mean(dim=(0, 2)))
        return similarity[np.array(candidates.slots)]

    def _remember(self, indices: Sequence[int], scores: NDArray[np.float32]) -> None:
        """Keep the latest score of every keyframe that is still in the buffer."""
        self._calls += 1
        self._last = {index: self._last[index] for index in indices if index in self._last}
        self._last.update(
            (index, (float(score), self._calls))
            for index, score in zip(indices, scores, strict=True)
            if np.isfinite(score)
        )
