"""Stage three: Local-to-World, regression in the scene frames' scale, without normalisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.local_to_world import LocalToWorld

from .dataset_files import RenderedRooms
from .embedded_config import EMBEDDED_L2W, initialise_weights
from .export import export_network
from .l2w_samples import registration_batch
from .losses import confidence_weighted, point_distances
from .matching import MatchingLoss
from .token_cache import TokenCache

KEYFRAME_COUNTS, KEYFRAME_SHARES = (1, 2, 3), (0.6, 0.25, 0.15)
MATCHING_WEIGHT = 0.05
SCENE_WEIGHT = 0.3
"""Weight of the scene frames' own loss; the stream keeps only the keyframes' points."""


class LocalToWorldStage:
    """Trains L2W (SLAM3R, arXiv 2412.09401, section 3.3) on the frozen tokens of I2P; it starts from I2P's decoder and
    heads.
    """

    def __init__(
        self,
        i2p: ImageToPoints,
        training: tuple[RenderedRooms, TokenCache],
        validation: tuple[RenderedRooms, TokenCache],
        views_in_batch: int = 60,
    ) -> None:
        self.model = LocalToWorld(EMBEDDED_L2W)
        initialise_weights(self.model)
        shared = {name: tensor for name, tensor in i2p.state_dict().items() if name in self.model.state_dict()}
        self.model.load_state_dict(shared, strict=False)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not name.startswith(("patch_embedding", "void_token")))
        self._training, self._views_in_batch = training, views_in_batch
        self._matching = MatchingLoss(self.model)
        random = np.random.default_rng(54321)
        self._validation = [registration_batch(random, *validation, batch=8, scene=5, keyframes=1) for _ in range(6)]

    def loss(self, random: np.random.Generator) -> tuple[Tensor, int]:
        """See `Stage`."""
        scene, keyframes = int(random.integers(1, 7)), int(random.choice(KEYFRAME_COUNTS, p=KEYFRAME_SHARES))
        sample = registration_batch(
            random, *self._training, self._views_in_batch // (scene + keyframes), scene, keyframes
        )
        scene_result, keyframe_result = self.model(
            sample.scene_tokens, sample.scene_points, sample.keyframe_tokens, sample.keyframe_points
        )
        losses = []
        for predicted, true in ((scene_result, sample.true_scene), (keyframe_result, sample.true_keyframes)):
            valid = torch.ones(true.shape[:-1], dtype=torch.bool)
            losses.append(
                confidence_weighted(
                    point_distances(predicted.points, true, valid, normalise=False), predicted.confidence, valid
                )
            )
        matching = self._matching(sample.points_camera, sample.T_world_camera, scene)
        return SCENE_WEIGHT * losses[0] + losses[1] + MATCHING_WEIGHT * matching, len(sample.scene_tokens)

    def validate(self) -> dict[str, float]:
        """Error of keyframes' world points over the mean distance of the true ones (five scene frames), and the median
        confidence.
        """
        errors, relative, confidences = [], [], []
        for sample in self._validation:
            _, result = self.model(
                sample.scene_tokens, sample.scene_points, sample.keyframe_tokens, sample.keyframe_points
            )
            distance = (result.points - sample.true_keyframes).norm(dim=-1)
            errors.append(float(distance.mean() / sample.true_keyframes.norm(dim=-1).mean()))
            relative.append(float(distance.median()))
            confidences.append(float(result.confidence.median()))
        return {
            "point_error": float(np.mean(errors)),
            "median_error": float(np.mean(relative)),
            "confidence": float(np.mean(confidences)),
        }

    def export(self, directory: Path) -> None:
        """See `Stage`."""
        export_network(self.model, directory)
