"""Whether the poses of two views agree with what moves between their images: the check of a partner before it is used.

Corners are tracked (Lucas and Kanade) from where the poses and roughly known depths have them in the other image. A
wrong pose begins too far away, and what is found lies beside the epipolar lines.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.dense_depth.posed_view import EpipolarGeometry, Image, PosedView
from slam3r_ros.dense_depth.tuning import TUNING


def corners_of(view: PosedView) -> NDArray[np.float32]:
    """(N, 1, 2) corners of a view's image that are to be tracked to its partners, spread over the image."""
    distance = TUNING.check_corner_distance * view.size[0]
    found = cv2.goodFeaturesToTrack(view.grey, TUNING.check_corners, TUNING.check_corner_quality, distance)
    return np.empty((0, 1, 2), np.float32) if found is None else np.asarray(found, np.float32)


def epipolar_error(reference: PosedView, corners: NDArray[np.float32], partner: PosedView, guess: Image) -> float:
    """Median distance between where the reference's corners (N, 1, 2) are found in the partner and their epipolar
    lines, as a share of the image's width.

    ``guess`` (H, W) are depths that are known roughly, NaN elsewhere. Only corners count that tracking back returns to
    where they were. Infinite where too few do, and between images of different sizes.
    """
    if reference.size != partner.size or not len(corners):
        return float("inf")
    expected, inside = _projected(reference, corners, partner, guess)
    corners, expected = corners[inside], expected[inside]
    if len(corners) < TUNING.min_checked_corners:
        return float("inf")
    found, held = _tracked(reference.grey, partner.grey, corners, expected)
    back, held_back = _tracked(partner.grey, reference.grey, found, corners)
    holds = held & held_back
    holds &= np.square(back - corners).sum(axis=2).ravel() < TUNING.check_max_return_px**2
    if np.count_nonzero(holds) < TUNING.min_checked_corners:
        return float("inf")
    (columns, rows), (u, v) = corners[holds, 0].T.astype(np.float64), found[holds, 0].T.astype(np.float64)
    geometry = EpipolarGeometry.between(reference, partner)
    M, e = geometry.at_infinity, geometry.epipole
    x, y, z = (M[i, 0] * columns + M[i, 1] * rows + M[i, 2] for i in range(3))
    # The line through the pixel at infinite depth and the epipole: their cross product (Hartley and Zisserman 9.2).
    a, b, c = y * e[2] - z * e[1], z * e[0] - x * e[2], x * e[1] - y * e[0]
    distance = np.abs(a * u + b * v + c) / np.sqrt(np.maximum(a * a + b * b, 1e-18))
    return float(np.median(distance)) / reference.size[0]


def _projected(
    reference: PosedView, corners: NDArray[np.float32], partner: PosedView, guess: Image
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(N, 1, 2) where a partner sees corners (N, 1, 2) of the reference, and (N,) whether it does."""
    columns, rows = corners[:, 0].T.astype(np.float64)
    depths = guess[rows.astype(np.intp), columns.astype(np.intp)].astype(np.float64)
    depths = np.where(np.isfinite(depths), depths, np.nanmedian(guess[::4, ::4]))
    geometry = EpipolarGeometry.between(reference, partner)
    pixels = np.stack([columns, rows, np.ones_like(rows)])
    x, y, z = geometry.at_infinity @ pixels + geometry.epipole[:, None] / depths
    u, v = x / np.where(z > 0, z, np.nan), y / np.where(z > 0, z, np.nan)
    inside = (u >= 0) & (v >= 0) & (u <= partner.size[0] - 1) & (v <= partner.size[1] - 1)
    return np.stack([u, v], axis=1).astype(np.float32)[:, None], inside


def _tracked(
    before: NDArray[np.uint8], after: NDArray[np.uint8], corners: NDArray[np.float32], expected: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(N, 1, 2) where corners (N, 1, 2) are found in another image, near to where they are expected, and (N,) whether
    they are."""
    side = TUNING.check_window_px
    found, held, _ = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        corners,
        expected.copy(),
        winSize=(side, side),
        maxLevel=TUNING.check_levels,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return np.asarray(found, np.float32), np.asarray(held).ravel() > 0
