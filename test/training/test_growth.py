from dataclasses import replace

import pytest
import torch

from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.training.config import ConfigurationError
from slam3r_ros.training.embedded_config import initialise_weights
from slam3r_ros.training.growth import grown

SMALL = NetworkConfig(
    image_size=(32, 32), encoder_width=32, encoder_depth=1, encoder_heads=2, decoder_width=32, decoder_depth=3,
    decoder_heads=2,
)  # fmt: skip
DEEPER = replace(SMALL, encoder_depth=3, decoder_depth=5)


def i2p() -> ImageToPoints:
    model = ImageToPoints(SMALL)
    initialise_weights(model, 3)
    return model


def points(model: ImageToPoints) -> torch.Tensor:
    images = torch.rand((3, 3, 32, 32), generator=torch.Generator().manual_seed(1)) * 2 - 1
    return model(model.encode(images)[None]).points


def test_a_grown_network_answers_as_before() -> None:
    small = i2p()
    larger = grown(small, DEEPER)
    assert larger.config == DEEPER and len(larger.encoder_blocks) == 3 and len(larger.source_blocks) == 5
    assert torch.equal(points(larger), points(small))


def test_every_new_block_learns_from_the_first_step() -> None:
    larger = grown(i2p(), DEEPER)
    points(larger).square().mean().backward()
    for block in [*larger.encoder_blocks[1:], *larger.reference_blocks[3:], *larger.source_blocks[3:]]:
        assert float(block.mlp.fc2.weight.grad.norm()) > 0
        assert float(block.self_attention.proj.weight.grad.norm()) > 0


def test_the_same_size_is_the_same_network() -> None:
    small = i2p()
    assert grown(small, SMALL) is small


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"encoder_width": 64}, r"differs in enc_embed_dim \(32, 64\)"),
        ({"decoder_depth": 2}, r"dec_depth \(3, 2\)"),
        ({"image_size": (64, 64), "encoder_depth": 2}, r"img_size \(\[32, 32\], \[64, 64\]\)"),
    ],
)
def test_what_blocks_cannot_give_is_named(change: dict, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        grown(i2p(), replace(SMALL, **change))
