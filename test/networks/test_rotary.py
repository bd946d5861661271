import pytest
import torch
from torch import Tensor

from slam3r_ros.networks.rotary import RotaryEmbedding, RotatedLinear, token_positions

GRID, HEADS, HEAD_WIDTH, BASE = (3, 4), 2, 16, 100.0


def turned_as_published(x: Tensor) -> Tensor:
    """RoPE by its definition: (tokens, heads, head_width), rows then columns, channel j with j + a quarter."""
    half, quarter = HEAD_WIDTH // 2, HEAD_WIDTH // 4
    halves = []
    for axis, part in enumerate(x.split(half, dim=-1)):
        angles = token_positions(GRID)[:, axis, None] * BASE ** (-torch.arange(quarter) * 2 / half)
        cosine, sine = angles.cos().repeat(1, 2)[:, None], angles.sin().repeat(1, 2)[:, None]
        halves.append(part * cosine + torch.cat([-part[..., quarter:], part[..., :quarter]], dim=-1) * sine)
    return torch.cat(halves, dim=-1)


@pytest.fixture
def layer() -> RotatedLinear:
    torch.manual_seed(0)
    return RotatedLinear(HEADS * HEAD_WIDTH, HEADS).requires_grad_(False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dot_products_of_queries_and_keys_are_the_definition_s(layer: RotatedLinear, dtype: torch.dtype) -> None:
    published = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    x = torch.randn(12, HEADS * HEAD_WIDTH)
    expected = turned_as_published(
        torch.nn.functional.linear(x, published["weight"], published["bias"]).unflatten(-1, (HEADS, HEAD_WIDTH))
    )
    rotary = RotaryEmbedding(GRID, HEAD_WIDTH, BASE)
    by_head = layer(x).unflatten(-1, (HEADS, HEAD_WIDTH)).to(dtype)
    got = rotary(by_head.transpose(0, 1)).transpose(0, 1)
    with torch.no_grad():  # in place
        torch.testing.assert_close(rotary(by_head.clone().transpose(0, 1)).transpose(0, 1), got)
    assert got.dtype is dtype
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 0.2, torch.float16: 0.03}[dtype]
    products, wanted = (torch.einsum("qhc,khc->hqk", t, t) for t in (got.float(), expected))
    torch.testing.assert_close(products, wanted, rtol=0, atol=tolerance)


def test_state_dicts_hold_the_published_order(layer: RotatedLinear) -> None:
    state = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    assert not torch.equal(state["weight"], layer.weight)
    again = RotatedLinear(HEADS * HEAD_WIDTH, HEADS)
    again.load_state_dict(state)
    assert torch.equal(again.weight, layer.weight)
    assert torch.equal(again.bias, layer.bias)
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.state_dict().items())


def test_only_the_turned_parts_are_reordered() -> None:
    layer = RotatedLinear(HEADS * HEAD_WIDTH, HEADS, parts=3, turned=2)
    values = 2 * HEADS * HEAD_WIDTH
    assert torch.equal(layer.state_dict()["weight"][values:], layer.weight[values:])
    assert not torch.equal(layer.state_dict()["weight"][:values], layer.weight[:values])


def test_tokens_half_as_far_apart_are_turned_half_as_much() -> None:
    x = torch.randn(HEADS, 12, HEAD_WIDTH)
    twice = x
    for _ in range(2):
        twice = RotaryEmbedding(GRID, HEAD_WIDTH, BASE, 0.5)(twice)
    torch.testing.assert_close(twice, RotaryEmbedding(GRID, HEAD_WIDTH, BASE)(x))
