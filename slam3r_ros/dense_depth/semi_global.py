"""Semi-global matching (Hirschmueller 2008) along rows and columns, vectorised over all pixels that a step reaches."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.dense_depth.posed_view import Image
from slam3r_ros.dense_depth.tuning import TUNING

MEDIAN_PX = 5
"""Side of the median filter over the planes that are found."""
_NO_PLANE = np.int16(20_000)
"""Cost of planes beyond the first and the last one."""


@dataclass(frozen=True, slots=True, eq=False)
class PlaneEstimate:
    """The plane of every pixel, as a number counted from 0 that need not be whole."""

    plane: Image
    """(H, W) after a median filter."""
    ambiguity: Image
    """(H, W) how far from it other planes are that are nearly as likely: root mean square, planes."""
    correction: Image
    """(H, W) by how many planes the median filter has moved it."""


def semi_global_planes(costs: NDArray[np.uint8], grey: NDArray[np.uint8]) -> PlaneEstimate:
    """The best plane of each pixel by matching costs (H, W, D), smooth where the grey image (H, W) is."""
    total = aggregated(costs, grey)
    best = total.argmin(axis=2)
    plane = _between_planes(total, best)
    smooth = np.asarray(cv2.medianBlur(plane, MEDIAN_PX), np.float32)
    return PlaneEstimate(smooth, _ambiguity(total, best, plane), np.abs(smooth - plane))


def aggregated(costs: NDArray[np.uint8], grey: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """(H, W, D) sums of the costs of the cheapest paths from four sides that end at a pixel and plane."""
    total = np.zeros(costs.shape, np.uint16)
    across = np.zeros((costs.shape[1], costs.shape[0], costs.shape[2]), np.uint16)
    by_column = np.ascontiguousarray(costs.transpose(1, 0, 2))
    levels = grey.astype(np.float32)
    _add_paths(costs, levels, total)
    _add_paths(costs[::-1], levels[::-1], total[::-1])
    _add_paths(by_column, levels.T, across)
    _add_paths(by_column[::-1], levels.T[::-1], across[::-1])
    total += across.transpose(1, 0, 2)
    return total


def _add_paths(costs: NDArray[np.uint8], levels: Image, total: NDArray[np.uint16]) -> None:
    """Add the paths that come along the first axis of costs (N, M, D) to their total, which is written to."""
    count, width, planes = costs.shape
    small = np.int16(TUNING.small_step_penalty)
    change = np.abs(levels[1:] - levels[:-1]) / TUNING.edge_grey
    large = np.maximum(TUNING.large_step_penalty / (1 + change), small + 1).astype(np.int16)
    path = costs[0].astype(np.int16)
    total[0] += path.view(np.uint16)
    padded = np.full((width, planes + 2), _NO_PLANE)
    step = np.empty_like(path)
    for number in range(1, count):
        padded[:, 1:-1] = path
        lowest = path.min(axis=1, keepdims=True)
        np.minimum(padded[:, :-2], padded[:, 2:], out=step)
        step += small
        np.minimum(step, path, out=step)
        np.minimum(step, lowest + large[number - 1][:, None], out=step)
        step -= lowest
        step += costs[number]
        path, step = step, path
        total[number] += path.view(np.uint16)


def _between_planes(total: NDArray[np.uint16], best: NDArray[np.intp]) -> Image:
    """(H, W) the lowest point of the parabola through the best plane and its neighbours."""
    inner = best.clip(1, total.shape[2] - 2)
    low, middle, high = (
        np.take_along_axis(total, (inner + step)[..., None], axis=2)[..., 0].astype(np.float32) for step in (-1, 0, 1)
    )
    curvature = low - 2 * middle + high
    offset = np.where(curvature > 0, (low - high) / (2 * np.maximum(curvature, 1e-6)), 0).clip(-0.5, 0.5)
    return np.asarray(best + np.where(best == inner, offset, 0), np.float32)


def _ambiguity(total: NDArray[np.uint16], best: NDArray[np.intp], plane: Image) -> Image:
    """(H, W) root mean square distance of all planes from the chosen one, weighted by their likelihood."""
    lowest = np.take_along_axis(total, best[..., None], axis=2)
    likelihood = np.exp((total - lowest).astype(np.float32) * np.float32(-1 / TUNING.softness))
    numbers = np.arange(total.shape[2], dtype=np.float32)
    sums = likelihood @ np.stack([np.ones_like(numbers), numbers, numbers**2], axis=1)
    mean = sums[..., 1] / sums[..., 0]
    variance = np.maximum(sums[..., 2] / sums[..., 0] - mean**2, 0)
    return np.asarray(np.sqrt(variance + (mean - plane) ** 2), np.float32)
