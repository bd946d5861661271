"""All textures of a room with their smaller copies (mipmaps), sampled by surface, metric coordinates and pixel
footprint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

LEVELS = 7


@dataclass(frozen=True, slots=True, eq=False)
class TextureAtlas:
    """Textures of S surfaces, each in LEVELS sizes (every one half of the one before), laid out one after the other."""

    texels: torch.Tensor
    """(T, 3) float32 colours in [0, 1]."""
    first_texel: torch.Tensor
    """(S, LEVELS) int64: where a level starts in `texels`."""
    columns: torch.Tensor
    """(S, LEVELS) int64."""
    rows: torch.Tensor
    """(S, LEVELS) int64."""
    extent: torch.Tensor
    """(S, 2) float32: width and height of the surfaces, metres."""
    texels_per_metre: float

    @classmethod
    def from_images(
        cls, images: list[NDArray[np.float32]], extents: list[tuple[float, float]], texels_per_metre: float
    ) -> TextureAtlas:
        """Build the smaller copies of `images` (rows, columns, 3), whose surfaces measure `extents` (width, height)
        metres.
        """
        parts: list[torch.Tensor] = []
        table = np.zeros((3, len(images), LEVELS), np.int64)
        count = 0
        for surface, image in enumerate(images):
            level_image = torch.from_numpy(image).permute(2, 0, 1)[None]
            for level in range(LEVELS):
                rows, columns = level_image.shape[-2:]
                table[:, surface, level] = count, columns, rows
                parts.append(level_image[0].permute(1, 2, 0).reshape(-1, 3))
                count += rows * columns
                smaller = (max(1, math.ceil(rows / 2)), max(1, math.ceil(columns / 2)))
                level_image = torch.nn.functional.adaptive_avg_pool2d(level_image, smaller)
        first, columns_table, rows_table = (torch.from_numpy(part.copy()) for part in table)
        return cls(
            torch.cat(parts).contiguous(),
            first,
            columns_table,
            rows_table,
            torch.tensor(extents, dtype=torch.float32),
            texels_per_metre,
        )

    def sample(self, surface: torch.Tensor, u: torch.Tensor, v: torch.Tensor, footprint: torch.Tensor) -> torch.Tensor:
        """Colours (N, 3) at metric coordinates `u`, `v` (N,) of `surface` (N,) int64, filtered over `footprint` (N,)
        metres (trilinear).
        """
        level = torch.log2(footprint * self.texels_per_metre).clamp_(0.0, LEVELS - 1.001)
        low = level.floor()
        fraction = (level - low)[:, None]
        low_index = low.long()
        fine = self._sample_level(surface, low_index, u, v)
        coarse = self._sample_level(surface, low_index + 1, u, v)
        return torch.lerp(fine, coarse, fraction)

    def _sample_level(
        self, surface: torch.Tensor, level: torch.Tensor, u: torch.Tensor, v: torch.Tensor
    ) -> torch.Tensor:
        entry = surface * LEVELS + level
        first, columns, rows = self.first_texel.view(-1)[entry], self.columns.view(-1)[entry], self.rows.view(-1)[entry]
        extent = self.extent[surface]
        x = (u / extent[:, 0] * columns - 0.5).clamp_(min=0.0)
        y = (v / extent[:, 1] * rows - 0.5).clamp_(min=0.0)
        left, top = torch.minimum(x.long(), columns - 1), torch.minimum(y.long(), rows - 1)
        right, bottom = torch.minimum(left + 1, columns - 1), torch.minimum(top + 1, rows - 1)
        weight_x, weight_y = (x - left).clamp_(max=1.0)[:, None], (y - top).clamp_(max=1.0)[:, None]
        row_top, row_bottom = first + top * columns, first + bottom * columns
        upper = torch.lerp(self.texels[row_top + left], self.texels[row_top + right], weight_x)
        lower = torch.lerp(self.texels[row_bottom + left], self.texels[row_bottom + right], weight_x)
        return torch.lerp(upper, lower, weight_y)
