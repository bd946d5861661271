"""Corners of grey images, detected on a grid and tracked from frame to frame (Lucas and Kanade, Shi and Tomasi)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.vision.pixel_unit import odd_pixels, pixel_unit
from slam3r_ros.vision.tuning import TUNING

Pixels = NDArray[np.float32]
Grey = NDArray[np.uint8]


def detect_corners(grey: Grey, taken: Pixels) -> Pixels:
    """(N, 2) pixels of the strongest corner in every cell of the grid that holds none of ``taken``, strongest first."""
    (height, width), unit, border = grey.shape, pixel_unit(grey.shape), _border(grey.shape)
    cell_px = round(TUNING.corner_cell_px * unit)
    strength = cv2.cornerMinEigenVal(grey, odd_pixels(TUNING.corner_window_px, grey.shape), ksize=3)
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
    near = np.abs(corners[:, None] - corners[None]).max(axis=2) < TUNING.same_corner_px * unit
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
    near = np.abs(back[:, 0] - start).max(axis=1) < TUNING.round_trip_px * pixel_unit(after.shape)
    ends, border = there[:, 0], _border(after.shape)
    height, width = after.shape
    inside = (ends >= border).all(axis=1) & (ends <= [width - 1 - border, height - 1 - border]).all(axis=1)
    return ends, found & returned & near & inside


def roughly_followed(before: Grey, after: Grey, pixels: Pixels) -> Pixels:
    """(N, 2) where corners (N, 2) of the image before are in the one after, tracked forth only: a guess from which
    `track_corners` begins. It is that of the dense flow where a corner is not found."""
    if not len(pixels):
        return pixels
    start = np.ascontiguousarray(pixels, np.float32)
    guess = start + _motion(before, after, start)
    there, found = _flow(before, after, start[:, None], guess[:, None])
    return np.where(found[:, None], there[:, 0], guess)


def without_local_brightness(grey: Grey) -> Grey:
    """The image minus its mean around each pixel, plus mid-grey: exposure, vignetting and shadows that move pixels'
    grey levels by the same amount over a neighbourhood would otherwise shift the corners that are tracked in it."""
    side = odd_pixels(TUNING.brightness_window_px, grey.shape)
    return np.asarray(cv2.addWeighted(grey, 1.0, cv2.blur(grey, (side, side)), -1.0, 128.0), np.uint8)


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
    halvings = _halvings(before.shape)
    size = (before.shape[1] >> halvings, before.shape[0] >> halvings)
    if halvings:
        before, after = (
            np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8) for grey in (before, after)
        )
    columns, rows = np.rint((pixels + 0.5) / 2**halvings - 0.5).astype(np.intp).T
    rows, columns = rows.clip(0, size[1] - 1), columns.clip(0, size[0] - 1)
    return 2**halvings * dense_flow(before, after, TUNING.flow_guess_level)[rows, columns]


def _halvings(shape: tuple[int, ...]) -> int:
    """How often an image of this shape is halved to be about as large as the nominal image."""
    return round(np.log2(pixel_unit(shape)))


def _border(shape: tuple[int, ...]) -> int:
    """Width in pixels of the border in which no corner is detected or tracked."""
    return round(TUNING.corner_border_px * pixel_unit(shape))


def _flow(before: Grey, after: Grey, start: Pixels, guess: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    window = odd_pixels(TUNING.flow_window_px, before.shape)
    ends, found, _ = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        start,
        guess.copy(),
        winSize=(window, window),
        maxLevel=TUNING.flow_pyramid_levels + _halvings(before.shape),
        criteria=(
            cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT,
            TUNING.flow_iterations,
            TUNING.flow_min_step_px,
        ),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=1e-4,
    )
    return np.asarray(ends, dtype=np.float32), found[:, 0] == 1
