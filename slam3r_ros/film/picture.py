"""One picture of a film: the map, the cameras in it, the input beside it, and words."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.film.tuning import TUNING
from slam3r_ros.geometry.frustum import frustum_corners
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.io.map_axes import pose_in_map
from slam3r_ros.render.cloud import SplatCloud
from slam3r_ros.render.overlay import draw_image, draw_lines, frustum_segments, polyline
from slam3r_ros.render.renderer import Colour, render
from slam3r_ros.render.views import View

BACKGROUND: Colour = (24, 26, 31)
_PATH_COLOUR: Colour = (255, 45, 85)
_CAMERA_COLOUR: Colour = (120, 170, 255)
_NEWEST_COLOUR: Colour = (255, 200, 60)
_TEXT_COLOUR: Colour = (214, 219, 227)
_GREY: Colour = (134, 142, 150)


@dataclass(frozen=True, slots=True, eq=False)
class CameraMarks:
    """The cameras that are drawn into the map."""

    corners: list[Array]
    """Of each keyframe the corners (5, 3) of its frustum, map axes."""
    size: float
    """Depth of their frustums."""


def map_picture(
    cloud: SplatCloud, view: View, marks: CameraMarks, path: Array, newest: KeyframeView | None
) -> NDArray[np.uint8]:
    """The map with its cameras and the path (M, 3) until now; of the newest keyframe also the image."""
    picture = render(cloud, view, BACKGROUND)
    width = max(1.0, view.size[0] / 540)
    draw_lines(picture, view, polyline(path), _PATH_COLOUR, 2 * width)
    draw_lines(picture, view, frustum_segments(marks.corners), _CAMERA_COLOUR, width)
    if newest is not None:
        corners = frustum_corners(newest.camera, pose_in_map(newest.T_world_camera), 4 * marks.size)
        draw_image(picture, view, corners, newest.image, 0.85)
        draw_lines(picture, view, frustum_segments([corners]), _NEWEST_COLOUR, 1.5 * width, hidden=0.6)
    return picture.image


def panel_width(width: int) -> int:
    """Width of the panel beside the map in a film of this width."""
    return round(TUNING.panel_share * width)


def panel(
    size: tuple[int, int], view: KeyframeView, lines: list[str], depths: tuple[float, float]
) -> NDArray[np.uint8]:
    """(height, width, 3) the newest image, its depth in colours between two distances, and lines of words."""
    height, width = size
    image = np.full((height, width, 3), BACKGROUND, np.uint8)
    margin, text = round(0.05 * width), height / 45
    side = width - 2 * margin
    top = margin + round(1.6 * text)
    for heading, shown in (("input", view.image), ("depth", coloured_depth(view.depth, depths))):
        _write(image, heading, (margin, top - round(0.5 * text)), text * 0.8, _GREY)
        tall = min(round(side * shown.shape[0] / shown.shape[1]), round(0.36 * height))
        wide = min(side, round(tall * shown.shape[1] / shown.shape[0]))
        method = cv2.INTER_AREA if shown.shape[1] > wide else cv2.INTER_CUBIC
        image[top : top + tall, margin : margin + wide] = cv2.resize(shown, (wide, tall), interpolation=method)
        top += tall + round(2.6 * text)
    for line in lines:
        _write(image, line, (margin, top), text * 0.9, _TEXT_COLOUR)
        top += round(1.9 * text)
    return image


def coloured_depth(depth: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.uint8]:
    """(h, w, 3) distances as colours, near ones red, far ones blue, equal steps in inverse depth; unknown ones dark."""
    near, far = limits
    share = (1 / np.maximum(depth, 1e-9) - 1 / far) / max(1 / near - 1 / far, 1e-9)
    levels = (np.nan_to_num(np.clip(share, 0, 1)) * 255).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    coloured[~np.isfinite(depth)] = BACKGROUND
    return coloured.astype(np.uint8, copy=False)


def _write(image: NDArray[np.uint8], text: str, corner: tuple[int, int], size: float, colour: Colour) -> None:
    """Write a line whose capitals are about `size` pixels high, with its lower left corner there."""
    scale = size / 22
    cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, max(1, round(1.6 * scale)), cv2.LINE_AA)
