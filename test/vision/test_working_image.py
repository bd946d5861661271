"""The whole image at the size at which the geometry of several views is computed."""

from __future__ import annotations

import numpy as np
import pytest

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.vision.working_image import WorkingImage


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (480, 640)),
        ((720, 1280), (360, 640)),
        ((1280, 720), (640, 360)),
        ((60, 80), (224, 299)),
        ((30, 600), (32, 640)),
    ],
)
def test_large_images_are_made_smaller_and_small_ones_larger(size: tuple[int, int], expected: tuple[int, int]) -> None:
    image = np.full((*size, 3), (10, 200, 30), np.uint8)
    working = WorkingImage.of(image, None, 640)
    assert working.image.shape == (*expected, 3) and working.grey.shape == expected
    assert (working.image == (10, 200, 30)).all() and working.camera is None
    assert (working.grey == round(0.299 * 10 + 0.587 * 200 + 0.114 * 30)).all()


def test_an_image_that_is_small_enough_is_not_copied() -> None:
    image, camera = np.zeros((480, 640, 3), np.uint8), Camera(640, 480, 500.0, 500.0, 320.0, 240.0)
    working = WorkingImage.of(image, camera, 640)
    assert working.image is image and working.camera is camera


def test_a_dot_lies_where_the_working_images_camera_projects_it() -> None:
    camera, point = Camera(1280, 720, 900.0, 905.0, 633.0, 366.0), np.array([0.2, -0.1, 1.0])
    u, v = (camera.matrix @ point)[:2]
    y, x = np.mgrid[:720, :1280]
    dot = 255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 6.0**2))
    working = WorkingImage.of(np.repeat(dot[..., None], 3, axis=2).astype(np.uint8), camera, 500)
    assert working.camera is not None and working.grey.shape == (281, 500)
    rows, columns = np.mgrid[:281, :500]
    found = np.array([(working.grey * columns).sum(), (working.grey * rows).sum()]) / working.grey.sum()
    np.testing.assert_allclose(found, (working.camera.matrix @ point)[:2], atol=0.05)
