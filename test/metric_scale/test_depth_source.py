"""Scale from a depth image in metres."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid, rotation_from_vector
from slam3r_ros.metric_scale.depth_source import depth_observation
from slam3r_ros.types import ImageHeader

METRES_PER_UNIT = 1.7
SEEN = Camera(80, 60, 70.0, 72.0, 39.0, 30.5)
SENSOR = Camera(160, 120, 130.0, 131.0, 80.0, 58.0)
IDENTITY = np.eye(4)


def plane_depth(camera: Camera, T_plane_camera: Array) -> NDArray[np.float32]:
    """(height, width) depths in metres of the slanted plane ``n . x = d``, seen from ``T_plane_camera`` (4, 4)."""
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.dstack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(rows.shape)])
    normal, distance = np.array([0.3, -0.2, 1.0]), 3.0
    in_plane = rays @ T_plane_camera[:3, :3].T
    return ((distance - normal @ T_plane_camera[:3, 3]) / (in_plane @ normal)).astype(np.float32)


def view(depth: NDArray[np.float32] | None = None) -> KeyframeView:
    depth = plane_depth(SEEN, IDENTITY) / np.float32(METRES_PER_UNIT) if depth is None else depth
    image = np.zeros((60, 80, 3), np.uint8)
    return KeyframeView(0, 7, ImageHeader(0, (60, 80)), IDENTITY, SEEN, image, depth, np.ones_like(depth))


def test_a_registered_depth_image_of_another_size() -> None:
    found = depth_observation(view(), plane_depth(SENSOR, IDENTITY), SENSOR, IDENTITY)
    assert found is not None and found.index == 7
    assert math.exp(found.log_ratio) == pytest.approx(METRES_PER_UNIT, rel=0.003)
    assert 0.02 < found.sigma < 0.05


def test_a_depth_camera_beside_the_colour_camera() -> None:
    T_camera_sensor = rigid(rotation_from_vector([0.02, -0.1, 0.03]), [0.1, 0.02, -0.05])
    found = depth_observation(view(), plane_depth(SENSOR, T_camera_sensor), SENSOR, T_camera_sensor)
    assert found is not None
    assert math.exp(found.log_ratio) == pytest.approx(METRES_PER_UNIT, rel=0.005)
    wrong = depth_observation(view(), plane_depth(SENSOR, T_camera_sensor), SENSOR, invert_rigid(T_camera_sensor))
    assert wrong is None or abs(wrong.log_ratio - math.log(METRES_PER_UNIT)) > 0.02


def test_zeros_and_nan_are_no_depths_and_a_third_of_outliers_does_not_matter() -> None:
    depth = plane_depth(SENSOR, IDENTITY)
    random = np.random.default_rng(0)
    depth[random.random(depth.shape) < 0.2] = 0
    depth[random.random(depth.shape) < 0.2] = np.nan
    depth[random.random(depth.shape) < 0.2] = -1
    depth[random.random(depth.shape) < 0.3] *= 2
    found = depth_observation(view(), depth, SENSOR, IDENTITY)
    assert found is not None
    assert math.exp(found.log_ratio) == pytest.approx(METRES_PER_UNIT, rel=0.02)


@pytest.mark.parametrize("value", [0.0, math.nan, 100.0])
def test_a_depth_image_without_usable_depths_says_nothing(value: float) -> None:
    assert depth_observation(view(), np.full((120, 160), value, np.float32), SENSOR, IDENTITY) is None


def test_a_keyframe_without_depths_says_nothing() -> None:
    unknown = np.full((60, 80), np.nan, np.float32)
    assert depth_observation(view(unknown), plane_depth(SENSOR, IDENTITY), SENSOR, IDENTITY) is None


def test_images_that_show_different_things_are_refused() -> None:
    random = np.random.default_rng(0)
    depth = random.uniform(0.5, 9, (120, 160)).astype(np.float32)
    assert depth_observation(view(), depth, SENSOR, IDENTITY) is None


def test_intrinsics_of_another_size_are_an_error() -> None:
    with pytest.raises(ValueError, match="depth image of 80 x 60 pixels, its camera_info is for 160 x 120"):
        depth_observation(view(), plane_depth(SEEN, IDENTITY), SENSOR, IDENTITY)
