"""Corners of grey images, detected on a grid and tracked from frame to frame (Lucas and Kanade, Shi and Tomasi)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.vision.tuning import TUNING

Pixels = NDArray[np.float32]
Grey = NDArray[np.uint8]


def detect_corners(grey: Grey, taken: Pixels) -> Pixels:
    """(N, 2) pixels of the strongest corner in every cell of the grid that holds none of ``taken``, strongest first."""
    (height, width), cell_px, border = grey.shape, TUNING.corner_cell_px, TUNING.corner_border_px
    strength = cv2.cornerMinEigenVal(grey, 3, ksize=3)
    strength[:border], strength[-border:] = 0, 0
    strength[:, :border], strength[:, -border:] = 0, 0
    rows, columns = height // cell_px, width // cell_px
    whole = strength[: rows * cell_px, : columns * cell_px].reshape(rows, cell_px, columns, cell_px)
    cells = whole.transpose(0, 2, 1, 3).reshape(rows * columns, cell_px * cell_px)
    best = cells.argmax(axis=1)
    strengths = cells[np.arange(len(cells)), best]
    row, column = np.divmod(np.arange(len(cells)), columns)
    pixels = np.stack([column * cell_px + best % cell_px, row * cell_px + best // cell_px], axis=1).astype(np.float32)
    free = strengths >= max(TUNING.min_corner_strength, TUNING.corner_quality * float(strengths.max(initial=0)))
    if len(taken):
        cell = (taken // cell_px).astype(np.intp)
        inside = (cell[:, 0] >= 0) & (cell[:, 0] < columns) & (cell[:, 1] >= 0) & (cell[:, 1] < rows)
        free[cell[inside, 1] * columns + cell[inside, 0]] = False
        near = np.abs(pixels[:, None] - taken[None]).max(axis=2).min(axis=1) < cell_px / 3
        free &= ~near
    chosen = np.flatnonzero(free)
    chosen = chosen[np.argsort(-strengths[chosen], kind="stable")]
    if not len(chosen):
        return np.empty((0, 2), np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 5, 0.05)
    refined = cv2.cornerSubPix(grey, pixels[chosen][:, None].copy(), (3, 3), (-1, -1), stop)
    corners = np.asarray(refined[:, 0], dtype=np.float32)
    near = np.abs(corners[:, None] - corners[None]).max(axis=2) < TUNING.same_corner_px
    return corners[~np.triu(near, 1).any(axis=0)]  # two cells may have found the same: the stronger one stays


def track_corners(
    before: Grey, after: Grey, pixels: Pixels, guesses: Pixels | None = None
) -> tuple[Pixels, NDArray[np.bool_]]:
    """Track corners (N, 2) of the image before to the one after: their pixels there, and which were found.

    Lucas and Kanade's method, from ``guesses`` (N, 2) or else from where the dense flow (DIS, Kroeger et al. 2016) has
    them, forth and back; a corner that does not come back to where it began is not found.
    """
    if not len(pixels):
        return pixels, np.zeros(0, np.bool_)
    start = np.ascontiguousarray(pixels, np.float32)
    guess = start + _motion(before, after, start) if guesses is None else np.ascontiguousarray(guesses, np.float32)
    there, found = _flow(before, after, start[:, None], guess[:, None])
    back, returned = _flow(after, before, there, start[:, None])
    near = np.abs(back[:, 0] - start).max(axis=1) < TUNING.round_trip_px
    ends = there[:, 0]
    height, width = after.shape
    inside = (ends >= TUNING.corner_border_px).all(axis=1) & (
        ends <= [width - 1 - TUNING.corner_border_px, height - 1 - TUNING.corner_border_px]
    ).all(axis=1)
    return ends, found & returned & near & inside


def dense_flow(before: Grey, after: Grey, finest: int) -> NDArray[np.float32]:
    """(height, width, 2) motion of every pixel, found down to the image that has been halved ``finest`` times."""
    dense = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    dense.setFinestScale(finest)
    dense.setVariationalRefinementIterations(TUNING.dense_flow_refinements)
    return np.asarray(dense.calc(before, after, np.zeros((*before.shape, 2), np.float32)), np.float32)


def _motion(before: Grey, after: Grey, pixels: Pixels) -> Pixels:
    """(N, 2) rough motion of pixels (N, 2) by the dense flow; zero in images that are too small for it."""
    if min(before.shape) < TUNING.min_dense_flow_px:
        return np.zeros_like(pixels)
    columns, rows = np.rint(pixels).astype(np.intp).T
    rows, columns = rows.clip(0, before.shape[0] - 1), columns.clip(0, before.shape[1] - 1)
    return dense_flow(before, after, TUNING.flow_guess_level)[rows, columns]


def _flow(before: Grey, after: Grey, start: Pixels, guess: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    ends, found, _ = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        start,
        guess.copy(),
        winSize=(TUNING.flow_window_px, TUNING.flow_window_px),
        maxLevel=TUNING.flow_pyramid_levels,
        criteria=(
            cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT,
            TUNING.flow_iterations,
            TUNING.flow_min_step_px,
        ),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=1e-4,
    )
    return np.asarray(ends, dtype=np.float32), found[:, 0] == 1
