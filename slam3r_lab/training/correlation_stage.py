"""Stage two: the correlation head, with everything else of I2P frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from slam3r_ros.networks.image_to_points import ImageToPoints

from .augmentation import augmented
from .clips import Clips
from .export import export_network
from .matching import overlaps
from .pictures import Picture, image_tile, stacked
from .windows import Random, Views, load_views

CANDIDATES = 6


class CorrelationStage:
    """Teaches the correlation head how much of what the query sees a candidate sees too.

    The mean score m of each candidate, as (m - 1) / m, is compared (L1) with the true share of the query's points that
    the candidate sees. Published SLAM3R (arXiv 2412.09401, section 3.3) predicts I2P's confidence in the candidate
    instead; `slam3r_lab/benchmarks/training/runs.md` has what that is worth here.
    """

    def __init__(self, i2p: ImageToPoints, training: Clips, validation: Clips, queries: int = 4) -> None:
        self.model = i2p
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name.startswith("correlation"))
        self._clips, self._queries = training, queries
        random = np.random.default_rng(2468)
        self._validation = [self._views(random, validation, 4, augment=False) for _ in range(8)]

    def loss(self, random: np.random.Generator, progress: float) -> tuple[Tensor, int]:
        """See `Stage`."""
        views = self._views(random, self._clips, self._queries, augment=True)
        scores = self._score(views.images)
        return (scores - true_overlaps(views)).abs().mean(), scores.numel()

    def _views(self, random: Random, clips: Clips, batch: int, *, augment: bool) -> Views:
        """(batch, 1 + CANDIDATES) views: frames from anywhere in one clip, half of the candidates near the query."""
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
        return augmented(random, views) if augment else views

    def _tokens(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            tokens = self.model.encode(images.flatten(0, 1)).unflatten(0, images.shape[:2])
            return self.model.decoder_tokens(tokens)

    def _score(self, images: Tensor) -> Tensor:
        """Normalised mean scores (batch, candidates) of images (batch, 1 + candidates, 3, H, W), the query first."""
        x = self._tokens(images)
        query, candidates = self.model.reference_activations(x[:, :1]), self.model.source_activations(x[:, 1:])
        scores = self.model.correlation(query, candidates).mean(-1)
        return (scores - 1) / scores

    def validate(self) -> dict[str, float]:
        """Mean absolute error, correlation coefficient, and the share of the three candidates with the best scores
        that are among the truly best three.
        """
        scores = torch.cat([self._score(views.images) for views in self._validation])
        truth = torch.cat([true_overlaps(views) for views in self._validation])
        chosen = scores.topk(CANDIDATES // 2, dim=1).indices
        worst_of_best = truth.topk(CANDIDATES // 2, dim=1).values[:, -1:]
        coefficient = torch.corrcoef(torch.stack([scores.flatten(), truth.flatten()]))[0, 1]
        return {
            "absolute_error": float((scores - truth).abs().mean()),
            "coefficient": float(coefficient),
            "precision": float((truth.gather(1, chosen) >= worst_of_best).float().mean()),
            "spread_of_truth": float(truth.std()),
        }

    def picture(self) -> Picture:
        """Fixed queries, a row each: the query, then the candidates, those with the best scores first."""
        rows = []
        for views in self._validation[:4]:
            images = views.images
            best_first = self._score(images[:1])[0].argsort(descending=True)
            rows.append([image_tile(images[0, 0]), *(image_tile(images[0, 1 + int(index)]) for index in best_first)])
        return stacked(rows)

    def export(self, directory: Path) -> None:
        """See `Stage`."""
        export_network(self.model, directory)


def true_overlaps(views: Views) -> Tensor:
    """(B, V - 1) shares of the first views' points that each other view sees."""
    query, others = views.points_camera[:, :1], views.points_camera[:, 1:]
    motion = torch.linalg.inv(views.T_world_camera[:, 1:]) @ views.T_world_camera[:, :1]
    camera = views.camera[:, 1:].flatten(0, 1)
    shares = overlaps(query.expand_as(others).flatten(0, 1), motion.flatten(0, 1), others.flatten(0, 1), camera)
    return shares.view(others.shape[:2])
