"""Stage one: Image-to-Points, confidence-weighted regression of jointly normalised pointmaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from slam3r_ros.networks.image_to_points import ImageToPoints

from .dataset_files import RenderedRooms
from .embedded_config import EMBEDDED_I2P, initialise_weights
from .export import export_network
from .losses import confidence_weighted, masked_mean, point_distances
from .matching import MatchingLoss
from .windows import Views, choose_frames, load_views, random_views

MATCHING_WEIGHT = 0.1
VIEW_COUNTS, VIEW_SHARES = (2, 3, 4, 5, 6), (0.15, 0.2, 0.3, 0.25, 0.1)


class ImageToPointsStage:
    """Trains the encoder, the decoder and the heads of I2P (SLAM3R, arXiv 2412.09401, section 3.2).

    A window is encoded once and decoded twice, with two of its views as the reference.
    """

    def __init__(self, training: RenderedRooms, validation: RenderedRooms, views_in_batch: int = 32) -> None:
        self.model = ImageToPoints(EMBEDDED_I2P)
        initialise_weights(self.model)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not name.startswith("correlation"))
        self._rooms, self._views_in_batch = training, views_in_batch
        self._validation = validation_windows(validation)
        self._matching = MatchingLoss(self.model)

    def loss(self, random: np.random.Generator) -> tuple[Tensor, int]:
        """See `Stage`."""
        count = int(random.choice(VIEW_COUNTS, p=VIEW_SHARES))
        views = random_views(random, self._rooms, max(1, self._views_in_batch // count), count)
        tokens = self.model.encode(views.images.flatten(0, 1)).unflatten(0, views.images.shape[:2])
        swapped = [1, 0, *range(2, count)]
        twice = views.reordered(swapped)
        predicted = self.model(torch.cat([tokens, tokens[:, swapped]]), reference=0)
        true = twice.points_in(0)
        valid = torch.ones(true.shape[:-1], dtype=torch.bool)
        distances = point_distances(predicted.points, true, valid, normalise=True)
        regression = confidence_weighted(distances, predicted.confidence, valid)
        return regression + MATCHING_WEIGHT * self._matching(twice.points_camera, twice.T_world_camera, 1), len(true)

    def validate(self) -> dict[str, float]:
        """Relative point error of four-view windows: over all views, and of the reference view alone; and the median
        confidence.
        """
        errors, reference_errors, confidences, matching = [], [], [], []
        for views in self._validation:
            batch, count = views.images.shape[:2]
            tokens = self.model.encode(views.images.flatten(0, 1)).unflatten(0, (batch, count))
            predicted, true = self.model(tokens, reference=0), views.points_in(0)
            valid = torch.ones(true.shape[:-1], dtype=torch.bool)
            distances = point_distances(predicted.points, true, valid, normalise=True)
            errors.append(float(masked_mean(distances, valid)))
            reference_errors.append(
                float(point_distances(predicted.points[:, :1], true[:, :1], valid[:, :1], normalise=True).mean())
            )
            confidences.append(float(predicted.confidence.median()))
            matching.append(float(self._matching(views.points_camera, views.T_world_camera, 1)))
        return {
            "point_error": float(np.mean(errors)),
            "reference_error": float(np.mean(reference_errors)),
            "confidence": float(np.mean(confidences)),
            "matching": float(np.mean(matching)),
        }

    def export(self, directory: Path) -> None:
        """See `Stage`."""
        export_network(self.model, directory)


def validation_windows(rooms: RenderedRooms, windows_per_room: int = 3, view_count: int = 4) -> list[Views]:
    """Fixed windows without augmentation, one batch for each room."""
    random = np.random.default_rng(12345)
    batches = []
    for room in range(len(rooms)):
        frames = np.stack([choose_frames(random, rooms.colour.shape[1], view_count) for _ in range(windows_per_room)])
        batches.append(load_views(rooms, np.full(windows_per_room, room), frames))
    return batches
