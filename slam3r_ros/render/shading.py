"""What makes a surface of splats readable: gaps are closed, and edges in depth are darkened."""

from __future__ import annotations

import cv2
import numpy as np

from slam3r_ros.render.splatting import FAR, Plane, Surface
from slam3r_ros.render.tuning import TUNING

_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))
"""The neighbours that eye-dome lighting looks at: column and row."""


def close_gaps(surface: Surface, half_width: int) -> Surface:
    """Fill what is uncovered, or shows what lies behind, in gaps of a surface up to twice `half_width` pixels wide.

    A pixel is in a gap where a closing (dilation, then erosion) of the surface brings it nearer than it is; it takes
    the mean colour of the surface around it.
    """
    side = 2 * half_width + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    near = cv2.dilate(cv2.erode(surface.depth, kernel), kernel)  # of depths, erosion is what makes the surface larger
    is_gap = surface.depth > near * np.float32(1 + 2 * TUNING.surface_depth)
    mask = is_gap.astype(np.uint8)
    around = (side + 2, side + 2)
    kept = (~is_gap & (surface.depth < FAR)).astype(np.float32)
    weight = np.maximum(cv2.blur(kept, around), np.float32(1e-6))
    for plane in surface.colour:
        cv2.copyTo(cv2.divide(cv2.blur(plane * kept, around), weight), mask, plane)
    cv2.copyTo(near, mask, surface.depth)
    return surface


def eye_dome_shade(depth: Plane, radius: float) -> Plane:
    """Factors up to 1 of the light of each pixel: small where neighbours are nearer (eye-dome lighting, Boucheny,
    "Interactive scientific visualization of large datasets", 2009). `radius` in pixels."""
    step = max(1, round(radius))
    logs = cv2.medianBlur(cv2.log(depth), 5)  # noise would be drawn as dirt
    padded = cv2.copyMakeBorder(logs, step, step, step, step, cv2.BORDER_REPLICATE)
    height, width = depth.shape
    occlusion = np.zeros_like(depth)
    for column, row in _DIRECTIONS:
        left, top = step * (1 + column), step * (1 + row)
        difference = cv2.subtract(logs, padded[top : top + height, left : left + width])
        occlusion += np.clip(difference, 0, np.float32(TUNING.shaded_step), out=difference)
    shade = cv2.exp(cv2.blur(occlusion, (3, 3)) * np.float32(-TUNING.shading_strength))
    return np.asarray(np.maximum(shade, np.float32(TUNING.darkest)))
