"""A picture of a cloud of points, without a GPU or a display."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.render.cloud import SplatCloud
from slam3r_ros.render.shading import close_gaps, eye_dome_shade
from slam3r_ros.render.splatting import FAR, Splats, draw_splats
from slam3r_ros.render.tuning import TUNING
from slam3r_ros.render.views import View

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What a view shows of a cloud."""

    image: NDArray[np.uint8]
    """(height, width, 3) RGB."""
    depth: NDArray[np.float32]
    """(height, width) distances from the camera; `splatting.FAR` where there is no point."""


def render(cloud: SplatCloud, view: View, background: Colour, *, supersampling: int = 2) -> Picture:
    """Draw a cloud. Each pixel is the mean of ``supersampling`` by ``supersampling`` ones, which smooths the edges."""
    height, width = view.size
    image, depth = np.empty((height, width, 3), np.uint8), np.empty((height, width), np.float32)
    splats = Splats.of(cloud, view.enlarged(supersampling))
    rows = max(1, TUNING.band_pixels // (width * supersampling**2 * TUNING.band_step)) * TUNING.band_step
    for top in range(0, height, rows):  # bands, since images that fit into a processor's cache are much faster
        band = slice(top, min(top + rows, height))
        image[band], depth[band] = _draw_band(splats, band, width, background, supersampling, height)
    return Picture(image, depth)


def _draw_band(
    splats: Splats, band: slice, width: int, background: Colour, supersampling: int, picture_height: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Image and depth of some rows of the picture."""
    margin = TUNING.band_step  # splats and filters reach across the band's border
    begin, height = max(0, band.start - margin) * supersampling, (band.stop - band.start) * supersampling
    end = (band.stop + margin) * supersampling
    scale = max(picture_height / 1080, 0.25) * supersampling
    drawn = draw_splats(splats.in_rows(begin, end), (end - begin, width * supersampling))
    surface = close_gaps(drawn, max(1, round(TUNING.hole_px * scale)))
    shade = eye_dome_shade(surface.depth, TUNING.shading_radius_px * scale)
    part = slice(band.start * supersampling - begin, band.start * supersampling - begin + height)
    depth, shade = surface.depth[part], shade[part]
    is_covered = (depth < FAR).astype(np.uint8)
    planes = []
    for plane, level in zip(surface.colour, background, strict=True):
        filled = np.full(depth.shape, level, np.float32)
        cv2.copyTo(plane[part] * shade, is_covered, filled)
        planes.append(filled)
    size = (width, band.stop - band.start)
    image = cv2.resize(cv2.merge(planes), size, interpolation=cv2.INTER_AREA)
    nearest = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST).astype(np.float32, copy=False)
    return np.clip(image + np.float32(0.5), 0, 255).astype(np.uint8), nearest
