"""Intrinsics from the plain values of a sensor_msgs CameraInfo; nothing here needs ROS."""

from __future__ import annotations

from collections.abc import Sequence

from slam3r_ros.engine.camera import Camera, CameraError

_SAME_MODEL = {"": "plumb_bob", "fisheye": "equidistant"}


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
