"""Pictures of what a network predicts on fixed validation windows."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Picture = NDArray[np.uint8]


def image_tile(image: Tensor) -> Picture:
    """An image (3, H, W) in [-1, 1] as (H, W, 3) RGB."""
    return np.asarray(((image.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy())


def depth_tile(depth: Tensor, nearest: float, farthest: float) -> Picture:
    """Depths (H, W) in colour, from yellow for near to violet for far; black where there is none (0 or below)."""
    values = depth.float().cpu().numpy()
    return _coloured((farthest - values) / max(farthest - nearest, 1e-6), values > 0)


def confidence_tile(confidence: Tensor, highest: float) -> Picture:
    """Confidences (H, W), 1 to `highest`, in colour on a logarithmic scale."""
    values = np.log(confidence.float().cpu().numpy().clip(1.0, None)) / np.log(max(highest, 1.01))
    return _coloured(values, np.ones(values.shape, bool))


def _coloured(values: NDArray[np.floating], shown: NDArray[np.bool_]) -> Picture:
    colours = matplotlib.colormaps["viridis"](values.clip(0, 1))[..., :3] * 255
    return np.where(shown[..., None], colours, 0).astype(np.uint8)


def stacked(rows: list[list[Picture]]) -> Picture:
    """Tiles of one size, row by row; shorter rows end in black."""
    blank, widest = np.zeros_like(rows[0][0]), max(len(row) for row in rows)
    filled = [row + [blank] * (widest - len(row)) for row in rows]
    return np.concatenate([np.concatenate(row, axis=1) for row in filled])


def save_picture(picture: Picture, path: Path) -> None:
    """Write a PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
