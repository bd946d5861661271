"""The networks' crop as a part of the whole image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from slam3r_ros.engine.encoder import resize_and_crop
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.crop import CropRegion, crop_camera, is_inside


def test_the_crop_of_a_wide_image_is_its_centre_square() -> None:
    region = CropRegion.of((480, 640), (112, 112))
    height, width = 112, 149  # the least size of the image's shape that covers the crop
    np.testing.assert_allclose(
        [region.left, region.top, region.width, region.height], [18 / width, 0, 112 / width, 112 / height]
    )


@pytest.mark.parametrize("size", [(480, 640), (674, 364), (720, 1280), (224, 224), (101, 333)])
@pytest.mark.parametrize("working", [(480, 640), (135, 240)])
def test_a_pixel_of_the_crop_sees_the_ray_of_its_place_in_the_whole_image(
    size: tuple[int, int], working: tuple[int, int]
) -> None:
    """The crop's camera and that of the whole image, at any size, agree on the rays of the crop's pixels."""
    camera = Camera(size[1], size[0], 300.0, 310.0, size[1] * 0.47, size[0] * 0.52)
    crop, whole = crop_camera(camera, (112, 112)), camera.scaled(working[1], working[0])
    pixels = CropRegion.of(size, (112, 112)).pixels((112, 112), working)
    columns, rows = np.meshgrid(np.arange(112), np.arange(112))
    by_crop = np.stack([(columns - crop.cx) / crop.fx, (rows - crop.cy) / crop.fy], axis=2)
    by_whole = (pixels - [whole.cx, whole.cy]) / [whole.fx, whole.fy]
    np.testing.assert_allclose(by_whole, by_crop, atol=1e-5)


def test_positions_and_pixels_are_inverse_and_say_what_lies_outside() -> None:
    region = CropRegion.of((480, 640), (112, 112))
    there = region.positions(region.pixels((4, 8), (240, 320)).reshape(-1, 2), (240, 320))
    x, y = np.meshgrid((np.arange(8) + 0.5) / 8, (np.arange(4) + 0.5) / 4)
    np.testing.assert_allclose(there, np.column_stack([x.ravel(), y.ravel()]), atol=1e-6)
    pixels = np.array([[0.0, 120.0], [38.0, 120.0], [39.0, 120.0], [159.5, 0.0], [278.0, 239.0], [280.0, 120.0]])
    inside = is_inside(region.positions(pixels, (240, 320)))
    assert inside.tolist() == [False, False, True, True, True, False]  # the crop begins at 18/149 of 320: 38.7


def test_a_dot_lies_in_the_crop_where_its_region_has_it() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    cv2.circle(image, (420, 150), 9, (255, 255, 255), -1)
    crop = resize_and_crop(image, (112, 112))[..., 0].astype(float)
    rows, columns = np.mgrid[:112, :112]
    found = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
    expected = CropRegion.of((480, 640), (112, 112)).positions(np.array([[420.0, 150.0]]), (480, 640))[0] * 112 - 0.5
    np.testing.assert_allclose(found, expected, atol=0.05)
