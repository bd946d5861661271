"""Two-dimensional rotary position embedding (RoFormer, arXiv 2104.09864, applied to rows and columns)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def token_positions(grid_size: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Row and column of every token of a grid of (rows, columns), in reading order: (rows * columns, 2) int64."""
    rows, columns = grid_size
    row, column = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
    return torch.stack([row.flatten(), column.flatten()], dim=-1)


def _angle_table(positions: Tensor, channels: int, base: float) -> Tensor:
    """Angles of one axis: (tokens, channels), the frequencies base^(-2i/channels) repeated twice."""
    exponents = torch.arange(0, channels, 2, dtype=torch.float32) / channels
    angles = positions.float()[:, None] * base**-exponents
    return torch.cat([angles, angles], dim=-1)


class RotaryEmbedding(nn.Module):
    """Rotates queries and keys by their token's row (first half of the channels) and column (second half)."""

    cosine: Tensor
    signed_sine: Tensor

    def __init__(self, grid_size: tuple[int, int], head_width: int, base: float) -> None:
        super().__init__()
        positions = token_positions(grid_size)
        half = head_width // 2
        angles = torch.cat([_angle_table(positions[:, axis], half, base) for axis in (0, 1)], dim=-1)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        sign = torch.tensor([-1.0, 1.0]).repeat_interleave(half // 2).repeat(2)
        self.register_buffer("signed_sine", angles.sin() * sign, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Rotate ``x`` (..., heads, tokens, head_width); same shape and dtype out."""
        partners = x.unflatten(-1, (2, 2, -1)).flip(-2).flatten(-3)  # channel j of each half beside j + half / 2
        return torch.addcmul(x * self.cosine.to(x.dtype), partners, self.signed_sine.to(x.dtype))
