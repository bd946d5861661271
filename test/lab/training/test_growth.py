from dataclasses import replace

import pytest
import torch

from slam3r_lab.training.config import ConfigurationError
from slam3r_lab.training.embedded_config import initialise_weights
from slam3r_lab.training.growth import grown, with_patches_of
from slam3r_lab.training.l2w_stage import new_l2w
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.image_to_points import ImageToPoints

SMALL = NetworkConfig(
    image_size=(32, 32), encoder_width=32, encoder_depth=1, encoder_heads=2, decoder_width=32, decoder_depth=3,
    decoder_heads=2,
)  # fmt: skip
DEEPER = replace(SMALL, encoder_depth=3, decoder_depth=5)
FINER = replace(SMALL, patch_size=8, position_step=0.5)


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
        ({"patch_size": 8}, r"patch_size \(16, 8\)"),
        ({"position_step": 0.5}, r"pos_step \(1, 0.5\)"),
    ],
)
def test_what_blocks_cannot_give_is_named(change: dict, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        grown(i2p(), replace(SMALL, **change))


def reduced(points: torch.Tensor) -> torch.Tensor:
    """(1, views, H, W, 3) means of points (1, views, 2 H, 2 W, 3) by fours."""
    return points.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5))


def test_half_the_patch_sees_as_the_whole_does_an_image_twice_as_large() -> None:
    coarse = i2p()
    fine = grown(coarse, replace(FINER, encoder_depth=2))
    assert fine.config.grid_size == (4, 4) and len(fine.encoder_blocks) == 2
    colours = torch.rand((3, 3, 4, 4), generator=torch.Generator().manual_seed(1)) * 2 - 1  # one for each small patch
    images, twice = (colours.repeat_interleave(n, 2).repeat_interleave(n, 3) for n in (8, 16))
    large = ImageToPoints(replace(SMALL, image_size=(64, 64), position_step=0.5))
    large.load_state_dict(coarse.state_dict())
    expected, found = reduced(large(large.encode(twice)[None]).points), fine(fine.encode(images)[None]).points
    assert (found - expected).norm(dim=-1).mean() < 0.03 * expected.norm(dim=-1).mean()
    assert (found - points(coarse)).norm() > 1e-3  # it is not what the coarse one answers


def test_l2w_takes_smaller_patches_too() -> None:
    coarse = new_l2w(i2p())
    fine = with_patches_of(coarse, FINER)
    assert fine.config == replace(FINER, need_encoder=False)
    assert fine.point_embedding.weight.shape == (32, 3, 8, 8) and fine.source_head.proj.weight.shape == (256, 32)
    flat = torch.randn((1, 1, 1, 1, 3), generator=torch.Generator().manual_seed(2)).expand(1, 1, 32, 32, 3)
    expected = coarse.embed_points(flat)[0, 0, 0]
    assert torch.allclose(fine.embed_points(flat), expected.expand(1, 1, 16, 32), atol=1e-5)


@pytest.mark.parametrize("change", [{"patch_size": 32}, {"patch_size": 8}, {"position_step": 0.5}, {}])
def test_patches_that_are_not_divided_stay_as_they_are(change: dict) -> None:
    coarse = i2p()
    assert with_patches_of(coarse, replace(SMALL, **change)) is coarse
