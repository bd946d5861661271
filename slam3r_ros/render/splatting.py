"""Points to pixels: z-buffered splats whose size follows distance and spacing, in a pyramid of images.

Every point is drawn 3 x 3 pixels wide into that image of the pyramid in which its splat has about this size, so that
the work does not grow with the size of the splats. The depth buffer is the minimum over the 3 x 3 neighbours; the
colours of the points on the nearest surface are averaged with a smooth kernel, as in surface splatting (Botsch et al.,
"High-quality surface splatting on today's GPUs", 2005). The images are then merged from coarse to fine by depth, as
in Marroquim et al., "Reconstruction of point-based surfaces", 2007.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.render.cloud import SplatCloud
from slam3r_ros.render.tuning import TUNING
from slam3r_ros.render.views import View

Plane = NDArray[np.float32]
"""(height, width) values of an image."""
FAR = np.float32(1e30)
"""Depth of a pixel that nothing covers."""
_SQUARE = np.ones((3, 3), np.uint8)
_LEAST_WEIGHT = np.float32(1e-6)


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """What the points cover of an image."""

    colour: tuple[Plane, Plane, Plane]
    """Red, green and blue, 0 to 255; any value where nothing is."""
    depth: Plane
    """Distances from the camera; FAR where nothing is."""

    @classmethod
    def empty(cls, size: tuple[int, int]) -> Surface:
        """Nothing in an image of (height, width) pixels."""
        return cls(
            (np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros(size, np.float32)), np.full(size, FAR)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Splats:
    """Points on an image, where each is drawn and into which image of the pyramid."""

    pixels: NDArray[np.float32]
    """(N, 2) column and row, pixel centres at integers."""
    depths: NDArray[np.float32]
    """(N,) distances from the camera."""
    levels: NDArray[np.int8]
    """(N,) the image of the pyramid: each is half as large as the one before."""
    colours: NDArray[np.uint8]
    """(N, 3) RGB."""

    @classmethod
    def of(cls, cloud: SplatCloud, view: View) -> Splats:
        """The points of a cloud that a view shows."""
        height, width = view.size
        projected = view.project(cloud.points)
        columns, rows = projected.pixels.T
        depths = projected.depths
        inside = (depths > 0) & (columns > -0.5) & (columns < width - 0.5) & (rows > -0.5) & (rows < height - 0.5)
        if inside.any():
            inside &= depths > TUNING.nearest * np.float32(np.median(depths[inside]))
        chosen = np.flatnonzero(inside)
        chosen = chosen[_are_seen_from_before(cloud.points[chosen], cloud.normals[chosen], view)]
        widths = cloud.spacing[chosen] * projected.pixels_per_unit[chosen] * np.float32(TUNING.splat_overlap)
        levels = np.clip(np.ceil(np.log2(np.maximum(widths, 1e-6) / 3)), 0, TUNING.levels - 1).astype(np.int8)
        return cls(projected.pixels[chosen], depths[chosen], levels, cloud.colours[chosen])

    def in_rows(self, begin: int, end: int) -> Splats:
        """Those from one row to before another, with rows counted from the first of these."""
        rows = self.pixels[:, 1]
        part = np.flatnonzero((rows >= begin - 0.5) & (rows < end - 0.5))
        pixels = self.pixels[part] - np.array([0, begin], np.float32)
        return Splats(pixels, self.depths[part], self.levels[part], self.colours[part])


def _are_seen_from_before(points: NDArray[np.float32], normals: NDArray[np.float32], view: View) -> NDArray[np.bool_]:
    """(N,) whether points (N, 3) show the side that their normals (N, 3) point to; True where these are zero."""
    directions = view.directions(points)
    along = np.einsum("ni,ni->n", normals, directions)
    return along <= np.float32(TUNING.back_side) * np.linalg.norm(directions, axis=1)


def draw_splats(splats: Splats, size: tuple[int, int]) -> Surface:
    """The surface that points make in an image of (height, width) pixels."""
    if not len(splats.depths):
        return Surface.empty(size)
    surface: Surface | None = None
    for level in range(int(splats.levels.max()), -1, -1):
        step = 1 << level
        part_size = (-(-size[0] // step), -(-size[1] // step))
        drawn = _draw_level(splats, level, part_size)
        surface = drawn if surface is None else _merge(_enlarge(surface, part_size), drawn)
    assert surface is not None
    return surface


def _draw_level(splats: Splats, level: int, size: tuple[int, int]) -> Surface:
    """Draw the points of a level, 3 x 3 pixels each, into its image."""
    height, width = size
    part = np.flatnonzero(splats.levels == level)
    if not len(part):
        return Surface.empty(size)
    columns, rows = ((splats.pixels[part] + np.float32(0.5)) * np.float32(0.5**level)).astype(np.int64).T
    cells, depths = rows * width + columns, splats.depths[part]
    nearest = np.full(height * width, FAR, np.float32)
    np.minimum.at(nearest, cells, depths)
    depth = cv2.erode(nearest.reshape(size), _SQUARE)
    front = depths <= nearest[cells] * np.float32(1 + TUNING.surface_depth)
    front &= depths <= depth.ravel()[cells] * np.float32(1 + TUNING.splat_depth)
    cells, shown = cells[front], splats.colours[part[front]].astype(np.float32)

    def summed(values: NDArray[np.float32] | np.float32) -> Plane:
        sums = np.zeros(height * width, np.float32)
        np.add.at(sums, cells, values)
        return np.asarray(cv2.GaussianBlur(sums.reshape(size), (3, 3), 0.8))

    weight = summed(np.float32(1))
    is_covered, weight = weight > 0, np.maximum(weight, _LEAST_WEIGHT)
    red, green, blue = (np.divide(summed(shown[:, channel]), weight) for channel in range(3))
    return Surface((red, green, blue), np.where(is_covered, depth, FAR))


def _enlarge(surface: Surface, size: tuple[int, int]) -> Surface:
    """The same surface in an image of about twice the height and width: (height, width) pixels."""
    height, width = surface.depth.shape
    covered = (surface.depth < FAR).astype(np.float32)

    def enlarged(plane: Plane, interpolation: int = cv2.INTER_LINEAR) -> Plane:
        return np.asarray(cv2.resize(plane, (2 * width, 2 * height), interpolation=interpolation)[: size[0], : size[1]])

    share = enlarged(covered)
    is_covered, weight = share >= np.float32(0.5), np.maximum(share, _LEAST_WEIGHT)  # rounds the corners
    depth = enlarged(surface.depth, cv2.INTER_NEAREST)
    smooth = cv2.divide(enlarged(surface.depth * covered), weight)
    is_edge = (depth < FAR) & (cv2.absdiff(smooth, depth) > depth * np.float32(TUNING.splat_depth))
    red, green, blue = (np.divide(enlarged(plane * covered), weight) for plane in surface.colour)
    return Surface((red, green, blue), np.where(is_covered, np.where(is_edge, depth, smooth), FAR))


def _merge(coarse: Surface, fine: Surface) -> Surface:
    """The nearer of two surfaces at every pixel; the finer one where both are the same."""
    takes_fine = fine.depth <= coarse.depth * np.float32(1 + TUNING.surface_depth)
    takes_fine &= fine.depth < FAR
    mask = takes_fine.astype(np.uint8)
    for source, target in zip((*fine.colour, fine.depth), (*coarse.colour, coarse.depth), strict=True):
        cv2.copyTo(source, mask, target)
    return coarse
