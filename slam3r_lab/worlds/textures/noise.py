"""Noise that repeats without a seam, at any mixture of scales."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SIDE = 256
"""Texels along each side of a repeating texture."""


def noise(
    random: np.random.Generator,
    device: torch.device,
    *,
    roughness: float,
    lowest: float = 1.0,
    highest: float = SIDE / 2,
    stretch: float = 1.0,
    count: int = 1,
) -> Tensor:
    """`count` images (count, SIDE, SIDE) of mean 0 and standard deviation 1, which repeat without a seam.

    The amplitude of a wave that fits f times into the image falls as f^-roughness (1 looks like clouds, 0 like sand),
    and is zero unless lowest <= f <= highest. With `stretch` above 1 the pattern is that many times longer along u.
    """
    white = torch.from_numpy(random.standard_normal((count, SIDE, SIDE), dtype=np.float32)).to(device)
    wave_u = torch.fft.rfftfreq(SIDE, 1 / SIDE, device=device) * stretch
    wave_v = torch.fft.fftfreq(SIDE, 1 / SIDE, device=device)[:, None]
    frequency = torch.hypot(wave_u, wave_v)
    amplitude = frequency.clamp(min=1.0) ** -(roughness + 0.5) * ((frequency >= lowest) & (frequency <= highest))
    image = torch.fft.irfft2(torch.fft.rfft2(white) * amplitude, s=(SIDE, SIDE))
    return image / image.std(dim=(1, 2), keepdim=True).clamp(min=1e-6)


def unit(values: Tensor, width: float = 1.5) -> Tensor:
    """Values of standard deviation 1 to [0, 1]: linear up to `width` deviations on either side, clipped beyond."""
    return (0.5 + values / (2 * width)).clamp(0.0, 1.0)


def grid(device: torch.device) -> tuple[Tensor, Tensor]:
    """Coordinates of the texels' middles in [0, 1): u (1, SIDE) and v (SIDE, 1)."""
    line = (torch.arange(SIDE, device=device) + 0.5) / SIDE
    return line[None], line[:, None]


def per_cell(random: np.random.Generator, row: Tensor, column: Tensor, rows: int, columns: int) -> Tensor:
    """A random number in [0, 1) for every cell of a board that repeats; row and column are int64 of any range."""
    table = torch.from_numpy(random.random((rows, columns), dtype=np.float32)).to(row.device)
    return table[torch.remainder(row, rows), torch.remainder(column, columns)]
