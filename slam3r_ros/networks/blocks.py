"""Transformer blocks of the encoder (ViT, arXiv 2010.11929) and of the multi-view decoder (SLAM3R, arXiv 2412.09401).

The decoder's block follows CroCo v2 (arXiv 2211.10408) and DUSt3R (arXiv 2312.14132): self-attention of a view,
cross-attention to another one, MLP. SLAM3R attends to several views of the other side and takes the maximum.
"""

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
"""The epsilon of the published layer norms, but for that of the correlation score."""


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """What a layer makes of ``x``, without `nn.Module.__call__`: on a CPU that takes as long as a small operation."""
    return functional.linear(x, layer.weight, layer.bias)


def normalise(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """The layer norm of ``x``, without `nn.Module.__call__`."""
    return torch.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


class Mlp(nn.Module):
    """Two linear layers with the exact GELU between them."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        return linear(self.fc2, functional.gelu(linear(self.fc1, x)))


class SelfAttention(nn.Module):
    """Self-attention of every view by itself, with rotary positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        self.attention: AttentionFunction = attention_function("sdpa", torch.device("cpu"))
        self.qkv = RotatedLinear(width, heads, parts=3, turned=2)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, rotary: RotaryEmbedding) -> Tensor:
        """(views, tokens, width) to the same shape."""
        by_part = linear(self.qkv, x).view(x.shape[0], -1, 3, self.heads, self.head_width).transpose(1, 3)
        queries, keys = rotary.forward(by_part[:, :, :2]).unbind(2)
        return linear(self.proj, _by_token(self.attention(queries, keys, by_part[:, :, 2])))


class CrossAttention(nn.Module):
    """Attention from each view of one side to each view of the other side, merged by maximum."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        self.attention: AttentionFunction = attention_function("sdpa", torch.device("cpu"))
        self.query = RotatedLinear(width, heads)
        self.key = RotatedLinear(width, heads)
        self.value = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)
        self._keys_values: tuple[Tensor, Tensor] | None = None

    def queries(self, x: Tensor, rotary: RotaryEmbedding) -> Tensor:
        """Queries (views, heads, tokens, head_width) of views (views, tokens, width)."""
        return rotary.forward(self._by_head(linear(self.query, x)))

    def keys_values(self, y: Tensor, rotary: RotaryEmbedding) -> tuple[Tensor, Tensor]:
        """Keys and values, each (views, heads, tokens, head_width), of views (views, tokens, width)."""
        if self._keys_values is None:
            return rotary.forward(self._by_head(linear(self.key, y))), self._by_head(linear(self.value, y))
        both = functional.linear(y, *self._keys_values).view(y.shape[0], -1, 2, self.heads, self.head_width)
        keys, values = both.transpose(1, 3).unbind(2)
        return rotary.forward(keys), values

    def join_keys_values(self) -> None:
        """Lay the weights of keys and values side by side in memory, so that one product gives both."""
        weight, bias = (torch.cat([getattr(self.key, name), getattr(self.value, name)]) for name in ("weight", "bias"))
        for number, layer in enumerate((self.key, self.value)):
            layer.weight.data, layer.bias.data = weight.chunk(2)[number], bias.chunk(2)[number]
        self._keys_values = weight, bias

    def separate_keys_values(self) -> None:
        """Undo `join_keys_values`: keys and values are two products again."""
        self._keys_values = None

    def merge(self, queries: Tensor, keys: Tensor, values: Tensor, batch: int) -> Tensor:
        """Element-wise maximum over the other side's views of what each of them answers.

        queries: (batch * views, heads, tokens, head_width); keys, values: (batch * others, heads, tokens, head_width);
        returns (batch * views, tokens, width).
        """
        others = keys.shape[0] // batch
        answers = linear(self.proj, _by_token(self.attention(*_pairs(queries, keys, values, batch))))
        return answers if others == 1 else answers.view(-1, others, *answers.shape[1:]).amax(dim=1)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], -1, self.heads, self.head_width).transpose(1, 2)


def _pairs(queries: Tensor, keys: Tensor, values: Tensor, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """The attention's inputs (batch * views * others, ...) for each pair of a view and one of the other side."""
    views, others, inner = queries.shape[0] // batch, keys.shape[0] // batch, queries.shape[1:]
    if batch == 1 and (views == 1 or others == 1):  # nothing is copied
        pairs = max(views, others)
        return queries.expand(pairs, *inner), keys.expand(pairs, *inner), values.expand(pairs, *inner)
    shape = (batch, views, others, *inner)
    keys, values = (t.view(batch, 1, others, *inner).expand(shape).flatten(0, 2) for t in (keys, values))
    return queries.view(batch, views, 1, *inner).expand(shape).flatten(0, 2), keys, values


