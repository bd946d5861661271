"""Corners of a grey image, found on a grid and followed from frame to frame."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Grey = NDArray[np.uint8]

CELL_PX = 12
"""Side of the grid's cells; each holds at most one corner."""
CORNER_QUALITY = 0.01
"""Of the strongest corner's strength: weaker ones are none."""
LEAST_STRENGTH = 2e-4
"""Smallest strength of a corner, on grey levels from 0 to 1: less is noise."""
BORDER_PX = 4
"""Nothing is looked for this near to the edge."""
SAME_PX = 2
"""Distance up to which two corners are one when their places have been refined."""
FLOW_WINDOW = (9, 9)
FLOW_LEVELS = 1
"""Halvings of the image above the first; larger motions are the dense flow's, from which corners are looked for."""
FINEST_GUESS = 2
"""Halvings of the image at which the flow that is only a guess ends."""
REFINEMENTS = 2
"""Of the dense flow, variational; the preset's 5 take a third longer and make the map no better."""
SMALLEST_FLOW = 32
"""Pixels of the shorter side from which on there is a dense flow."""
FLOW_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.02)
RETURN_PX = 0.7
"""A corner followed forth and back must come back this near."""


def find_corners(grey: Grey, taken: Pixels) -> Pixels:
    """(N, 2) x, y of the strongest corner in every cell of the grid that holds none of ``taken``, strongest first."""
    height, width = grey.shape
    strength = cv2.cornerMinEigenVal(grey, 3, ksize=3)
    strength[:BORDER_PX], strength[-BORDER_PX:] = 0, 0
    strength[:, :BORDER_PX], strength[:, -BORDER_PX:] = 0, 0
    rows, columns = height // CELL_PX, width // CELL_PX
    whole = strength[: rows * CELL_PX, : columns * CELL_PX].reshape(rows, CELL_PX, columns, CELL_PX)
    cells = whole.transpose(0, 2, 1, 3).reshape(rows * columns, CELL_PX * CELL_PX)
    best = cells.argmax(axis=1)
    strengths = cells[np.arange(len(cells)), best]
    row, column = np.divmod(np.arange(len(cells)), columns)
    pixels = np.stack([column * CELL_PX + best % CELL_PX, row * CELL_PX + best // CELL_PX], axis=1).astype(np.float32)
    free = strengths >= max(LEAST_STRENGTH, CORNER_QUALITY * float(strengths.max(initial=0)))
    if len(taken):
        cell = (taken // CELL_PX).astype(np.intp)
        inside = (cell[:, 0] >= 0) & (cell[:, 0] < columns) & (cell[:, 1] >= 0) & (cell[:, 1] < rows)
        free[cell[inside, 1] * columns + cell[inside, 0]] = False
        near = np.abs(pixels[:, None] - taken[None]).max(axis=2).min(axis=1) < CELL_PX / 3
        free &= ~near
    chosen = np.flatnonzero(free)
    chosen = chosen[np.argsort(-strengths[chosen], kind="stable")]
    if not len(chosen):
        return np.empty((0, 2), np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 5, 0.05)
    refined = cv2.cornerSubPix(grey, pixels[chosen][:, None].copy(), (3, 3), (-1, -1), stop)
    corners = np.asarray(refined[:, 0], dtype=np.float32)
    near = np.abs(corners[:, None] - corners[None]).max(axis=2) < SAME_PX
    return corners[~np.triu(near, 1).any(axis=0)]  # two cells may have found the same: the stronger one stays


def follow(before: Grey, after: Grey, pixels: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    """Where corners (N, 2) of the image before are in the one after, and which were found there.

    Lucas and Kanade's method, from where the dense flow (DIS, Kroeger et al. 2016) has them, forth and back; a corner
    that does not come back to where it began is not found.
    """
    if not len(pixels):
        return pixels, np.zeros(0, np.bool_)
    start = np.ascontiguousarray(pixels, np.float32)
    guess = start + _motion(before, after, start)
    there, found = _flow(before, after, start[:, None], guess[:, None])
    back, returned = _flow(after, before, there, start[:, None])
    near = np.abs(back[:, 0] - start).max(axis=1) < RETURN_PX
    ends = there[:, 0]
    height, width = after.shape
    inside = (ends >= BORDER_PX).all(axis=1) & (ends <= [width - 1 - BORDER_PX, height - 1 - BORDER_PX]).all(axis=1)
    return ends, found & returned & near & inside


def dense_flow(before: Grey, after: Grey, finest: int) -> NDArray[np.float32]:
    """(height, width, 2) motion of every pixel, found down to the image that has been halved ``finest`` times."""
    dense = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    dense.setFinestScale(finest)
    dense.setVariationalRefinementIterations(REFINEMENTS)
    return np.asarray(dense.calc(before, after, np.zeros((*before.shape, 2), np.float32)), np.float32)


def _motion(before: Grey, after: Grey, pixels: Pixels) -> Pixels:
    """(N, 2) of pixels (N, 2), roughly; none in images that are too small for it."""
    if min(before.shape) < SMALLEST_FLOW:
        return np.zeros_like(pixels)
    columns, rows = np.rint(pixels).astype(np.intp).T
    rows, columns = rows.clip(0, before.shape[0] - 1), columns.clip(0, before.shape[1] - 1)
    return dense_flow(before, after, FINEST_GUESS)[rows, columns]


def _flow(before: Grey, after: Grey, start: Pixels, guess: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    ends, found, _ = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        start,
        guess.copy(),
        winSize=FLOW_WINDOW,
        maxLevel=FLOW_LEVELS,
        criteria=FLOW_STEPS,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=1e-4,
    )
    return np.asarray(ends, dtype=np.float32), found[:, 0] == 1
