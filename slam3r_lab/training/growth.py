"""Larger networks that begin as smaller ones: new blocks of I2P follow the old ones and change nothing at first, and
smaller patches begin as the old ones do in an image enlarged.

L2W takes smaller patches too, but no more blocks: every layer of it adds the points' embedding once more, so another
layer is never nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from slam3r_ros.networks.blocks import DecoderBlock, EncoderBlock
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.decoder import MultiviewNetwork
from slam3r_ros.networks.image_to_points import ImageToPoints

from .config import ConfigurationError
from .embedded_config import initialise_weights

Network = TypeVar("Network", bound=MultiviewNetwork)

_STACKS = ("encoder_blocks", "reference_blocks", "source_blocks")
_DEPTHS = ("enc_depth", "dec_depth")


def grown(model: ImageToPoints, config: NetworkConfig, seed: int = 0) -> ImageToPoints:
    """A network of `config`, at least as deep as `model`, of its widths and with its patches or smaller ones.

    Blocks add to what goes through them, so one whose last layers are zero is the identity; only these layers begin
    as zero, the others random, so that the first step already changes the block. The first blocks stay the first: the
    correlation score keeps its layers. With blocks alone the network answers as `model` does; smaller patches:
    `with_patches_of`. Raises ConfigurationError naming what else differs.
    """
    if config == model.config:
        return model
    finer = with_patches_of(model, config)
    if differences := _differences(finer.config, config):
        raise ConfigurationError(
            "--size: only blocks can be added to the weights of --from, and patches divided; the size asked for "
            f"differs in {', '.join(differences)}"
        )
    larger = ImageToPoints(config)
    initialise_weights(larger, seed)
    for stack in _STACKS:
        for block in list(getattr(larger, stack))[len(getattr(model, stack)) :]:
            _make_identity(block)
    kept = larger.load_state_dict(finer.state_dict(), strict=False)
    assert not kept.unexpected_keys
    return larger


def with_patches_of(model: Network, config: NetworkConfig) -> Network:
    """The network with patches as small as those of `config`, where these are n times smaller and n times closer; else
    itself.

    It begins as `model` with the image enlarged n times and its answer reduced n times: nearly what that was taught.
    Source of the resampled embedding: FlexiViT (Beyer et al., arXiv 2212.08013).
    """
    own, times = model.config, model.config.patch_size // config.patch_size
    if times < 2 or own.patch_size % times or own.position_step != times * config.position_step:
        return model
    finer = type(model)(replace(own, patch_size=config.patch_size, position_step=config.position_step))
    weights = model.state_dict()
    enlarged = _enlargement(config.patch_size, own.patch_size)
    for name, values in weights.items():
        if name in ("patch_embedding.proj.weight", "point_embedding.weight"):
            weights[name] = (values.flatten(2) @ enlarged.T.to(values)).unflatten(2, 2 * (config.patch_size,))
        elif name.startswith(("reference_head.proj.", "source_head.proj.")):
            weights[name] = _reduced(values, config.patch_size, times)
    finer.load_state_dict(weights)
    return finer


def _enlargement(small: int, large: int) -> Tensor:
    """(small**2, large**2) patches that each of a small patch's pixels gives when it is enlarged."""
    pixels = torch.eye(small**2).reshape(small**2, 1, small, small)
    return functional.interpolate(pixels, (large, large), mode="bilinear").flatten(1)


def _reduced(outputs: Tensor, small: int, times: int) -> Tensor:
    """(4 * (small * times)**2, ...) to (4 * small**2, ...): means over a patch's squares of times x times pixels."""
    return outputs.reshape(4, small, times, small, times, -1).mean((2, 4)).reshape(-1, *outputs.shape[1:])


def _differences(own: NetworkConfig, other: NetworkConfig) -> list[str]:
    """`name (from, to)` of every value that is not to be had by adding blocks."""
    before, after = own.to_published(), other.to_published()
    grows = {key for key in _DEPTHS if after[key] > before[key]}
    return [
        f"{key} ({before.get(key, 1)}, {after.get(key, 1)})"
        for key in before | after
        if before.get(key, 1) != after.get(key, 1) and key not in grows
    ]


@torch.no_grad()
def _make_identity(block: EncoderBlock | DecoderBlock) -> None:
    layers = [block.self_attention.proj, block.mlp.fc2]
    if isinstance(block, DecoderBlock):
        layers.append(block.cross_attention.proj)
    for layer in layers:
        layer.weight.zero_()
        layer.bias.zero_()
