"""Ways to the depth of a keyframe that are compared: by dense optical flow, and by plane sweep in two variants."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from slam3r_ros.dense_depth.estimation import dense_depth
from slam3r_ros.dense_depth.posed_view import DepthMap, EpipolarGeometry, Image, PosedView
from slam3r_ros.dense_depth.refinement import refined
from slam3r_ros.vision.klt import dense_flow

FINEST_LEVEL = 1
"""Halvings of the image at which the flow ends."""
MAX_RETURN_PX = MAX_EPIPOLAR_PX = 1.5
"""Largest error of a flow forth and back, and largest distance from the epipolar line."""
MATCH_SIGMA_PX = 0.5
"""Standard deviation of a flow."""
MAX_CONTRADICTION = 9.0
"""Largest mean squared difference between partners, in sigmas."""

Way = Callable[[PosedView, Sequence[PosedView], Image], DepthMap]


def by_flow(reference: PosedView, partners: Sequence[PosedView], guess: Image) -> DepthMap:
    """DIS optical flow (Kroeger et al. 2016) to each partner, triangulated on the epipolar line; the mean by inverse
    variance of those that return and lie near the line."""
    del guess
    shape = reference.grey.shape
    weight, first, second = (np.zeros(shape, np.float32) for _ in range(3))
    for partner in partners:
        inverse, information = _triangulated(reference, partner)
        weight += information
        first += information * inverse
        second += information * inverse**2
    told = weight > 0
    safe = np.where(told, weight, 1)
    mean = np.where(told, first / safe, 1)
    told &= (mean > 0) & (second - weight * mean**2 < MAX_CONTRADICTION * max(len(partners), 1))
    mean = np.where(told, mean, 1)
    sigma = np.sqrt(1 / safe / mean**2 + 0.01**2)
    return DepthMap(
        np.where(told, 1 / mean, np.nan).astype(np.float32), np.where(told, sigma, np.inf).astype(np.float32)
    )


def by_flow_refined(reference: PosedView, partners: Sequence[PosedView], guess: Image) -> DepthMap:
    """The same with one photometric step along the epipolar lines after it."""
    found = by_flow(reference, partners, guess)
    if not found.is_known.any():
        return found
    filled = np.where(found.is_known, 1 / found.depth, 1 / np.nanmedian(found.depth)).astype(np.float32)
    depth = 1 / refined(reference, partners, filled).inverse_depth
    return DepthMap(np.where(found.is_known, depth, np.nan).astype(np.float32), found.sigma)


def by_sweep(reference: PosedView, partners: Sequence[PosedView], guess: Image) -> DepthMap:
    """The wing without its correction of the partners' poses."""
    return dense_depth(reference, partners, guess, align=False)


WAYS: dict[str, Way] = {
    "flow": by_flow,
    "flow, refined": by_flow_refined,
    "sweep": by_sweep,
    "sweep, poses corrected": dense_depth,
}


def _triangulated(reference: PosedView, partner: PosedView) -> tuple[Image, Image]:
    """Inverse depths (H, W) by the flow to one partner, and their information, 0 where there is none."""
    forth = dense_flow(reference.grey, partner.grey, FINEST_LEVEL)
    back = dense_flow(partner.grey, reference.grey, FINEST_LEVEL)
    height, width = reference.grey.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    u, v = columns + forth[..., 0], rows + forth[..., 1]
    returned = cv2.remap(back, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(1e3, 1e3))
    missed = np.linalg.norm(forth + returned, axis=2)
    geometry = EpipolarGeometry.between(reference, partner)
    M, e = geometry.at_infinity.astype(np.float32), geometry.epipole.astype(np.float32)
    x, y, z = (M[i, 0] * columns + M[i, 1] * rows + M[i, 2] for i in range(3))
    front = z > 0.1
    z = np.where(front, z, 1)
    by_depth = np.stack([(e[0] - u * e[2]) / z, (e[1] - v * e[2]) / z], axis=2)
    offset = np.stack([u - x / z, v - y / z], axis=2)
    square = np.square(by_depth).sum(axis=2) + np.float32(1e-12)
    inverse = (by_depth * offset).sum(axis=2) / square
    off_line = np.abs(offset[..., 0] * by_depth[..., 1] - offset[..., 1] * by_depth[..., 0]) / np.sqrt(square)
    told = front & (missed < MAX_RETURN_PX) & (off_line < MAX_EPIPOLAR_PX) & (inverse > 0)
    information = np.where(told, square / (MATCH_SIGMA_PX**2 + missed**2 + off_line**2), 0)
    return np.where(told, inverse, 0).astype(np.float32), information.astype(np.float32)
