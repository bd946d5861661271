"""Image-to-Points (I2P): local pointmaps of a window of views, in the reference view's camera."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slam3r_ros.networks.blocks import LayerActivations, Mlp
from slam3r_ros.networks.config import ConfigError, NetworkConfig
from slam3r_ros.networks.decoder import MultiviewNetwork, Pointmaps


class ImageToPoints(MultiviewNetwork):
    """The I2P network (SLAM3R, arXiv 2412.09401, section 3.2): encoder, decoder, heads and correlation score."""

    def __init__(self, config: NetworkConfig) -> None:
        if not config.need_encoder:
            raise ConfigError(
                "network config: I2P needs its encoder; need_encoder is false: is this L2W's config.json?"
            )
        super().__init__(config)
        width = config.decoder_width
        self.correlation_norm = nn.LayerNorm(width, eps=1e-5)
        self.correlation_head = Mlp(width, width, 1)

    def encode(self, images: Tensor) -> Tensor:
        """Images (batch, 3, height, width) in [-1, 1] to tokens (batch, tokens, encoder width), before the norm."""
        expected = (3, *self.config.image_size)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise ValueError(
                f"encode: expected images (batch, {', '.join(map(str, expected))}), got {tuple(images.shape)}"
            )
        x = self.patch_embedding(images.to(self.dtype))
        for block in self.encoder_blocks:
            x = block.forward(x, self.encoder_rotary)
        return x

    def decode(
        self, references: LayerActivations, sources: LayerActivations, *, need_sources: bool = True
    ) -> tuple[Pointmaps, Pointmaps | None]:
        """Pointmaps of (references, sources), in the reference's camera, from layer-0 activations (batch, views, ...).

        With ``need_sources`` false the sources' last layer and head are not run; the references' result is the same.
        """
        reference_x, source_x = self.run_layers(
            references, sources, depth=self.config.decoder_depth, need_sources=need_sources
        )
        return self.reference_pointmaps(reference_x), self.source_pointmaps(source_x) if need_sources else None

    def forward(self, tokens: Tensor, reference: int = 0) -> Pointmaps:
        """Pointmaps (batch, views, ...) in view order from tokens (batch, views, tokens, width) of whole windows."""
        x = self.decoder_tokens(tokens)
        others = [view for view in range(tokens.shape[1]) if view != reference]
        if not others:
            raise ValueError("I2P needs at least two views, got 1")
        reference_points, source_points = self.decode(
            self.reference_activations(x[:, reference : reference + 1]), self.source_activations(x[:, others])
        )
        assert source_points is not None
        order = sorted(range(len(others) + 1), key=[reference, *others].__getitem__)
        return Pointmaps(
            torch.cat([reference_points.points, source_points.points], dim=1)[:, order],
            torch.cat([reference_points.confidence, source_points.confidence], dim=1)[:, order],
        )

    def correlation(self, queries: LayerActivations, candidates: LayerActivations) -> Tensor:
        """How well each candidate view sees what the query view sees: (batch, candidates, tokens) float32, above 1.

        queries: layer-0 activations of one reference view each (batch, 1, ...); candidates: layer-0 activations of
        source views (batch, candidates, ...), or (1, candidates, ...) for all queries alike. Only the candidates' side
        of the last layer is run.
        """
        batch = queries.features.shape[0]
        if candidates.features.shape[0] != batch:
            candidates = candidates.expand_batch(batch)
        _, source_x = self.run_layers(queries, candidates, depth=self.config.correlation_depth, need_references=False)
        return 1 + self.correlation_head(self.correlation_norm(source_x))[..., 0].float().exp()
