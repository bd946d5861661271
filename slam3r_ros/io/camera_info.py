"""Camera intrinsics from the plain values of a sensor_msgs CameraInfo; nothing here needs ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from slam3r_ros.geometry.camera import DISTORTION_LENGTHS, Camera, CameraError

_SAME_MODEL = {"": "plumb_bob", "fisheye": "equidistant", "radtan": "plumb_bob"}
"""Other names of distortion models, as drivers and calibration programs write them."""
_LEAST_COEFFICIENTS = {"rational_polynomial": 4}
"""The coefficients of these models may be fewer than OpenCV's; those that are missing are 0."""
_LEAST_SKEW = 1e-6
"""A skew below this, in pixels, is a rounding error."""


class CameraInfoMessage(Protocol):
    """The fields of a sensor_msgs/CameraInfo, whoever deserialised it."""

    width: int
    """The width of the full sensor's image, pixels."""
    height: int
    """The height of the full sensor's image, pixels."""
    distortion_model: str
    """The lens model, by the names of sensor_msgs/distortion_models."""
    d: Any
    """The coefficients of that model."""
    k: Any
    """(9,) The intrinsic matrix of the image as it is taken, row by row."""
    r: Any
    """(9,) The rotation from the camera's axes to those of the rectified image, row by row."""
    p: Any
    """(12,) The projection matrix of the rectified image, row by row."""
    binning_x: int
    """The number of the sensor's pixels that became one across; 0 means 1."""
    binning_y: int
    """The number of the sensor's pixels that became one down; 0 means 1."""
    roi: Any
    """The region of the sensor that was read out; of width 0 it is the whole."""


@dataclass(frozen=True, slots=True)
class Rectification:
    """What a CameraInfo says of the image that rectification makes."""

    camera: Camera
    """The pinhole camera of the rectified image, from P; it has no distortion."""
    rotation: tuple[float, ...]
    """(9,) The rotation R, row by row, from the axes of the camera to those of the rectified image."""


def camera_from_message(message: CameraInfoMessage, *, rectified: bool) -> Camera:
    """The camera that a CameraInfo describes: K with distortion, or P without for rectified images.

    Raises CameraError naming the value that cannot be used.
    """
    p, region = message.p, message.roi
    k, d = (message.k, message.d) if not rectified else ([p[0], 0, p[2], 0, p[5], p[6], 0, 0, 1], ())
    return camera_from_info(
        width=message.width,
        height=message.height,
        k=k,
        d=d,
        distortion_model=message.distortion_model if not rectified else "",
        binning=(message.binning_x, message.binning_y),
        region=(region.x_offset, region.y_offset, region.width, region.height),
    )


def skew_remark(message: CameraInfoMessage, *, rectified: bool) -> str | None:
    """What a user should know of intrinsics whose pixels are not rectangular (Hartley and Zisserman, section 6.2.4):
    their skew is left out. None without skew."""
    values = message.p if rectified else message.k
    skew = float(values[1]) if len(values) > 1 else 0.0
    if not abs(skew) > _LEAST_SKEW:
        return None
    return f"the skew of {skew:g} pixels in {'P' if rectified else 'K'} is taken as 0: cameras have none as a rule"


def camera_of_size(camera: Camera, width: int, height: int) -> Camera | None:
    """The camera of the same image at another size, such as half or double; None if the size has another shape.

    A side may differ by the pixel that rounding takes.
    """
    if (camera.width, camera.height) == (width, height):
        return camera
    if abs(camera.width * height - camera.height * width) <= max(camera.width, camera.height):
        return camera.scaled(width, height)
    return None


def rectification_from_message(message: CameraInfoMessage) -> Rectification | None:
    """What a CameraInfo says of the rectified image; None where its P cannot be used, such as zeros."""
    try:
        camera = camera_from_message(message, rectified=True)
    except CameraError:
        return None
    return Rectification(camera, tuple(float(value) for value in message.r))


def camera_from_info(
    *,
    width: int,
    height: int,
    k: Sequence[float],
    d: Sequence[float],
    distortion_model: str,
    binning: tuple[int, int] = (1, 1),
    region: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> Camera:
    """The camera of an image that comes with a CameraInfo of these values.

    ``width`` x ``height`` are the full sensor's pixels, ``k`` the 9 values of the intrinsic matrix row by row, ``d``
    the distortion coefficients (none, or all zero, for none). ``region`` is the part that was read out (left, top,
    width, height, in pixels of the full sensor; width 0 is all of it), ``binning`` how many pixels then became one
    (0 is 1). Zeros at the end of ``d`` may be more or fewer than the model has. Raises CameraError for what cannot be
    used: zeros (an uncalibrated camera), NaN, an unknown model.
    """
    if len(k) != 9:
        raise CameraError(f"camera_info.k: expected 9 values, got {len(k)}")
    coefficients = tuple(float(value) for value in d)
    model = _SAME_MODEL.get(distortion_model, distortion_model)
    if not any(coefficients) and model != "equidistant":
        model, coefficients = "none", ()
    coefficients = _of_usual_length(model, coefficients)
    camera = Camera(
        width,
        height,
        float(k[0]),
        float(k[4]),
        float(k[2]),
        float(k[5]),
        distortion_model=model,
        distortion=coefficients,
    )
    left, top, region_width, region_height = region
    if region_width > 0 and region_height > 0:
        camera = camera.cropped(left, top, region_width, region_height)
    across, down = max(binning[0], 1), max(binning[1], 1)
    if (across, down) != (1, 1):
        camera = camera.scaled(camera.width // across, camera.height // down)
    return camera


def _of_usual_length(model: str, coefficients: tuple[float, ...]) -> tuple[float, ...]:
    """The coefficients with as many zeros at their end as make the model's number of them, where that is possible."""
    lengths = DISTORTION_LENGTHS.get(model, ())
    if len(coefficients) in lengths:
        return coefficients
    needed = max((place + 1 for place, value in enumerate(coefficients) if value), default=0)
    may_be_short = len(coefficients) >= _LEAST_COEFFICIENTS.get(model, len(coefficients) + 1)
    usable = [n for n in lengths if n >= needed and (n <= len(coefficients) or may_be_short)]
    return (*coefficients, *[0.0] * min(usable))[: min(usable)] if usable else coefficients
