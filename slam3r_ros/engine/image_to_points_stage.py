"""Local pointmaps: I2P over windows (SLAM3R section 3.2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from slam3r_ros.device.host_transfer import to_device
from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.networks.decoder import Pointmaps
from slam3r_ros.networks.interfaces import PointsNetwork
from slam3r_ros.types import EncodedFrame, LocalPointmap, Window


def mean_distance(points: Tensor, valid: Tensor) -> Tensor:
    """Mean distance to the origin of the valid points (..., 3): one number, 1 where nothing is valid."""
    x, y, z = points.unbind(dim=-1)
    distances, count = torch.where(valid, (x * x + y * y + z * z).sqrt(), 0.0), valid.sum()
    return torch.where(count > 0, (distances.sum() / count).clamp(min=1e-8), 1.0)


def normalise(points: Tensor, valid: Tensor) -> Tensor:
    """Points (..., 3) over the mean distance of the valid ones, the others zero."""
    return torch.where(valid[..., None], points / mean_distance(points, valid), 0.0)


class ImageToPointsStage:
    """Runs I2P on windows that are ready together."""

    def __init__(self, network: PointsNetwork, point_confidence: float) -> None:
        self._network = network
        self.point_confidence = point_confidence
        """Confidence below which a point is not valid."""

    def estimate(self, windows: Sequence[Window]) -> list[LocalPointmap]:
        """Each window's reference's own pointmap, normalised; windows of one length are one batch."""
        batches: dict[int, list[int]] = defaultdict(list)
        for position, window in enumerate(windows):
            batches[len(window.sources)].append(position)
        results: dict[int, LocalPointmap] = {}
        for positions in batches.values():
            batch = [windows[position] for position in positions]
            results.update(zip(positions, self._local_pointmaps(batch), strict=True))
        return [results[position] for position in range(len(windows))]

    def mean_confidences(self, windows: Sequence[Window]) -> list[float]:
        """Mean confidence over all views of each window; all of one length."""
        return self._all_views(windows).confidence.mean(dim=(1, 2, 3)).tolist()

    def every_reference(self, frames: Sequence[EncodedFrame], together: int | None = None) -> Pointmaps:
        """The window of all ``frames`` with each as the reference in turn: (references, views, ...) in frame order.

        At most ``together`` of these windows are decoded at once.
        """
        windows = [Window(frame, tuple(other for other in frames if other is not frame)) for frame in frames]
        views, size = len(frames), together or len(frames)
        parts = [self._all_views(windows[start : start + size]) for start in range(0, views, size)]
        order = np.array([[0 if v == r else v + 1 - (v > r) for v in range(views)] for r in range(views)])
        points = torch.cat([part.points for part in parts])
        confidence = torch.cat([part.confidence for part in parts])
        rows, columns = (to_device(index, points.device) for index in (np.arange(views)[:, None], order))
        return Pointmaps(points[rows, columns], confidence[rows, columns])

    def _all_views(self, windows: Sequence[Window]) -> Pointmaps:
        """All views of windows of one length, (windows, views, ...): the reference, then the sources."""
        references, sources = self._network.decode(*_layer_inputs(windows))
        assert sources is not None
        points = torch.cat([references.points, sources.points], dim=1)
        return Pointmaps(points, torch.cat([references.confidence, sources.confidence], dim=1))

    def _local_pointmaps(self, windows: Sequence[Window]) -> list[LocalPointmap]:
        references, _ = self._network.decode(*_layer_inputs(windows), need_sources=False)
        points, confidence = references.points[:, 0], references.confidence[:, 0]
        valid = confidence >= self.point_confidence
        normalised = [normalise(*of_one) for of_one in zip(points, valid, strict=True)]
        means = confidence.mean(dim=(1, 2))
        return [
            LocalPointmap(window.reference, points[i], confidence[i], valid[i], normalised[i], means[i])
            for i, window in enumerate(windows)
        ]


def _layer_inputs(windows: Sequence[Window]) -> tuple[LayerActivations, LayerActivations]:
    """Layer-0 activations of windows of one length: references (windows, 1, ...), sources (windows, views - 1, ...)."""
    references = LayerActivations.stack([window.reference.reference_activations for window in windows])[:, None]
    sources = LayerActivations.stack(
        [LayerActivations.stack([s.source_activations for s in window.sources]) for window in windows]
    )
    return references, sources
