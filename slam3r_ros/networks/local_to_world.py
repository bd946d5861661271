"""Local-to-World (L2W): registers keyframes' local pointmaps into the world of the scene frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.decoder import MultiviewNetwork, Pointmaps, tokens_of_patches


class LocalToWorld(MultiviewNetwork):
    """The L2W network (SLAM3R, arXiv 2412.09401, section 3.3): decoder and heads fed with tokens and pointmaps."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        width, patch = config.decoder_width, config.patch_size
        self.point_embedding = nn.Conv2d(3, width, patch, patch)
        self.void_token = nn.Parameter(torch.zeros(1, 1, width))  # stands for masked patches in training

    def embed_points(self, points: Tensor) -> Tensor:
        """Pointmaps (..., height, width, 3) to the embedding (..., tokens, width) that is added in every layer."""
        images = points.flatten(0, -4).movedim(-1, 1).to(self.point_embedding.weight.dtype)
        return tokens_of_patches(images, self.point_embedding).to(self.dtype).unflatten(0, points.shape[:-3])

    def decode(
        self,
        references: LayerActivations,
        sources: LayerActivations,
        reference_embedding: Tensor,
        source_embedding: Tensor,
        *,
        need_references: bool = True,
    ) -> tuple[Pointmaps | None, Pointmaps]:
        """Pointmaps of (references, sources), in the world, from layer-0 activations and embeddings
        (batch, views, ...).

        With ``need_references`` false the references' last layer and head are not run; the sources' result is the same.
        """
        reference_x, source_x = self.run_layers(
            references,
            sources,
            depth=self.config.decoder_depth,
            reference_embedding=reference_embedding,
            source_embedding=source_embedding,
            need_references=need_references,
        )
        return self.reference_pointmaps(reference_x) if need_references else None, self.source_pointmaps(source_x)

    def forward(
        self, scene_tokens: Tensor, scene_points: Tensor, keyframe_tokens: Tensor, keyframe_points: Tensor
    ) -> tuple[Pointmaps, Pointmaps]:
        """World pointmaps of scene frames and keyframes.

        Tokens (batch, views, tokens, encoder width); scene_points (batch, views, height, width, 3) in the world,
        keyframe_points likewise, each in its own camera; invalid points zero.
        """
        scene_embedding, keyframe_embedding = self.embed_points(scene_points), self.embed_points(keyframe_points)
        scene, keyframes = self.decode(
            self.reference_activations(self.decoder_tokens(scene_tokens) + scene_embedding),
            self.source_activations(self.decoder_tokens(keyframe_tokens) + keyframe_embedding),
            scene_embedding,
            keyframe_embedding,
        )
        assert scene is not None
        return scene, keyframes
