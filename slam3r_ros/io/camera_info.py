"""Intrinsics from the plain values of a sensor_msgs CameraInfo; nothing here needs ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from slam3r_ros.geometry.camera import Camera, CameraError

_SAME_MODEL = {"": "plumb_bob", "fisheye": "equidistant"}


class CameraInfoMessage(Protocol):
    """The fields of a sensor_msgs/CameraInfo, whoever deserialised it."""

    width: int
    height: int
    distortion_model: str
    d: Any
    k: Any
    r: Any
    p: Any
    binning_x: int
    binning_y: int
    roi: Any


@dataclass(frozen=True, slots=True)
class Rectification:
    """What a CameraInfo says of the image that rectification makes."""

    camera: Camera
    """That image's, from P; without distortion."""
    rotation: tuple[float, ...]
    """(9,) R, row by row: from the axes of the camera to that image's."""


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
    (0 is 1). Raises CameraError for what cannot be used: zeros (an uncalibrated camera), NaN, an unknown model.
    """
    if len(k) != 9:
        raise CameraError(f"camera_info.k: expected 9 values, got {len(k)}")
    coefficients = tuple(float(value) for value in d)
    model = _SAME_MODEL.get(distortion_model, distortion_model)
    if not any(coefficients) and model != "equidistant":
        model, coefficients = "none", ()
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
