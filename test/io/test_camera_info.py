"""CameraInfo's values to a camera: binning, regions, distortion, and what cannot be used."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from slam3r_ros.geometry.camera import CameraError
from slam3r_ros.io.camera_info import camera_from_info, camera_of_size, skew_remark

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
    ("model", "given", "expected"),
    [
        ("equidistant", [0.1, 0.2, 0.3, 0.4, 0.0], (0.1, 0.2, 0.3, 0.4)),
        ("fisheye", [0.1, 0, 0, 0] + [0.0] * 10, (0.1, 0, 0, 0)),
        ("plumb_bob", [0.1, 0.2, 0.3, 0.4, 0, 0, 0, 0], (0.1, 0.2, 0.3, 0.4)),
        ("plumb_bob", [0.1, 0, 0, 0, 0.5, 0, 0, 0], (0.1, 0, 0, 0, 0.5)),
        ("rational_polynomial", [0.1, 0, 0, 0, 0.5], (0.1, 0, 0, 0, 0.5, 0, 0, 0)),
        ("rational_polynomial", [0.1] * 8 + [0.0] * 3, (0.1,) * 8),
        ("rational_polynomial", [0.1] * 9, (0.1,) * 9 + (0.0,) * 3),
    ],
)
def test_zeros_at_the_end_may_be_more_or_fewer(model, given, expected):
    assert info(d=given, distortion_model=model).distortion == expected


def test_fifth_coefficient_that_the_model_has_not_is_named():
    with pytest.raises(CameraError, match=r"equidistant takes \(4,\) coefficients, got 5"):
        info(d=[0.1] * 5, distortion_model="equidistant")


@pytest.mark.parametrize(
    ("size", "focal"), [((320, 240), 250), ((1280, 960), 1000), ((213, 160), 166.4), ((640, 480), 500)]
)
def test_image_of_another_size(size, focal):
    camera = camera_of_size(info(), *size)
    assert (camera.width, camera.height) == size and camera.fx == pytest.approx(focal, rel=1e-3)


@pytest.mark.parametrize("size", [(640, 400), (480, 640), (320, 320)])
def test_image_of_another_shape_has_another_camera(size):
    assert camera_of_size(info(), *size) is None


def test_skew_is_remarked_on():
    skewed = [500.0, 2.5, 319.5, 0, 510.0, 239.5, 0, 0, 1]
    message = SimpleNamespace(k=skewed, p=[0.0] * 12)
    assert "skew of 2.5 pixels in K" in skew_remark(message, rectified=False)
    assert skew_remark(message, rectified=True) is None
    assert skew_remark(SimpleNamespace(k=K, p=[]), rectified=True) is None


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
