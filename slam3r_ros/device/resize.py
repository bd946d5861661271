"""Pillow's resizing as products of matrices, for a device that Pillow cannot use: the same grey levels.

Pillow resizes rows first, then columns. An output is a sum of inputs times weights in fixed point, `WEIGHT_BITS` after
the point, rounded to a whole grey level after each of the two passes. Here a weight is three numbers of `PART_BITS`
bits, one matrix each: sums of so small whole numbers times grey levels stay below 2^24, where float32 is exact (TF32
too, and in whatever order they are added), and the parts are put together in int32.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slam3r_ros.geometry.crop import centre_corner, covering_size

WEIGHT_BITS = 22
"""The number of bits after the point of Pillow's fixed-point weights."""
PART_BITS = 8
"""The number of bits of each of the three parts of a weight."""
_REMEMBERED_SIZES = 4
"""The number of image sizes whose matrices are kept: as many as cameras that take turns at most."""


def is_shrinking(height: int, width: int, covering: tuple[int, int]) -> bool:
    """Whether the image is resized with Lanczos' filter, and not the bicubic one."""
    return max(covering) < max(height, width)


def resampling_weights(length: int, resized: int, wanted: range, *, lanczos: bool) -> NDArray[np.int64]:
    """Pillow's weights (wanted, length), in units of 2^-WEIGHT_BITS, from ``length`` pixels to those ``wanted`` of
    ``resized``.

    Lanczos' filter of radius 3 or the bicubic one (a = -1/2), wider by the factor of shrinking.
    """
    scale = length / resized
    stretch = max(scale, 1.0)
    reach = (3.0 if lanczos else 2.0) * stretch
    weights = np.zeros((len(wanted), length), np.int64)
    for row, pixel in enumerate(wanted):
        centre = (pixel + 0.5) * scale
        first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), length)
        offsets: NDArray[np.float64] = (np.arange(first, last, dtype=np.float64) - centre + 0.5) / stretch
        values = _lanczos(offsets) if lanczos else _bicubic(offsets)
        values = values / math.fsum(values) * 2.0**WEIGHT_BITS
        weights[row, first:last] = np.trunc(values + np.copysign(0.5, values)).astype(np.int64)
    return weights


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where((x >= -3) & (x < 3), np.sinc(x) * np.sinc(x / 3), 0.0)


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a, x = -0.5, np.abs(x)
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def split_weights(weights: NDArray[np.int64]) -> NDArray[np.float32]:
    """The three parts of the weights (outputs, inputs), one above the other: (3 * outputs, inputs).

    weights = (first * 2^PART_BITS + second) * 2^PART_BITS + third. Raises ValueError where sums might not be exact: an
    image some eighty times as large as the result.
    """
    base = 1 << PART_BITS
    second = (weights + base // 2) >> PART_BITS  # rounded, so that what remains is small on both sides of zero
    third = weights - second * base
    first = (second + base // 2) >> PART_BITS
    parts = np.concatenate([first, second - first * base, third])
    largest = int(np.abs(parts).sum(axis=1).max()) * 255
    if largest >= 1 << 24:
        raise ValueError(f"resize: {weights.shape[1]} pixels to {weights.shape[0]} are too many for exact sums")
    return parts.astype(np.float32)


class DeviceResizer:
    """Scales images until they just cover a size and cuts out the centre, where the networks are."""

    def __init__(self, size: tuple[int, int], device: torch.device) -> None:
        """``size``: (height, width) of the result."""
        self._size, self._device = size, device
        self._matrices: OrderedDict[tuple[int, int], tuple[Tensor, Tensor]] = OrderedDict()

    def resize(self, image: Tensor) -> Tensor:
        """Grey levels (3, height, width) float32, whole numbers, of an image (rows, columns, 3) uint8 of any size."""
        of_rows, of_columns = self._matrices_of(image.shape[0], image.shape[1])
        channels = image.permute(2, 0, 1).to(torch.float32, memory_format=torch.contiguous_format)
        narrow = _rounded(channels @ of_columns, dim=-1)
        return _rounded(of_rows @ narrow, dim=-2)

    def _matrices_of(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """(3 * rows, height) and (width, 3 * columns)."""
        if (height, width) in self._matrices:
            self._matrices.move_to_end((height, width))
            return self._matrices[height, width]
        covering = covering_size(height, width, self._size)
        lanczos = is_shrinking(height, width, covering)
        matrices = []
        for axis, length in enumerate((height, width)):
            start = centre_corner(*covering, self._size)[axis]
            wanted = range(start, start + self._size[axis])
            weights = resampling_weights(length, covering[axis], wanted, lanczos=lanczos)
            matrices.append(torch.from_numpy(split_weights(weights)).to(self._device))
        self._matrices[height, width] = matrices[0], matrices[1].T.contiguous()
        if len(self._matrices) > _REMEMBERED_SIZES:
            self._matrices.popitem(last=False)
        return self._matrices[height, width]


def _rounded(parts: Tensor, dim: int) -> Tensor:
    """Grey levels from the sums of the three parts, side by side along ``dim``."""
    first, second, third = parts.to(torch.int32).chunk(3, dim=dim)
    total = (((first << PART_BITS) + second) << PART_BITS) + third
    return ((total + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS).clamp(0, 255).to(torch.float32)
