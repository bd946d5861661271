"""Between the engine's tensors and an oracle's views: what its tokens carry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from slam3r_lab.oracle.errors import Answer
from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.networks.decoder import Pointmaps


def without_attention(x: Tensor) -> LayerActivations:
    """Tokens (..., 1, width) as activations of layer 0 without queries, keys and values."""
    nothing = x.new_zeros(*x.shape[:-2], 1, 1, 1)
    return LayerActivations(x, nothing, nothing, nothing)


def numbers_of(views: LayerActivations) -> list[list[int]]:
    """The views' numbers, [batch][view]: the last channel of their token."""
    return [[int(number) for number in row] for row in views.features[..., 0, -1].tolist()]


def pointmaps_of(answers: Sequence[Sequence[Answer]]) -> Pointmaps:
    """Answers [batch][view] as tensors."""
    points = np.stack([np.stack([answer.points for answer in row]) for row in answers]).astype(np.float32)
    confidence = np.stack([np.stack([answer.confidence for answer in row]) for row in answers]).astype(np.float32)
    return Pointmaps(torch.from_numpy(points), torch.from_numpy(confidence))
