"""Values of an image, say of a depth map, at positions given as shares of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array


def sample_nearest(values: NDArray[np.float32], positions: Array) -> NDArray[np.float32]:
    """(N,) values of the pixels of (H, W) values that hold positions (N, 2), columns and rows as shares of the image.

    Positions outside [0, 1] take the value of the nearest pixel at the border.
    """
    height, width = values.shape
    columns = (positions[:, 0] * width).astype(np.intp).clip(0, width - 1)
    rows = (positions[:, 1] * height).astype(np.intp).clip(0, height - 1)
    return values[rows, columns]