def _by_token(by_head: Tensor) -> Tensor:
    """(views, heads, tokens, head_width) to (views, tokens, width)."""
    return by_head.transpose(1, 2).flatten(2)


class EncoderBlock(nn.Module):
    """Pre-norm transformer block of the image encoder."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.self_attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mlp = Mlp(width, int(width * mlp_ratio), width)

    def forward(self, x: Tensor, rotary: RotaryEmbedding) -> Tensor:
        """(views, tokens, width) to the same shape."""
        x = x + self.self_attention.forward(normalise(self.norm1, x), rotary)
        return x + self.mlp.forward(normalise(self.norm2, x))


@dataclass(frozen=True, slots=True, eq=False)
class LayerActivations:
    """What decoder layer 0 computes from some views of one side before it attends to the other side.

    It depends on each view alone. The leading axes of all four tensors are the same: (views, ...) when kept with a
    frame, (batch, views, ...) in the decoder.
    """

    features: Tensor
    """The views after their side's self-attention, (..., tokens, width)."""
    queries: Tensor
    """The views' queries to the other side, (..., heads, tokens, head_width)."""
    keys: Tensor
    """The keys by which the other side's block attends to the views, (..., heads, tokens, head_width)."""
    values: Tensor
    """The values that the other side's block takes from the views, (..., heads, tokens, head_width)."""

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features, queries, keys and values, in this order."""
        return self.features, self.queries, self.keys, self.values

    def __getitem__(self, index: Any) -> LayerActivations:
        """Index the leading axes of all four tensors alike."""
        return LayerActivations(*(tensor[index] for tensor in self.tensors))

    def expand_batch(self, batch: int) -> LayerActivations:
        """A view with the first axis, of length 1, repeated ``batch`` times without copying."""
        return LayerActivations(*(tensor.expand(batch, *tensor.shape[1:]) for tensor in self.tensors))

    def flatten(self) -> LayerActivations:
        """Activations (batch, views, ...) as those of batch * views views."""
        return LayerActivations(*(tensor.flatten(0, 1) for tensor in self.tensors))

    def unflatten(self, shape: Sequence[int]) -> LayerActivations:
        """Activations (views, ...) with several leading axes in place of the first."""
        return LayerActivations(*(tensor.unflatten(0, shape) for tensor in self.tensors))

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

    def attend(self, x: Tensor, rotary: RotaryEmbedding) -> tuple[Tensor, Tensor]:
        """This side's views (views, tokens, width) after self-attention, and their queries to the other side."""
        features = x + self.self_attention.forward(normalise(self.norm1, x), rotary)
        return features, self.cross_attention.queries(normalise(self.norm2, features), rotary)

    def keys_values(self, y: Tensor, rotary: RotaryEmbedding) -> tuple[Tensor, Tensor]:
        """Keys and values (views, heads, tokens, head_width) of the other side's views (views, tokens, width)."""
        return self.cross_attention.keys_values(normalise(self.norm_y, y), rotary)

    def forward(self, features: Tensor, queries: Tensor, keys: Tensor, values: Tensor, batch: int) -> Tensor:
        """Output (batch * views, tokens, width) of this side, from its own features and queries (`attend`) and the
        other side's keys and values (`keys_values`).
        """
        x = features + self.cross_attention.merge(queries, keys, values, batch)
        return x + self.mlp.forward(normalise(self.norm3, x))
