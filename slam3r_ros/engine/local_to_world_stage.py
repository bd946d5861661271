"""Registration in the map: L2W over keyframes and scene frames (SLAM3R section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from slam3r_ros.device.host_transfer import to_host
from slam3r_ros.engine.image_to_points_stage import mean_distance
from slam3r_ros.networks.decoder import Pointmaps
from slam3r_ros.networks.interfaces import WorldNetwork
from slam3r_ros.types import HostPointmaps, LocalPointmap, RegisteredFrame, Registration, SceneInput


class LocalToWorldStage:
    """Runs L2W on frames that are registered together."""

    def __init__(self, network: WorldNetwork, *, normalise_input: bool) -> None:
        self._network = network
        self._normalise_input = normalise_input

    def scene_input(self, keyframes: Sequence[RegisteredFrame]) -> SceneInput:
        """What L2W takes of keyframes (keyframes, ...) as scene frames; each by itself."""
        tokens = torch.stack([keyframe.local.frame.tokens for keyframe in keyframes])
        return self._scene_input(tokens, torch.stack([keyframe.points_world for keyframe in keyframes]))

    def register(
        self, frames: Sequence[LocalPointmap], scene: Sequence[RegisteredFrame], scene_input: SceneInput
    ) -> Pointmaps:
        """World pointmaps of ``frames`` (frames, ...), registered together against ``scene``.

        scene_input: what `scene_input` gave for the scene frames, in the same order.
        """
        network = self._network
        points = torch.stack([frame.points_normalised for frame in frames])
        scale: Tensor | float = 1.0
        if self._normalise_input:
            scene_points = torch.stack([keyframe.points_world for keyframe in scene])
            scale = _mean_distance_of_all(scene_points)
            tokens = torch.stack([keyframe.local.frame.tokens for keyframe in scene])
            scene_input = self._scene_input(tokens, scene_points / scale)
            points = torch.stack([p / _mean_distance_of_all(p) for p in points])
        embedding = network.embed_points(points)
        tokens = torch.stack([frame.frame.tokens for frame in frames])
        sources = network.source_activations(network.decoder_tokens(tokens) + embedding)
        _, result = network.decode(
            scene_input.layer[None], sources[None], scene_input.embedding[None], embedding[None], need_references=False
        )
        return Pointmaps(result.points[0] * scale, result.confidence[0])

    def _scene_input(self, tokens: Tensor, points_world: Tensor) -> SceneInput:
        network = self._network
        embedding = network.embed_points(points_world)
        return SceneInput(embedding, network.reference_activations(network.decoder_tokens(tokens) + embedding))


def registered_frames(
    locals_: Sequence[LocalPointmap], result: Pointmaps, registration: Registration | None
) -> list[RegisteredFrame]:
    """Registered frames with their world pointmaps (frames, ...); what the host needs of all comes in one copy."""
    means, local_means, points_world, confidence, *own = to_host(
        result.confidence.mean(dim=(1, 2)),
        torch.stack([local.mean_confidence for local in locals_]),
        result.points,
        result.confidence,
        *(tensor for local in locals_ for tensor in (local.points_camera, local.confidence, local.valid)),
    )
    return [
        RegisteredFrame(
            local=local,
            points_world=result.points[i],
            confidence=result.confidence[i],
            on_host=HostPointmaps(points_world[i], confidence[i], *own[3 * i : 3 * i + 3]),
            mean_confidence=float(means[i]),
            local_mean_confidence=float(local_means[i]),
            registration=registration,
        )
        for i, local in enumerate(locals_)
    ]


def _mean_distance_of_all(points: Tensor) -> Tensor:
    """Mean distance over all points, zeros included."""
    return mean_distance(points, torch.ones(points.shape[:-1], dtype=torch.bool, device=points.device))
