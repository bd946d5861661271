"""Sizes of the networks in this repository, and the weights a training run starts from."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.decoder import MultiviewNetwork

EMBEDDED_I2P = NetworkConfig(
    image_size=(112, 112),
    encoder_width=192,
    encoder_depth=5,
    encoder_heads=6,
    decoder_width=128,
    decoder_depth=3,
    decoder_heads=4,
)
EMBEDDED_DEEP_I2P = replace(EMBEDDED_I2P, encoder_depth=8, decoder_depth=5)
EMBEDDED_LARGE_I2P = replace(EMBEDDED_I2P, patch_size=8, position_step=0.5)
I2P_SIZES = {
    "embedded": EMBEDDED_I2P,
    "embedded-deep": EMBEDDED_DEEP_I2P,
    "embedded-large": EMBEDDED_LARGE_I2P,
}


def l2w_config(i2p: NetworkConfig) -> NetworkConfig:
    """The L2W that belongs to an I2P: it takes the tokens of I2P's encoder."""
    return replace(i2p, need_encoder=False)


def set_image_size(model: MultiviewNetwork, side: int) -> None:
    """Let a network take square images of `side` pixels; its weights stay as they are."""
    if model.config.image_size != (side, side):
        model.config = replace(model.config, image_size=(side, side))
        model.make_rotary()


def initialise_weights(model: nn.Module, seed: int = 0) -> None:
    """Random weights for training from scratch: Xavier-uniform matrices, zero biases, small heads."""
    generator = torch.Generator().manual_seed(seed)
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            matrix = module.weight.data.view(module.weight.shape[0], -1)
            nn.init.xavier_uniform_(matrix, gain=0.1 if name.endswith("_head.proj") else 1.0, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
