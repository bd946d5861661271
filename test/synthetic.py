"""Images and streams made for tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def textured_image(number: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """An image of a moving pattern; two numbers give two images."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = [
        np.sin(x / 5 + number / 7) * np.cos(y / 9),
        np.sin((x + y) / 6 - number / 5),
        np.cos(x / 11 + y / 4 + number / 3),
    ]
    return np.stack([127 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)
