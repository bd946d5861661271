"""An order of an image's pixels in which every beginning covers the whole image evenly."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=16)
def spread_order(height: int, width: int) -> NDArray[np.int32]:
    """(height * width,) flat indices of all pixels, so that any first n of them are spread evenly.

    That is the order of the bit-reversed Morton code, the two-dimensional van der Corput sequence: each level fills the
    gaps of the one before.
    """
    bits = max(1, int(max(height, width) - 1).bit_length())
    rows, columns = np.divmod(np.arange(height * width, dtype=np.int64), width)
    key = np.zeros(height * width, np.int64)
    for bit in range(bits):  # the lowest bits of row and column become the highest of the key
        row_bit, column_bit = (rows >> bit) & 1, (columns >> bit) & 1
        key = (key << 2) | ((row_bit ^ column_bit) << 1) | row_bit
    return np.argsort(key, kind="stable").astype(np.int32)
