"""A white page to draw on: text, lines, discs and images, with smooth edges, written as a PNG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.io.files import replacing
from slam3r_ros.render.renderer import Colour

Horizontal = Literal["left", "centre", "right"]
_OVERSAMPLING = 2
"""The page is drawn so many times larger and shrunk at the end, which smooths every edge."""
_SHIFT = 4
"""Bits of OpenCV's fixed-point coordinates, so that lines need not begin and end at whole pixels."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_HEIGHT_PX = 22.0
"""Height of a capital letter of the font at scale 1, about."""
BLACK: Colour = (33, 37, 41)
GREY: Colour = (134, 142, 150)


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of the page, in pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The column behind the last one."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The row behind the last one."""
        return self.top + self.height


class Canvas:
    """A white page, `width` x `height` pixels; all positions are in its pixels, x to the right and y down."""

    def __init__(self, width: int, height: int) -> None:
        self._image = np.full((height * _OVERSAMPLING, width * _OVERSAMPLING, 3), 255, np.uint8)

    def image(self, area: Rectangle, pixels: NDArray[np.uint8]) -> None:
        """Fill an area with an image (area.height, area.width, 3) RGB."""
        enlarged = pixels.repeat(_OVERSAMPLING, axis=0).repeat(_OVERSAMPLING, axis=1)
        self._part(area)[:] = enlarged

    def frame(self, area: Rectangle, colour: Colour = GREY) -> None:
        """Draw the outline of an area."""
        x0, y0, x1, y1 = area.left, area.top, area.right, area.bottom
        self.line(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]], dtype=np.float64), colour, 1.0)

    def line(
        self, points: NDArray[np.float64], colour: Colour, width: float, *, inside: Rectangle | None = None
    ) -> None:
        """Draw the line through points (N, 2), `width` pixels wide; only the part inside an area if one is given."""
        if len(points) < 2:
            return
        target, origin = self._target(inside)
        path = self._fixed_point(points - origin)
        thickness = max(1, round(width * _OVERSAMPLING))
        cv2.polylines(target, [path.reshape(-1, 1, 2)], False, colour, thickness, cv2.LINE_AA, _SHIFT)

    def disc(
        self, centre: NDArray[np.float64], radius: float, colour: Colour, *, inside: Rectangle | None = None
    ) -> None:
        """Draw a filled circle around a point (2,)."""
        target, origin = self._target(inside)
        x, y = self._fixed_point(centre[None] - origin)[0].tolist()
        cv2.circle(target, (x, y), round(radius * _OVERSAMPLING * (1 << _SHIFT)), colour, -1, cv2.LINE_AA, _SHIFT)

    def text(
        self, x: float, baseline: float, text: str, size: float, *, align: Horizontal = "left", colour: Colour = BLACK
    ) -> None:
        """Write a line of text whose capitals are `size` pixels high, with x at its left, centre or right."""
        scale = size * _OVERSAMPLING / _FONT_HEIGHT_PX
        offset = {"left": 0.0, "centre": 0.5, "right": 1.0}[align] * cv2.getTextSize(text, _FONT, scale, 1)[0][0]
        corner = (round(x * _OVERSAMPLING - offset), round(baseline * _OVERSAMPLING))
        cv2.putText(self._image, text, corner, _FONT, scale, colour, 1, cv2.LINE_AA)

    def save(self, path: Path) -> None:
        """Write the page as a PNG. Raises OutputError."""
        height, width = self._image.shape[:2]
        page = cv2.resize(self._image, (width // _OVERSAMPLING, height // _OVERSAMPLING), interpolation=cv2.INTER_AREA)
        encoded = cv2.imencode(".png", cv2.cvtColor(page, cv2.COLOR_RGB2BGR))[1]
        with replacing(path) as file:
            file.write(encoded.tobytes())

    def _part(self, area: Rectangle) -> NDArray[np.uint8]:
        rows = slice(area.top * _OVERSAMPLING, area.bottom * _OVERSAMPLING)
        return self._image[rows, area.left * _OVERSAMPLING : area.right * _OVERSAMPLING]

    def _target(self, inside: Rectangle | None) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """What to draw on, and where its upper left corner is."""
        if inside is None:
            return self._image, np.zeros(2)
        return self._part(inside), np.array([inside.left, inside.top], dtype=np.float64)

    @staticmethod
    def _fixed_point(points: NDArray[np.float64]) -> NDArray[np.int32]:
        limit = 2**15  # beyond any page; keeps the fixed-point numbers in 32 bits
        return np.rint(np.clip(points * _OVERSAMPLING, -limit, limit) * (1 << _SHIFT)).astype(np.int32)
