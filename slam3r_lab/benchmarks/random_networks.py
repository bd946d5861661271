"""Networks of any size with random weights."""

from __future__ import annotations

import torch

from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.decoder import MultiviewNetwork
from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.local_to_world import LocalToWorld
from slam3r_ros.networks.weights import Networks, choose_device
from slam3r_ros.settings import SlamSettings

NO_THRESHOLDS = {
    "pose.tracks": "off",
    **dict.fromkeys(
        (
            "register.point_confidence",
            "initialize.shrink_below",
            "initialize.minimum_confidence",
            "pose.minimum_confidence",
            "map.point_confidence",
        ),
        0.0,
    ),
}
"""Settings with which every confidence is high enough, and the networks alone give the poses: the confidences of random
networks mean nothing, nor do their points."""
_BIAS = 0.02
_CHUNK = 1 << 20


def published_config(divisor: int = 1) -> NetworkConfig:
    """The published size; with a divisor all widths, heads and tokens are so much smaller, the depths are not.

    A product costs width^2 * tokens and an attention width * tokens^2: both, and so every stage, shrink by divisor^3.
    """
    c = NetworkConfig()
    side = {1: 224, 4: 112, 16: 64}[divisor]  # tokens 196, 49 and (nearly) 12
    heads = max(1, c.encoder_heads // divisor), max(1, c.decoder_heads // divisor)
    return NetworkConfig(
        image_size=(side, side),
        encoder_width=c.encoder_width // divisor,
        encoder_heads=heads[0],
        decoder_width=c.decoder_width // divisor,
        decoder_heads=heads[1],
    )


def random_networks(config: NetworkConfig, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Networks:
    """I2P and L2W of this size. Cheap: one block of random numbers serves all weights."""
    on = choose_device(device)
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(_CHUNK, generator=generator).to(on)
    with torch.device("meta"):
        i2p = ImageToPoints(config)
        l2w = LocalToWorld(_without_encoder(config))
    for network in (i2p, l2w):
        network.to_empty(device=on)
        _fill(network, numbers)
        network.make_rotary()
        network.use_precision(dtype)
        network.use_attention("auto")
        network.eval().requires_grad_(False)
    return Networks(i2p, l2w, "random", SlamSettings.of_published_weights().with_values(NO_THRESHOLDS))


def _without_encoder(config: NetworkConfig) -> NetworkConfig:
    return NetworkConfig.from_published(config.to_published() | {"need_encoder": False})


@torch.no_grad()
def _fill(network: MultiviewNetwork, numbers: torch.Tensor) -> None:
    """Products keep the size of what they multiply: weights are 1 / sqrt(inputs) large, biases 0.02."""
    for number, (name, weights) in enumerate(network.named_parameters()):
        flat = weights.view(-1)
        spread = weights[0].numel() ** -0.5 if weights.ndim > 1 else _BIAS
        for start in range(0, len(flat), _CHUNK):
            part = flat[start : start + _CHUNK]
            source = numbers if len(part) == _CHUNK else numbers.roll(7919 * number)[: len(part)]
            torch.mul(source, spread, out=part)
        if "norm" in name and name.endswith("weight"):
            flat.add_(1.0)
