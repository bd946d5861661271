"""Two-dimensional rotary position embedding (RoFormer, arXiv 2104.09864, applied to rows and columns).

Files hold a head's channels as published: the first half turns with the token's row, the second with its column, and
within a half of D channels j turns with j + D / 2. In memory the two that turn together lie side by side, so that a
pair is one complex number and turning it one multiplication. The layers that make queries and keys, `RotatedLinear`,
have their rows in that order; attention does not see it, since queries and keys have the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def token_positions(grid_size: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Row and column of every token of a grid of (rows, columns), in reading order: (rows * columns, 2) int64."""
    rows, columns = grid_size
    row, column = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
    return torch.stack([row.flatten(), column.flatten()], dim=-1)


def _angles(positions: Tensor, channels: int, base: float) -> Tensor:
    """Angles of one axis: (tokens, channels / 2), the frequencies base^(-2i/channels)."""
    exponents = torch.arange(0, channels, 2, dtype=torch.float32) / channels
    return positions.float()[:, None] * base**-exponents


class RotaryEmbedding(nn.Module):
    """Rotates queries and keys by their token's row (first half of the channels) and column (second half)."""

    turns: Tensor
    """Cosine and sine of each token's angles, (tokens, pairs, 2)."""
    signed_sine: Tensor
    """The factors by which each channel of a pair takes its partner, (tokens, pairs, 2): minus sine and sine."""

    def __init__(self, grid_size: tuple[int, int], head_width: int, base: float, step: float = 1.0) -> None:
        super().__init__()
        positions = token_positions(grid_size) * step
        angles = torch.cat([_angles(positions[:, axis], head_width // 2, base) for axis in (0, 1)], dim=-1)
        self.register_buffer("turns", torch.stack([angles.cos(), angles.sin()], dim=-1), persistent=False)
        self.register_buffer("signed_sine", torch.stack([-angles.sin(), angles.sin()], dim=-1), persistent=False)
        self._complex_turns = torch.view_as_complex(self.turns)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RotaryEmbedding:
        super()._apply(fn, recurse)
        if self.turns.dtype is torch.float32:
            self._complex_turns = torch.view_as_complex(self.turns)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Rotate ``x`` (..., tokens, head_width), channels in pairs; same shape and dtype out.

        Without gradients and in float32 that happens in place, so ``x`` must be what nobody else needs.
        """
        if x.dtype is torch.float32 and not torch.is_grad_enabled():
            x.view(torch.complex64).mul_(self._complex_turns)
            return x
        pairs = x.unflatten(-1, (-1, 2))
        if x.dtype is torch.float32:
            return torch.view_as_real(torch.view_as_complex(pairs) * self._complex_turns).flatten(-2)
        cosine, signed_sine = self.turns[..., :1].to(x.dtype), self.signed_sine.to(x.dtype)
        return torch.addcmul(pairs * cosine, pairs.flip(-1), signed_sine).flatten(-2)


class RotatedLinear(nn.Linear):
    """A linear layer whose outputs, or the first of its equal parts, are queries or keys of so many heads.

    Its state dict has the published order of channels, whatever the order in memory.
    """

    def __init__(self, width: int, heads: int, *, parts: int = 1, turned: int = 1) -> None:
        """``parts`` * width outputs, of which the first ``turned`` * width are queries or keys."""
        super().__init__(width, parts * width)
        published = np.arange(turned * width).reshape(-1, 2, 2, width // heads // 4)  # ..., axes, partners, pairs
        self._paired = np.arange(parts * width)
        self._paired[: turned * width] = published.swapaxes(-1, -2).ravel()

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in ("weight", "bias"):
            destination[prefix + name] = destination[prefix + name][self._paired.argsort()]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        for name in (prefix + "weight", prefix + "bias"):  # of a copy that `load_state_dict` has made
            if name in state_dict and state_dict[name].shape[:1] == self._paired.shape:
                state_dict[name] = state_dict[name][self._paired]
        super()._load_from_state_dict(state_dict, prefix, *arguments)
