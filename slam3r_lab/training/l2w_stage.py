"""Stage three: Local-to-World, regression in the scene frames' scale, without normalisation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from torch import Tensor

from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.local_to_world import LocalToWorld

from .clips import Clips
from .embedded_config import initialise_weights, l2w_config
from .export import export_network
from .i2p_stage import by_family
from .l2w_samples import RegistrationSample, registration_batch
from .losses import confidence_weighted, masked_mean, point_distances, sky_confidence
from .matching import MatchingLoss
from .pictures import Picture, confidence_tile, depth_tile, stacked
from .token_cache import TokenCache

KEYFRAME_COUNTS, KEYFRAME_SHARES = (1, 2, 3), (0.6, 0.25, 0.15)
MATCHING_WEIGHT = 0.05
SCENE_WEIGHT = 0.3
"""Weight of the scene frames' own loss; the stream keeps only the keyframes' points."""


PICTURED_SAMPLES = 4
VALIDATION_BATCHES = 6
"""Of each family."""


def new_l2w(i2p: ImageToPoints) -> LocalToWorld:
    """An L2W for the tokens of `i2p`, on its device, which starts from I2P's decoder and heads."""
    model = LocalToWorld(l2w_config(i2p.config))
    initialise_weights(model)
    own = model.state_dict()
    model.load_state_dict({name: tensor for name, tensor in i2p.state_dict().items() if name in own}, strict=False)
    return model.to(i2p.device)


def _for_each_batch(families: Iterable[str]) -> list[str]:
    return [family for family in families for _ in range(VALIDATION_BATCHES)]


class LocalToWorldStage:
    """Trains L2W (SLAM3R, arXiv 2412.09401, section 3.3) on the frozen tokens of I2P."""

    def __init__(
        self,
        model: LocalToWorld,
        training: tuple[Clips, TokenCache],
        validation: tuple[Clips, TokenCache],
        views_in_batch: int = 60,
    ) -> None:
        """`model` on the device that is to be trained on."""
        self.model = model
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not name.startswith(("patch_embedding", "void_token")))
        self._training, self._views_in_batch = training, views_in_batch
        self._matching = MatchingLoss(self.model)
        self._validated_families = _for_each_batch(validation[0].families)
        self._validation = self._fixed_samples(validation, self._validated_families)
        seen = set(training[0].families).intersection(validation[0].families)  # fewer in a worker with few clips
        self._seen_families = _for_each_batch(sorted(seen))
        self._seen = self._fixed_samples(training, self._seen_families)

    def _fixed_samples(self, data: tuple[Clips, TokenCache], families: list[str]) -> list[RegistrationSample]:
        """A batch of worlds of each of the families."""
        random, clips = np.random.default_rng(54321), data[0]
        return [
            registration_batch(random, *data, random.choice(clips.of_family(family), 8), 5, 1, self.model.device)
            for family in families
        ]

    def loss(self, random: np.random.Generator, progress: float) -> tuple[Tensor, int]:
        """See `Stage`."""
        scene, keyframes = int(random.integers(1, 7)), int(random.choice(KEYFRAME_COUNTS, p=KEYFRAME_SHARES))
        batch = max(1, self._views_in_batch // (scene + keyframes))
        chosen = self._training[0].draw(random, batch)
        sample = registration_batch(random, *self._training, chosen, scene, keyframes, self.model.device)
        scene_result, keyframe_result = self.model(
            sample.scene_tokens, sample.scene_points, sample.keyframe_tokens, sample.keyframe_points
        )
        losses = []
        for result, true, views in (
            (scene_result, sample.true_scene, slice(scene)),
            (keyframe_result, sample.true_keyframes, slice(scene, None)),
        ):
            valid, sky = sample.valid[:, views], sample.sky[:, views]
            distances = point_distances(result.points, true, valid, normalise=False)
            losses.append(
                confidence_weighted(distances, result.confidence, valid) + sky_confidence(result.confidence, sky)
            )
        matching = self._matching(sample.points_camera, sample.T_world_camera, sample.camera, scene)
        return SCENE_WEIGHT * losses[0] + losses[1] + MATCHING_WEIGHT * matching, len(sample.scene_tokens)

    def validate(self) -> dict[str, float]:
        """Error of keyframes' world points over the mean distance of the true ones (five scene frames), the median
        confidence, and the error in each family of worlds where there are several; the error in worlds that are
        trained on (`seen`).
        """
        rows = np.array([self._figures(sample) for sample in self._validation])
        seen = [self._figures(sample)[0] for sample in self._seen]
        names = ("point_error", "median_error", "confidence")
        figures = dict(zip(names, rows.mean(axis=0).tolist(), strict=True))
        figures["point_error_seen"] = float(np.mean(seen))
        figures |= by_family("point_error", self._validated_families, rows[:, 0].tolist())
        return figures | by_family("point_error_seen", self._seen_families, seen)

    def _figures(self, sample: RegistrationSample) -> tuple[float, float, float]:
        """Relative and median error of the keyframe's points, and their median confidence."""
        _, result = self.model(sample.scene_tokens, sample.scene_points, sample.keyframe_tokens, sample.keyframe_points)
        valid = sample.valid[:, -1:]
        distance = (result.points - sample.true_keyframes).norm(dim=-1)
        error = masked_mean(distance, valid) / masked_mean(sample.true_keyframes.norm(dim=-1), valid)
        return float(error), float(distance[valid].median()), float(result.confidence.median())

    def picture(self) -> Picture:
        """Fixed samples, a row each: the distances from the world's origin that the keyframe's points came with (in its
        own camera), those they truly have in the world, the predicted ones, and the confidence.
        """
        apart = max(1, len(self._validation) // PICTURED_SAMPLES)
        return stacked([self._picture_row(sample) for sample in self._validation[::apart][:PICTURED_SAMPLES]])

    def _picture_row(self, sample: RegistrationSample) -> list[Picture]:
        _, result = self.model(
            sample.scene_tokens[:1], sample.scene_points[:1], sample.keyframe_tokens[:1], sample.keyframe_points[:1]
        )
        true = sample.true_keyframes[0, 0].norm(dim=-1) * sample.valid[0, -1]
        far = float(true.max())
        predicted, given = result.points[0, 0].norm(dim=-1), sample.keyframe_points[0, 0].norm(dim=-1)
        confidence = result.confidence[0, 0]
        tiles = [depth_tile(values, 0.0, far) for values in (given, true, predicted)]
        return [*tiles, confidence_tile(confidence, float(confidence.max()))]

    def export(self, directory: Path) -> None:
        """See `Stage`."""
        export_network(self.model, directory)
