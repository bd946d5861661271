"""What is drawn among the points of a picture: lines that points can hide, cameras, and images in them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.frustum import FRUSTUM_EDGES
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.render.renderer import Colour, Picture
from slam3r_ros.render.tuning import TUNING
from slam3r_ros.render.views import View

_SHIFT = 4
"""Bits of OpenCV's fixed-point coordinates, so that lines need not begin and end at whole pixels."""
_LIMIT_PX = 2**14
"""Coordinates beyond it are cut, so that they fit into OpenCV's integers."""


def draw_lines(
    picture: Picture, view: View, segments: Array, colour: Colour, width: float, *, hidden: float | None = None
) -> None:
    """Draw segments (S, 2, 3), in the frame of the points, into a picture of a view, `width` pixels wide.

    Where points hide them they shine through by the share `hidden`, which is that of the tuning if it is not given.
    """
    if not len(segments):
        return
    pieces = _split(np.asarray(segments, np.float64), view)
    pixels, is_hidden = _on_picture(pieces, picture, view)
    shares = (TUNING.hidden_share if hidden is None else hidden, 1.0)
    for share, part in zip(shares, (pixels[is_hidden], pixels[~is_hidden]), strict=True):
        if share <= 0 or not len(part):
            continue
        layer = picture.image if share >= 1 else picture.image.copy()
        fixed = np.rint(np.clip(part, -_LIMIT_PX, _LIMIT_PX) * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(layer, list(fixed), False, colour, max(1, round(width)), cv2.LINE_AA, _SHIFT)
        if share < 1:
            cv2.addWeighted(layer, share, picture.image, 1 - share, 0, dst=picture.image)


def polyline(points: Array) -> Array:
    """(N - 1, 2, 3) segments of the line through points (N, 3)."""
    return np.stack([points[:-1], points[1:]], axis=1)


def frustum_segments(corners: Sequence[Array]) -> Array:
    """(8 K, 2, 3) edges of K frustums, of each the corners (5, 3) as `geometry.frustum` has them."""
    edges = np.array(FRUSTUM_EDGES)
    return np.concatenate([each[edges] for each in corners]) if len(corners) else np.empty((0, 2, 3))


def draw_image(picture: Picture, view: View, corners: Array, image: NDArray[np.uint8], opacity: float) -> None:
    """Draw an image (h, w, 3) on the base of a frustum (5, 3) where no points hide it."""
    projected = view.project(corners[1:])
    if not (projected.depths > 0).all() or np.abs(projected.pixels).max() > _LIMIT_PX:
        return
    height, width = image.shape[:2]
    frame = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]], np.float32)
    T = cv2.getPerspectiveTransform(frame, projected.pixels.astype(np.float32))
    size = (picture.image.shape[1], picture.image.shape[0])
    warped = cv2.warpPerspective(image, T, size, flags=cv2.INTER_LINEAR)
    inside = cv2.warpPerspective(np.full((height, width), 255, np.uint8), T, size)
    depth = float(projected.depths.mean())
    shown = (inside > 127) & (picture.depth > depth * (1 - TUNING.hidden_depth))
    picture.image[shown] = cv2.addWeighted(warped, opacity, picture.image, 1 - opacity, 0)[shown]


def _split(segments: Array, view: View) -> Array:
    """(P, 2, 3) pieces of about `line_piece_px` pixels, of the parts that lie before the camera."""
    ends = view.project(segments.reshape(-1, 3))
    depths = ends.depths.reshape(-1, 2).astype(np.float64)
    nearest = 1e-3 * max(float(np.abs(depths).max()), 1e-9)
    front = (depths > nearest).any(axis=1)
    begin, end, first, last = segments[front, 0], segments[front, 1], depths[front, 0], depths[front, 1]
    with np.errstate(divide="ignore", invalid="ignore"):  # both ends at the same depth: none is cut
        cut = np.clip((nearest - first) / (last - first), 0, 1)
    share = np.stack([np.where(first < nearest, cut, 0.0), np.where(last < nearest, cut, 1.0)], axis=1)
    begin, end = (begin + share[:, side, None] * (end - begin) for side in (0, 1))
    lengths = np.linalg.norm(view.project(end).pixels - view.project(begin).pixels, axis=1)
    counts = np.clip(np.ceil(lengths / TUNING.line_piece_px), 1, TUNING.most_line_pieces).astype(int)
    owner = np.repeat(np.arange(len(begin)), counts)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    low, high = (((place + side) / counts[owner])[:, None] for side in (0, 1))
    along = (end - begin)[owner]
    return np.stack([begin[owner] + low * along, begin[owner] + high * along], axis=1)


def _on_picture(pieces: Array, picture: Picture, view: View) -> tuple[Array, NDArray[np.bool_]]:
    """(P, 2, 2) pixels of the pieces' ends, and (P,) whether points hide the piece."""
    pixels = view.project(pieces.reshape(-1, 3)).pixels.reshape(-1, 2, 2).astype(np.float64)
    middle = view.project(pieces.mean(axis=1))
    columns, rows = np.rint(middle.pixels).T
    height, width = picture.depth.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    is_hidden = np.zeros(len(pieces), bool)
    surface = picture.depth[rows[inside].astype(int), columns[inside].astype(int)]
    is_hidden[inside] = middle.depths[inside] > surface * (1 + TUNING.hidden_depth)
    return pixels, is_hidden
