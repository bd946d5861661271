"""Stage one: Image-to-Points, confidence-weighted regression of jointly normalised pointmaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from slam3r_ros.networks.decoder import Pointmaps
from slam3r_ros.networks.image_to_points import ImageToPoints

from .augmentation import random_views
from .clips import Clips
from .data import PhaseData
from .embedded_config import set_image_size
from .export import export_network
from .losses import (
    SCALE_WEIGHT,
    confidence_weighted,
    masked_mean,
    mean_distance,
    point_distances,
    scale_errors,
    sky_confidence,
)
from .matching import MatchingLoss
from .pictures import Picture, confidence_tile, depth_tile, image_tile, stacked
from .windows import Random, Views, choose_frames, load_views

MATCHING_WEIGHT = 0.1
VIEW_WEIGHTS = {2: 0.15, 3: 0.2, 4: 0.3, 5: 0.25, 6: 0.1, 7: 0.06, 8: 0.05, 9: 0.04, 10: 0.03, 11: 0.06}
"""How often a window has how many views, before those above the run's limit are left out."""
PICTURED_WINDOWS = 4


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Sizes of a batch."""

    views_in_batch: int = 32
    most_views: int = 6
    """Of a window, 2 to 11."""


class ImageToPointsStage:
    """Trains the encoder, the decoder and the heads of I2P (SLAM3R, arXiv 2412.09401, section 3.2).

    A window is encoded once and decoded twice, with two of its views as the reference.
    """

    def __init__(self, model: ImageToPoints, phases: list[PhaseData], validation: Clips, batch: BatchSettings) -> None:
        """`model` on the device that is to be trained on; `validation` has the last phase's image size."""
        self.model, self._phases, self._batch = model, phases, batch
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not name.startswith("correlation"))
        counts = [count for count in VIEW_WEIGHTS if count <= batch.most_views]
        weights = np.array([VIEW_WEIGHTS[count] for count in counts])
        self._view_counts, self._view_shares = np.array(counts), weights / weights.sum()
        self._validation = validation_windows(validation, model.device)
        seen = phases[-1].clips.like(validation)
        self._seen = validation_windows(seen, model.device, windows_per_clip=1)
        self._seen_families = seen.families_of_all
        self._validated_families = validation.families_of_all
        self._matching = MatchingLoss(self.model)

    def loss(self, random: np.random.Generator, progress: float) -> tuple[Tensor, int]:
        """See `Stage`."""
        phase = next((phase for phase in self._phases if progress < phase.until), self._phases[-1])
        set_image_size(self.model, phase.image_size)
        views = self._window_batch(random, phase)
        tokens = self._encoded(views.images)
        swapped = [1, 0, *range(2, views.images.shape[1])]
        twice = views.reordered(swapped)
        predicted = self.model(torch.cat([tokens, tokens[:, swapped]]), reference=0)
        true = twice.points_in(0)
        distances = point_distances(predicted.points, true, twice.valid, normalise=True)
        loss = confidence_weighted(distances, predicted.confidence, twice.valid)
        loss = loss + sky_confidence(predicted.confidence, twice.sky)
        loss = loss + SCALE_WEIGHT * scale_errors(predicted.points, true, twice.valid).mean()
        matching = self._matching(twice.points_camera, twice.T_world_camera, twice.camera, 1)
        return loss + MATCHING_WEIGHT * matching, len(true)

    def _window_batch(self, random: Random, phase: PhaseData) -> Views:
        count = int(random.choice(self._view_counts, p=self._view_shares))
        size = max(1, self._batch.views_in_batch // count)
        return random_views(random, phase.clips, size, count, self.model.device)

    def validate(self) -> dict[str, float]:
        """Relative point error of four-view windows: over all views, and of the reference view alone; the median
        confidence, and that of the sky where there is any; how far the unit is from a metre (logarithm); the error in
        each family of worlds where there are several; the point error of worlds that are trained on (`seen`): far lower
        than of the others, more worlds are needed, not a larger network.
        """
        set_image_size(self.model, self._phases[-1].image_size)
        rows = []
        for views in self._validation:
            predicted, true, valid = self._predicted(views.images), views.points_in(0), views.valid
            distances = point_distances(predicted.points, true, valid, normalise=True)
            first = point_distances(predicted.points[:, :1], true[:, :1], valid[:, :1], normalise=True)
            matching = self._matching(views.points_camera, views.T_world_camera, views.camera, 1)
            sky = predicted.confidence[views.sky]
            rows.append(
                (
                    float(masked_mean(distances, valid)),
                    float(masked_mean(first, valid[:, :1])),
                    float(predicted.confidence.median()),
                    float(matching),
                    float(scale_errors(predicted.points, true, valid).mean()),
                    float(sky.median()) if sky.numel() else float("nan"),
                )
            )
        names = ("point_error", "reference_error", "confidence", "matching", "scale_error")
        means = np.nanmean(np.array(rows)[:, : len(names)], axis=0)
        skies = [row[-1] for row in rows if row[-1] == row[-1]]
        figures = dict(zip(names, means.tolist(), strict=True))
        if skies:
            figures["sky_confidence"] = float(np.mean(skies))
        seen = [self._point_error(views) for views in self._seen]
        figures["point_error_seen"] = float(np.mean(seen))
        figures |= by_family("point_error", self._validated_families, [row[0] for row in rows])
        return figures | by_family("point_error_seen", self._seen_families, seen)

    def _predicted(self, images: Tensor) -> Pointmaps:
        """Of windows (B, V, 3, H, W), the first view as the reference."""
        return self.model(self._encoded(images), reference=0)

    def _encoded(self, images: Tensor) -> Tensor:
        """(B, V, tokens, encoder width) of images (B, V, 3, H, W)."""
        return self.model.encode(images.flatten(0, 1)).unflatten(0, images.shape[:2])

    def _point_error(self, views: Views) -> float:
        points = self._predicted(views.images).points
        distances = point_distances(points, views.points_in(0), views.valid, normalise=True)
        return float(masked_mean(distances, views.valid))

    def picture(self) -> Picture:
        """Fixed windows, a row each: every view's image, its true depth, the predicted one and the confidence, the
        points in the reference's camera.
        """
        set_image_size(self.model, self._phases[-1].image_size)
        apart = max(1, len(self._validation) // PICTURED_WINDOWS)
        return stacked([self._picture_row(views) for views in self._validation[::apart][:PICTURED_WINDOWS]])

    def _picture_row(self, views: Views) -> list[Picture]:
        predicted = self._predicted(views.images[:1])
        true, valid = views.points_in(0)[:1], views.valid[:1]
        depth = predicted.points[..., 2] / mean_distance(predicted.points, valid)[..., 0]
        true_depth = torch.where(valid, true[..., 2] / mean_distance(true, valid)[..., 0], 0.0)
        far = float(true_depth.max())
        highest = float(predicted.confidence.max())
        tiles = []
        for view in range(depth.shape[1]):
            tiles += [image_tile(views.images[0, view]), depth_tile(true_depth[0, view], 0.0, far)]
            tiles += [depth_tile(depth[0, view], 0.0, far), confidence_tile(predicted.confidence[0, view], highest)]
        return tiles

    def export(self, directory: Path) -> None:
        """See `Stage`."""
        set_image_size(self.model, self._phases[-1].image_size)
        export_network(self.model, directory)


def by_family(figure: str, families: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """Means of a figure in each family as `figure`_`family`, from each value's family; nothing where there is one."""
    names = sorted(set(families))
    groups = {name: [value for value, family in zip(values, families, strict=True) if family == name] for name in names}
    return {f"{figure}_{name}": float(np.mean(group)) for name, group in groups.items()} if len(names) > 1 else {}


def validation_windows(
    clips: Clips, device: torch.device, windows_per_clip: int = 3, view_count: int = 4
) -> list[Views]:
    """Fixed windows without augmentation, one batch for each clip."""
    random = np.random.default_rng(12345)
    batches = []
    for clip in range(len(clips)):
        frames = np.stack([choose_frames(random, clips.frame_count, view_count) for _ in range(windows_per_clip)])
        batches.append(load_views(clips, np.full(windows_per_clip, clip), frames, device))
    return batches
