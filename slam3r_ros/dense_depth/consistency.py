"""Geometric consistency: a pixel's depth is compared with the depth images of neighbouring keyframes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.dense_depth.posed_view import DepthMap, Image, PosedView
from slam3r_ros.dense_depth.tuning import TUNING
from slam3r_ros.geometry.se3 import invert_rigid


@dataclass(frozen=True, slots=True, eq=False)
class DepthView:
    """A view and its depth image."""

    view: PosedView
    depth_map: DepthMap
    """Of the size of the view's image."""


def consistent_depth(own: DepthView, neighbours: Sequence[DepthView]) -> DepthMap:
    """The depth image without pixels that its neighbours contradict, the others averaged with those that agree.

    A neighbour agrees with a pixel if its depth where it sees the pixel's point is the same within the error that both
    expect. It contradicts if it sees farther there: the point floats in what it has looked through. If it sees nearer,
    the point is hidden from it, and it says nothing. Pixels stay that at least one neighbour agrees with, and not more
    contradict. Without neighbours the depth image stays as it is.
    """
    depth, sigma = own.depth_map.depth, own.depth_map.sigma
    if not neighbours:
        return own.depth_map
    known = own.depth_map.is_known
    weight = np.where(known, 1 / np.square(sigma), 0).astype(np.float32)
    offsets, weights = np.zeros_like(depth), weight.copy()
    agree, contradict = np.zeros(depth.shape, np.int16), np.zeros(depth.shape, np.int16)
    for neighbour in neighbours:
        offset, other = _offsets(own, neighbour)
        both = np.sqrt(np.square(sigma) + np.square(other))
        same = np.abs(offset) < TUNING.max_agreement_sigmas * both
        agree += same
        contradict += offset > TUNING.min_conflict_sigmas * both
        share = np.where(same, 1 / np.square(other), 0)
        offsets += np.where(same, share * offset, 0)
        weights += share
    stays = known & (agree > 0) & (agree >= contradict)
    safe = np.where(stays, weights, 1)
    fused = np.where(stays, depth * np.exp(np.where(stays, offsets / safe, 0)), np.nan)
    shared = TUNING.shared_error * sigma
    new = np.where(stays, np.maximum(np.sqrt(1 / safe), shared), np.inf)
    return DepthMap(fused.astype(np.float32), new.astype(np.float32))


def _offsets(own: DepthView, neighbour: DepthView) -> tuple[Image, Image]:
    """(H, W) logarithms of the neighbour's depth over that which it should see at each pixel's point, NaN where it
    sees none, and their sigma, infinite there."""
    view, other = own.view, neighbour.view
    T = (invert_rigid(other.T_world_camera) @ view.T_world_camera).astype(np.float32)
    points = (view.rays() * own.depth_map.depth[..., None]) @ T[:3, :3].T + T[:3, 3]
    z = points[..., 2]
    front: NDArray[np.bool_] = z > 0
    safe = np.where(front, z, 1).astype(np.float32)
    matrix = other.matrix.astype(np.float32)
    u = np.where(front, points[..., 0] / safe * matrix[0, 0] + matrix[0, 2], -2)
    v = np.where(front, points[..., 1] / safe * matrix[1, 1] + matrix[1, 2], -2)
    both = np.dstack([neighbour.depth_map.depth, neighbour.depth_map.sigma])
    seen = cv2.remap(both, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(np.nan, np.inf))
    offset = np.where(front, np.log(seen[..., 0] / safe), np.nan)
    return offset.astype(np.float32), np.asarray(seen[..., 1], np.float32)
