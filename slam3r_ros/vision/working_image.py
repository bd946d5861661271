"""The working image: the whole undistorted image at the size at which the geometry of several views is computed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.vision.tuning import TUNING


@dataclass(frozen=True, slots=True, eq=False)
class WorkingImage:
    """The whole undistorted image of a camera, uncropped, with its intrinsics; pixel centres at integers."""

    image: NDArray[np.uint8]
    """(height, width, 3) RGB."""
    grey: NDArray[np.uint8]
    """(height, width) grey levels of ``image``."""
    camera: Camera | None
    """Pinhole intrinsics of ``image``; None where they are not known."""

    @classmethod
    def of(cls, image: NDArray[np.uint8], camera: Camera | None, max_side: int) -> WorkingImage:
        """The working image of an undistorted image (rows, columns, 3) RGB and its camera.

        An image whose longer side exceeds ``max_side`` pixels is made smaller, by the means of the areas that its
        pixels cover. One whose shorter side is less than `TUNING.min_working_side_px` is enlarged until it has that, as
        far as ``max_side`` allows, so that corners are as precise as in larger images. The shorter side is rounded to
        whole pixels, so that pixels may be out of square by half a pixel of the shorter side; the camera's two focal
        lengths have that exactly.
        """
        rows, columns = image.shape[:2]
        enlarged = max(1.0, TUNING.min_working_side_px / min(rows, columns))
        scale = min(enlarged, max_side / max(rows, columns))
        height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
        if (height, width) != (rows, columns):
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            image = np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)
            camera = None if camera is None else camera.scaled(width, height)
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        return cls(image, grey, camera)
