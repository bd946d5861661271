"""CameraInfo's values to a camera: binning, regions, distortion, and what cannot be used."""

from __future__ import annotations

import pytest

from slam3r_ros.geometry.camera import CameraError
from slam3r_ros.io.camera_info import camera_from_info

K = [500.0, 0, 319.5, 0, 510.0, 239.5, 0, 0, 1]


def info(**changes):
    values = {"width": 640, "height": 480, "k": K, "d": [], "distortion_model": "plumb_bob"} | changes
    return camera_from_info(**values)


def test_plain():
    camera = info()
    assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == (
        640,
        480,
        500,
        510,
        319.5,
        239.5,
    )
    assert camera.distortion_model == "none" and not camera.is_distorted


@pytest.mark.parametrize("model", ["", "plumb_bob", "rational_polynomial", "something new"])
def test_coefficients_that_are_all_zero_are_no_distortion(model):
    assert info(d=[0.0] * 5, distortion_model=model).distortion_model == "none"


def test_distortion():
    assert info(d=[0.1, 0, 0, 0, 0], distortion_model="").distortion_model == "plumb_bob"
    assert info(d=[0.1] * 4, distortion_model="fisheye").distortion_model == "equidistant"
    assert info(d=[0.0] * 4, distortion_model="equidistant").is_distorted, "without coefficients it is still a fisheye"


def test_region_then_binning():
    camera = info(region=(100, 40, 400, 300), binning=(2, 2))
    assert (camera.width, camera.height, camera.fx, camera.fy) == (200, 150, 250, 255)
    assert camera.cx == pytest.approx((319.5 - 100 + 0.5) / 2 - 0.5)
    assert camera.cy == pytest.approx((239.5 - 40 + 0.5) / 2 - 0.5)
    assert info(binning=(0, 0)).width == 640


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"k": [0.0] * 9}, "uncalibrated"),
        ({"k": [float("nan")] * 9}, "finite"),
        ({"k": [1.0] * 4}, "expected 9 values, got 4"),
        ({"width": 0}, "size must be positive"),
        ({"d": [0.1] * 5, "distortion_model": "thin_prism"}, "'thin_prism' is unknown"),
        ({"d": [0.1] * 3}, "got 3"),
        ({"d": [float("nan")] * 5}, "finite"),
    ],
)
def test_what_cannot_be_used_is_named(changes, message):
    with pytest.raises(CameraError, match=message):
        info(**changes)
