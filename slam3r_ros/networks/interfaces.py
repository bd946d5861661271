"""What the engine asks of its two networks, so that oracles and test doubles can replace the trained ones."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.decoder import Pointmaps
from slam3r_ros.settings import SlamSettings


class MultiviewInterface(Protocol):
    """What both networks do with views: everything that depends on one view alone, computed once for it."""

    @property
    def config(self) -> NetworkConfig:
        """Sizes; the engine needs ``image_size``."""

    @property
    def device(self) -> torch.device:
        """Where tensors given to the network are."""

    def decoder_tokens(self, tokens: Tensor) -> Tensor:
        """The decoder's input (..., tokens, width) from a view's tokens."""

    def reference_activations(self, x: Tensor) -> LayerActivations:
        """What is kept of reference views (..., tokens, width)."""

    def source_activations(self, x: Tensor) -> LayerActivations:
        """What is kept of source views (..., tokens, width)."""


class PointsNetwork(MultiviewInterface, Protocol):
    """I2P: `ImageToPoints`, or what replaces it."""

    def encode(self, images: Tensor) -> Tensor:
        """Images (batch, 3, height, width) in [-1, 1] to tokens (batch, tokens, width)."""

    def decode(
        self, references: LayerActivations, sources: LayerActivations, *, need_sources: bool = True
    ) -> tuple[Pointmaps, Pointmaps | None]:
        """Pointmaps of (references, sources), in the reference's camera."""

    def correlation(self, queries: LayerActivations, candidates: LayerActivations) -> Tensor:
        """How well each candidate sees what the query sees: (batch, candidates, tokens), above 1."""


class WorldNetwork(MultiviewInterface, Protocol):
    """L2W: `LocalToWorld`, or what replaces it."""

    def embed_points(self, points: Tensor) -> Tensor:
        """Pointmaps (..., height, width, 3), zero where invalid, to what is added to their views' decoder input."""

    def decode(
        self,
        references: LayerActivations,
        sources: LayerActivations,
        reference_embedding: Tensor,
        source_embedding: Tensor,
        *,
        need_references: bool = True,
    ) -> tuple[Pointmaps | None, Pointmaps]:
        """Pointmaps of (references, sources), in the world of the references' points."""


class NetworkPair(Protocol):
    """What the engine is made with: `weights.Networks`, or a pair that replaces them."""

    @property
    def i2p(self) -> PointsNetwork:
        """Points of a window of views, in the reference's camera."""

    @property
    def l2w(self) -> WorldNetwork:
        """Points of views in the world of scene frames."""

    @property
    def name(self) -> str:
        """What was asked for."""

    @property
    def recommended(self) -> SlamSettings:
        """The engine's settings with which these networks do best; nothing in it is left to the weights."""
