"""All textures of a world with their smaller copies (mipmaps), sampled by metric coordinates and pixel footprint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

LEVELS = 7


@dataclass(frozen=True, slots=True, eq=False)
class TextureAtlas:
    """T textures, each in LEVELS sizes (every one half of the one before), laid out one after the other."""

    texels: Tensor
    """(N, 3) float32 colours in [0, 1]."""
    first_texel: Tensor
    """(T, LEVELS) int64: where a level starts in `texels`."""
    columns: Tensor
    """(T, LEVELS) int64."""
    rows: Tensor
    """(T, LEVELS) int64."""
    extent: Tensor
    """(T, 2) float32: width and height that a texture covers, metres."""
    texels_per_metre: Tensor
    """(T,) float32."""
    tiled: Tensor
    """(T,) bool: repeats beyond its extent; the others end there with their last texel."""

    @classmethod
    def from_images(
        cls,
        images: Sequence[Tensor],
        extents: Sequence[tuple[float, float]],
        texels_per_metre: Sequence[float],
        tiled: Sequence[bool],
    ) -> TextureAtlas:
        """Build the smaller copies of `images` (rows, columns, 3), each covering its extent (width, height) metres."""
        parts: list[Tensor] = []
        table = np.zeros((3, len(images), LEVELS), np.int64)
        count = 0
        for texture, image in enumerate(images):
            level_image = image.permute(2, 0, 1)[None]
            for level in range(LEVELS):
                rows, columns = level_image.shape[-2:]
                table[:, texture, level] = count, columns, rows
                parts.append(level_image[0].permute(1, 2, 0).reshape(-1, 3))
                count += rows * columns
                smaller = (max(1, math.ceil(rows / 2)), max(1, math.ceil(columns / 2)))
                level_image = torch.nn.functional.adaptive_avg_pool2d(level_image, smaller)
        device = images[0].device
        first, columns_table, rows_table = (torch.from_numpy(part.copy()).to(device) for part in table)
        return cls(
            torch.cat(parts).contiguous(),
            first,
            columns_table,
            rows_table,
            torch.tensor(extents, dtype=torch.float32, device=device),
            torch.tensor(texels_per_metre, dtype=torch.float32, device=device),
            torch.tensor(tiled, dtype=torch.bool, device=device),
        )

    def to(self, device: torch.device) -> TextureAtlas:
        """The same textures on a device."""
        return replace(
            self,
            texels=self.texels.to(device),
            first_texel=self.first_texel.to(device),
            columns=self.columns.to(device),
            rows=self.rows.to(device),
            extent=self.extent.to(device),
            texels_per_metre=self.texels_per_metre.to(device),
            tiled=self.tiled.to(device),
        )

    def sample(self, texture: Tensor, u: Tensor, v: Tensor, footprint: Tensor) -> Tensor:
        """Colours (N, 3) at metric coordinates `u`, `v` (N,) of `texture` (N,) int64, filtered over `footprint` (N,)
        metres (trilinear).
        """
        level = torch.log2(footprint * self.texels_per_metre[texture]).clamp_(0.0, LEVELS - 1.001)
        low = level.floor()
        fraction = (level - low)[:, None]
        low_index = low.long()
        fine = self._sample_level(texture, low_index, u, v)
        coarse = self._sample_level(texture, low_index + 1, u, v)
        return torch.lerp(fine, coarse, fraction)

    def _sample_level(self, texture: Tensor, level: Tensor, u: Tensor, v: Tensor) -> Tensor:
        entry = texture * LEVELS + level
        first, columns, rows = self.first_texel.view(-1)[entry], self.columns.view(-1)[entry], self.rows.view(-1)[entry]
        extent, tiled = self.extent[texture], self.tiled[texture]
        left, right, weight_x = _neighbours(u / extent[:, 0] * columns - 0.5, columns, tiled)
        top, bottom, weight_y = _neighbours(v / extent[:, 1] * rows - 0.5, rows, tiled)
        row_top, row_bottom = first + top * columns, first + bottom * columns
        upper = torch.lerp(self.texels[row_top + left], self.texels[row_top + right], weight_x)
        lower = torch.lerp(self.texels[row_bottom + left], self.texels[row_bottom + right], weight_x)
        return torch.lerp(upper, lower, weight_y)


def _neighbours(place: Tensor, count: Tensor, tiled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The two texels (N,) on either side of places (N,) in a row of `count`, and the second one's weight (N, 1)."""
    place = torch.where(tiled, place, torch.minimum(place.clamp(min=0.0), (count - 1).to(place.dtype)))
    floor = place.floor()
    low = floor.long()
    first = torch.where(tiled, torch.remainder(low, count), low)
    following = first + 1
    second = torch.where(tiled & (following == count), 0, torch.minimum(following, count - 1))
    return first, second, (place - floor)[:, None]
