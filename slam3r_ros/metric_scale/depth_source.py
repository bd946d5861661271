"""Scale from a depth image in metres, of a depth camera, a stereo camera or a metric depth network."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.loop_closure.scale_edges import ScaleObservation
from slam3r_ros.metric_scale.tuning import TUNING


def depth_observation(
    view: KeyframeView, depth_m: NDArray[np.float32], camera: Camera, T_camera_sensor: Array
) -> ScaleObservation | None:
    """Compare a keyframe's depth with the depth image of a sensor.

    ``depth_m`` (h, w) are the sensor's depths along its optical axis in metres, 0 or NaN where there is none;
    ``camera`` its pinhole intrinsics; ``T_camera_sensor`` (4, 4) takes its points to the keyframe's camera, the
    identity where the depth image is registered to it. Every pixel of the sensor is looked up in the keyframe. None
    where too few pixels have both depths, or where their ratios scatter so much that the two do not show the same.

    Raises ValueError where the sizes of depth image and intrinsics differ.
    """
    if depth_m.shape != (camera.height, camera.width):
        size = f"{depth_m.shape[1]} x {depth_m.shape[0]}"
        raise ValueError(f"depth image of {size} pixels, its camera_info is for {camera.width} x {camera.height}")
    valid = np.isfinite(depth_m) & (depth_m >= TUNING.min_depth_m) & (depth_m <= TUNING.max_depth_m)
    rows, columns = np.nonzero(valid)
    z = depth_m[rows, columns].astype(np.float64)
    in_sensor = np.stack([(columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z, z], axis=1)
    x, y, z = (in_sensor @ T_camera_sensor[:3, :3].T + T_camera_sensor[:3, 3]).T
    seen, (height, width) = view.depth_camera, view.depth.shape
    in_front = z > 0
    x, y, z = x[in_front], y[in_front], z[in_front]
    column = np.rint(seen.fx * x / z + seen.cx).astype(np.int64)
    row = np.rint(seen.fy * y / z + seen.cy).astype(np.int64)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    of_view = view.depth[row[inside], column[inside]].astype(np.float64)
    usable = np.isfinite(of_view) & (of_view > 0)
    if usable.sum() < TUNING.min_depth_pixels:
        return None
    ratios = np.log(z[inside][usable] / of_view[usable])
    middle = float(np.median(ratios))
    spread = float(np.median(np.abs(ratios - middle))) / 0.6745
    if spread > TUNING.max_depth_spread:
        return None
    sigma = math.hypot(TUNING.depth_sigma, spread / math.sqrt(TUNING.min_depth_pixels))
    return ScaleObservation(view.index, middle, sigma)
