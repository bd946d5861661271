"""Stage two: the correlation head, with everything else of I2P frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from slam3r_ros.networks.image_to_points import ImageToPoints

from .clips import Clips
from .export import export_network
from .pictures import Picture, image_tile, stacked
from .windows import Random, change_colours, load_views, mirror

CANDIDATES = 6


class CorrelationStage:
    """Teaches the correlation head to foretell I2P's confidence (SLAM3R, arXiv 2412.09401, section 3.3, retrieval).

    The mean score m of each candidate, as (m - 1) / m, is compared (L1) with the same function of the mean confidence
    that I2P gives to the candidate in the window of query and candidate alone.
    """

    def __init__(self, i2p: ImageToPoints, training: Clips, validation: Clips, queries: int = 4) -> None:
        self.model = i2p
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name.startswith("correlation"))
        self._clips, self._queries = training, queries
        random = np.random.default_rng(2468)
        self._validation = [
            (images, self._confidence(images))
            for images in (self._images(random, validation, 4, augment=False) for _ in range(8))
        ]

    def loss(self, random: np.random.Generator, progress: float) -> tuple[Tensor, int]:
        """See `Stage`."""
        images = self._images(random, self._clips, self._queries, augment=True)
        return (self._score(images) - self._confidence(images)).abs().mean(), images.shape[0] * (images.shape[1] - 1)

    def _images(self, random: Random, clips: Clips, batch: int, *, augment: bool) -> Tensor:
        """Images (batch, 1 + CANDIDATES, 3, H, W): frames from anywhere in one clip, half of the candidates near the
        query.
        """
        count = clips.frame_count
        frames = []
        for _ in range(batch):
            query = int(random.integers(0, count))
            near = np.setdiff1d(np.arange(max(0, query - 10), min(count, query + 11)), [query])
            close = random.choice(near, CANDIDATES // 2, replace=False)
            far = random.choice(
                np.setdiff1d(np.arange(count), [query, *close]), CANDIDATES - CANDIDATES // 2, replace=False
            )
            frames.append([query, *close, *far])
        views = load_views(clips, clips.draw(random, batch), np.array(frames), self.model.device)
        if augment:
            views = change_colours(random, mirror(views, random.random(batch) < 0.5))
        return views.images

    def _tokens(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            tokens = self.model.encode(images.flatten(0, 1)).unflatten(0, images.shape[:2])
            return self.model.decoder_tokens(tokens)

    def _score(self, images: Tensor) -> Tensor:
        """Normalised mean scores (batch, candidates) of images (batch, 1 + candidates, 3, H, W), the query first."""
        x = self._tokens(images)
        scores = self.model.correlation(self.model.first_reference(x[:, :1]), self.model.first_source(x[:, 1:])).mean(
            -1
        )
        return (scores - 1) / scores

    @torch.no_grad()
    def _confidence(self, images: Tensor) -> Tensor:
        """Normalised mean confidences (batch, candidates) of the candidates in the windows (query, candidate)."""
        x = self._tokens(images)
        batch, candidates = x.shape[0], x.shape[1] - 1
        query = x[:, :1].expand(-1, candidates, -1, -1).flatten(0, 1)[:, None]
        candidate = x[:, 1:].flatten(0, 1)[:, None]
        _, result = self.model.decode(self.model.first_reference(query), self.model.first_source(candidate))
        assert result is not None
        mean = result.confidence.mean(dim=(1, 2, 3)).view(batch, candidates)
        return (mean - 1) / mean

    def validate(self) -> dict[str, float]:
        """Mean absolute error, correlation coefficient, and the share of queries whose best candidate is among the true
        best two.
        """
        scores = torch.cat([self._score(images) for images, _ in self._validation])
        truth = torch.cat([confidence for _, confidence in self._validation])
        best_two = truth.argsort(dim=1, descending=True)[:, :2]
        found = (scores.argmax(dim=1, keepdim=True) == best_two).any(dim=1).float().mean()
        coefficient = torch.corrcoef(torch.stack([scores.flatten(), truth.flatten()]))[0, 1]
        return {
            "absolute_error": float((scores - truth).abs().mean()),
            "coefficient": float(coefficient),
            "best_of_two": float(found),
            "spread_of_truth": float(truth.std()),
        }

    def picture(self) -> Picture:
        """Fixed queries, a row each: the query, then the candidates, those with the best scores first."""
        rows = []
        for images, _ in self._validation[:4]:
            best_first = self._score(images[:1])[0].argsort(descending=True)
            rows.append([image_tile(images[0, 0]), *(image_tile(images[0, 1 + int(index)]) for index in best_first)])
        return stacked(rows)

    def export(self, directory: Path) -> None:
        """See `Stage`."""
        export_network(self.model, directory)
