"""The networks' crop: which part of an image it shows, its intrinsics, and where its pixels lie in the whole image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.camera import Camera


def covering_size(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The least (height, width) of an image's shape that covers ``size`` (height, width)."""
    scale = max(size[1] / width, size[0] / height)
    return max(size[0], round(height * scale)), max(size[1], round(width * scale))


def centre_corner(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """Top and left of the central ``size`` (height, width) of an image."""
    return height // 2 - size[0] // 2, width // 2 - size[1] // 2


def crop_camera(camera: Camera, size: tuple[int, int]) -> Camera:
    """Intrinsics of the networks' crop at ``size`` (height, width) of this camera's image."""
    height, width = covering_size(camera.height, camera.width, size)
    top, left = centre_corner(height, width, size)
    return camera.scaled(width, height).cropped(left, top, size[1], size[0])


@dataclass(frozen=True, slots=True)
class CropRegion:
    """The rectangle of a whole image that the networks' crop shows, in shares of the whole image's width and height.

    Shares hold at every size of the whole image and of the crop. Pixel centres are at integers, so the pixel (0, 0) of
    an image begins at the share 0 and has its centre at half a pixel.
    """

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def of(cls, image_size: tuple[int, int], crop_size: tuple[int, int]) -> CropRegion:
        """What the networks' crop at ``crop_size`` (height, width) shows of an image of ``image_size`` (height, width)
        pixels: the centre, after the image has been scaled until it just covers the crop."""
        height, width = covering_size(*image_size, crop_size)
        top, left = centre_corner(height, width, crop_size)
        return cls(left / width, top / height, crop_size[1] / width, crop_size[0] / height)

    def positions(self, pixels: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float64]:
        """(N, 2) positions in the crop, columns and rows as shares of its width and height, of pixels x, y (N, 2) of a
        whole image of that shape (height, width). Outside the crop they are below 0 or at least 1."""
        shares = (np.asarray(pixels, np.float64) + 0.5) / [shape[1], shape[0]]
        return np.asarray((shares - [self.left, self.top]) / [self.width, self.height])

    def pixels(self, cells: tuple[int, int], shape: tuple[int, ...]) -> NDArray[np.float32]:
        """(H, W, 2) pixels x, y, in a whole image of that shape (height, width), of the centres of ``cells`` = (H, W)
        equal cells of the crop, such as the pixels of a pointmap."""
        x, y = np.meshgrid((np.arange(cells[1]) + 0.5) / cells[1], (np.arange(cells[0]) + 0.5) / cells[0])
        columns, rows = (self.left + self.width * x) * shape[1], (self.top + self.height * y) * shape[0]
        return np.stack([columns - 0.5, rows - 0.5], axis=2).astype(np.float32)


WHOLE_IMAGE = CropRegion(0.0, 0.0, 1.0, 1.0)
"""The region of a crop that shows all of its image."""


def is_inside(positions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) which positions (N, 2), columns and rows as shares of a rectangle, lie in it."""
    return np.asarray(((positions >= 0) & (positions < 1)).all(axis=-1))
