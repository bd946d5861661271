"""Transformer blocks of the encoder and of the multi-view decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from slam3r_ros.networks.attention import AttentionFunction, attention_function
from slam3r_ros.networks.rotary import RotaryEmbedding, RotatedLinear

NORM_EPSILON = 1e-6


class Mlp(nn.Module):
    """Two linear layers with the exact GELU between them."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class SelfAttention(nn.Module):
    """Self-attention of every view by itself, with rotary positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention: AttentionFunction = attention_function("sdpa", torch.device("cpu"))
        self.qkv = RotatedLinear(width, heads, parts=3, turned=2)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, rotary: RotaryEmbedding) -> Tensor:
        """(..., tokens, width) to the same shape."""
        heads = self.heads
        by_head = self.qkv(x.flatten(0, -3)).unflatten(-1, (3 * heads, -1))
        queries_keys, values = rotary(by_head[..., : 2 * heads, :]), by_head[..., 2 * heads :, :]
        answers = _attend(self.attention, queries_keys[..., :heads, :], queries_keys[..., heads:, :], values)
        return self.proj(answers).view_as(x)


class CrossAttention(nn.Module):
    """Attention from each view of one side to each view of the other side, merged by maximum."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention: AttentionFunction = attention_function("sdpa", torch.device("cpu"))
        self.query = RotatedLinear(width, heads)
        self.key = RotatedLinear(width, heads)
        self.value = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def queries(self, x: Tensor, rotary: RotaryEmbedding) -> Tensor:
        """Queries (..., tokens, heads, head_width) of views (..., tokens, width)."""
        return rotary(self.query(x).unflatten(-1, (self.heads, -1)))

    def keys_values(self, y: Tensor, rotary: RotaryEmbedding) -> tuple[Tensor, Tensor]:
        """Keys and values, each (..., tokens, heads, head_width), of views (..., tokens, width)."""
        return rotary(self.key(y).unflatten(-1, (self.heads, -1))), self.value(y).unflatten(-1, (self.heads, -1))

    def merge(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Element-wise maximum over the other side's views of what each of them answers.

        queries: (batch, views, tokens, heads, head_width); keys, values: (batch, others, tokens, heads, head_width);
        returns (batch, views, tokens, width).
        """
        pair = (*queries.shape[:2], keys.shape[1])
        answers = _attend(
            self.attention,
            queries[:, :, None].expand(*pair, -1, -1, -1).flatten(0, 2),
            keys[:, None].expand(*pair, -1, -1, -1).flatten(0, 2),
            values[:, None].expand(*pair, -1, -1, -1).flatten(0, 2),
        )
        return self.proj(answers).unflatten(0, pair).amax(dim=2)


def _attend(attention: AttentionFunction, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """(batch, tokens, heads, head_width) each to (batch, tokens, width)."""
    by_head = attention(queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2))
    return by_head.transpose(1, 2).flatten(-2)


class EncoderBlock(nn.Module):
    """Pre-norm transformer block of the image encoder."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.self_attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mlp = Mlp(width, int(width * mlp_ratio), width)

    def forward(self, x: Tensor, rotary: RotaryEmbedding) -> Tensor:
        """(..., tokens, width) to the same shape."""
        x = x + self.self_attention(self.norm1(x), rotary)
        return x + self.mlp(self.norm2(x))


@dataclass(frozen=True, slots=True, eq=False)
class LayerActivations:
    """What decoder layer 0 takes of some views of one side; it depends on each view alone.

    The leading axes of all four are the same: (views, ...) when kept with a frame, (batch, views, ...) in the decoder.
    """

    features: Tensor
    """(..., tokens, width): the views after this side's self-attention."""
    queries: Tensor
    """(..., tokens, heads, head_width): this side's queries to the other side."""
    keys: Tensor
    """(..., tokens, heads, head_width): keys that the other side's block makes of these views."""
    values: Tensor
    """(..., tokens, heads, head_width): values that the other side's block makes of these views."""

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All four, in order."""
        return self.features, self.queries, self.keys, self.values

    def __getitem__(self, index: Any) -> LayerActivations:
        """Index the leading axes of all four tensors alike."""
        return LayerActivations(*(tensor[index] for tensor in self.tensors))

    def expand_batch(self, batch: int) -> LayerActivations:
        """A view with the first axis, of length 1, repeated ``batch`` times without copying."""
        return LayerActivations(*(tensor.expand(batch, *tensor.shape[1:]) for tensor in self.tensors))

    @staticmethod
    def stack(parts: Sequence[LayerActivations]) -> LayerActivations:
        """Join along a new first axis."""
        return LayerActivations(*map(torch.stack, zip(*(part.tensors for part in parts), strict=True)))


class DecoderBlock(nn.Module):
    """One layer of one side: self-attention, cross-attention to every view of the other side, MLP."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.self_attention = SelfAttention(width, heads)
        self.cross_attention = CrossAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.norm3 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mlp = Mlp(width, int(width * mlp_ratio), width)
        self.norm_y = nn.LayerNorm(width, eps=NORM_EPSILON)

    def ask(self, x: Tensor, rotary: RotaryEmbedding) -> tuple[Tensor, Tensor]:
        """This side's views (..., tokens, width) after self-attention, and their queries to the other side."""
        features = x + self.self_attention(self.norm1(x), rotary)
        return features, self.cross_attention.queries(self.norm2(features), rotary)

    def hear(self, y: Tensor, rotary: RotaryEmbedding) -> tuple[Tensor, Tensor]:
        """Keys and values (..., tokens, heads, head_width) of the other side's views (..., tokens, width)."""
        return self.cross_attention.keys_values(self.norm_y(y), rotary)

    def forward(self, features: Tensor, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Output (batch, views, tokens, width) of this side, from what `ask` gave of it and `hear` of the other."""
        x = features + self.cross_attention.merge(queries, keys, values)
        return x + self.mlp(self.norm3(x))
