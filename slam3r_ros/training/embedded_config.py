"""Sizes of the embedded networks, and the weights a training run starts from."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from slam3r_ros.networks.config import NetworkConfig

EMBEDDED_I2P = NetworkConfig(
    image_size=(112, 112),
    encoder_width=192,
    encoder_depth=5,
    encoder_heads=6,
    decoder_width=128,
    decoder_depth=3,
    decoder_heads=4,
)
EMBEDDED_L2W = replace(EMBEDDED_I2P, need_encoder=False)


def initialise_weights(model: nn.Module, seed: int = 0) -> None:
    """Random weights for training from scratch: Xavier-uniform matrices, zero biases, small heads."""
    generator = torch.Generator().manual_seed(seed)
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            matrix = module.weight.data.view(module.weight.shape[0], -1)
            nn.init.xavier_uniform_(matrix, gain=0.1 if name.endswith("_head.proj") else 1.0, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
