"""Plane sweep (Collins 1996): how well a keyframe agrees with its partners if all it sees lies in one plane."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.dense_depth.posed_view import EpipolarGeometry, Image, PosedView, normalised_contrast
from slam3r_ros.dense_depth.tuning import TUNING
from slam3r_ros.geometry.se3 import Array

_MIDDLE = 128
"""Of the normalised images as bytes, whose 0 is kept for pixels that a partner does not see."""


def inverse_depth_planes(guess: Image, widest_parallax_px: float) -> Array:
    """(D,) inverse depths in equal steps, ascending: about a pixel of the widest partner's parallax from each other.

    ``guess`` holds depths, NaN where there is none, at least one known; ``widest_parallax_px`` is the parallax at its
    median, in pixels of the image that will be swept.
    """
    near, middle, far = np.nanpercentile(guess, [2, 50, 98])
    nearest, farthest = 1 / (near * TUNING.nearest_share), 1 / (far * TUNING.farthest_share)
    count = int(np.ceil(widest_parallax_px * middle * (nearest - farthest)))
    return np.linspace(farthest, nearest, min(max(count, TUNING.min_planes), TUNING.max_planes))


def matching_costs(reference: PosedView, partners: Sequence[PosedView], planes: Array) -> NDArray[np.uint8]:
    """(H, W, D) mean absolute difference of the normalised images at every plane, at most ``max_cost``.

    Of the partners' costs the mean of the smaller half counts, so that a pixel which some of them do not see, since it
    is hidden there, is judged by the others (Kang and Szeliski 2001).
    """
    image = _contrast_bytes(reference)
    images = [_contrast_bytes(partner) for partner in partners]
    geometries = [EpipolarGeometry.between(reference, partner) for partner in partners]
    costs = np.empty((len(planes), *image.shape), np.uint8)
    for number, inverse_depth in enumerate(planes):
        each = [
            _cost(image, other, geometry.homography(inverse_depth))
            for other, geometry in zip(images, geometries, strict=True)
        ]
        costs[number] = _mean_of_smaller_half(each)
    return np.ascontiguousarray(costs.transpose(1, 2, 0))


def _contrast_bytes(view: PosedView) -> NDArray[np.uint8]:
    values = normalised_contrast(view.grey, TUNING.contrast_window_px, TUNING.contrast_floor, TUNING.contrast_gain)
    return np.clip(values + _MIDDLE, 1, 255).astype(np.uint8)


def _cost(image: NDArray[np.uint8], other: NDArray[np.uint8], homography: Array) -> NDArray[np.uint8]:
    """(H, W) of one partner and one plane; half the largest one where the partner does not see it."""
    size = (image.shape[1], image.shape[0])
    warped = cv2.warpPerspective(other, homography, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    cost = np.minimum(cv2.absdiff(image, warped), TUNING.max_cost)
    cost[warped == 0] = TUNING.max_cost // 2
    side = TUNING.cost_window_px
    return np.asarray(cv2.blur(cost, (side, side)), np.uint8)


def _mean_of_smaller_half(costs: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """(H, W) of costs (H, W), all of them where there are one or two."""
    count = len(costs) if len(costs) < 3 else (len(costs) + 1) // 2
    smallest = list(costs[:count])
    for cost in costs[count:]:  # takes the place of the largest of them, pixel by pixel, where it is smaller
        for position, other in enumerate(smallest):
            smallest[position], cost = np.minimum(other, cost), np.maximum(other, cost)
    return np.asarray(np.sum(smallest, axis=0, dtype=np.uint16) // count, np.uint8)
