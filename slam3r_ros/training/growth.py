"""A larger I2P that begins as a smaller one: new blocks follow the old ones and change nothing at first.

L2W cannot grow like this: every layer of it adds the points' embedding once more, so another layer is never nothing.
"""

from __future__ import annotations

import torch

from slam3r_ros.networks.blocks import DecoderBlock, EncoderBlock
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.image_to_points import ImageToPoints

from .config import ConfigurationError
from .embedded_config import initialise_weights

_STACKS = ("encoder_blocks", "reference_blocks", "source_blocks")


def grown(model: ImageToPoints, config: NetworkConfig, seed: int = 0) -> ImageToPoints:
    """A network of `config`, at least as deep as `model` and otherwise of its sizes, that answers as `model` does.

    Blocks add to what goes through them, so one whose last layers are zero is the identity; only these layers begin
    as zero, the others random, so that the first step already changes the block. The first blocks stay the first: the
    correlation score keeps its layers. Raises ConfigurationError naming what else differs.
    """
    if config == model.config:
        return model
    if differences := _differences(model.config, config):
        raise ConfigurationError(
            "--size: only blocks can be added to the weights of --from; the size asked for differs in "
            f"{', '.join(differences)}"
        )
    larger = ImageToPoints(config)
    initialise_weights(larger, seed)
    for stack in _STACKS:
        for block in list(getattr(larger, stack))[len(getattr(model, stack)) :]:
            _make_identity(block)
    kept = larger.load_state_dict(model.state_dict(), strict=False)
    assert not kept.unexpected_keys
    return larger


def _differences(own: NetworkConfig, other: NetworkConfig) -> list[str]:
    """`name (from, to)` of every value that is not to be had by adding blocks."""
    before, after = own.to_published(), other.to_published()
    grows = {key for key in ("enc_depth", "dec_depth") if after[key] > before[key]}
    differ = [key for key in before if before[key] != after[key] and key not in grows]
    return [f"{key} ({before[key]}, {after[key]})" for key in differ]


@torch.no_grad()
def _make_identity(block: EncoderBlock | DecoderBlock) -> None:
    layers = [block.self_attention.proj, block.mlp.fc2]
    if isinstance(block, DecoderBlock):
        layers.append(block.cross_attention.proj)
    for layer in layers:
        layer.weight.zero_()
        layer.bias.zero_()
