"""Scale from an AprilTag of known size, in images made of the tag by the camera's homography."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.metric_scale.tag_source import TagSource, triangulated
from slam3r_ros.types import ImageHeader

METRES_PER_UNIT, SIZE_M, TAG_ID = 0.6, 0.16, 23
CAMERA = Camera(640, 480, 520.0, 520.0, 321.0, 238.0)


def tag_texture(tag_id: int) -> NDArray[np.uint8]:
    """The tag with a white border of a quarter of its side: 8 cells of 40 pixels and 80 pixels on each side."""
    family = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
    marker = cv2.aruco.generateImageMarker(family, tag_id, 320)
    return cv2.copyMakeBorder(marker, 80, 80, 80, 80, cv2.BORDER_CONSTANT, value=255)


def image_from(T_tag_camera: Array, tag_ids: tuple[int, ...] = (TAG_ID,)) -> NDArray[np.uint8]:
    """The picture of tags on the plane z = 0, one tag's width beside another, from a camera in metres."""
    image = np.full((480, 640), 120, np.uint8)
    P = CAMERA.matrix @ invert_rigid(T_tag_camera)[:3]
    for number, tag_id in enumerate(tag_ids):
        metres = SIZE_M / 320
        texture_to_plane = np.array(
            [[metres, 0, (number - 0.75) * 1.6 * SIZE_M], [0, metres, -0.75 * SIZE_M], [0, 0, 1]]
        )
        H = P[:, [0, 1, 3]] @ texture_to_plane
        supersampled = np.diag([4.0, 4.0, 1.0]) @ H
        large = cv2.warpPerspective(tag_texture(tag_id), supersampled, (2560, 1920), borderValue=0)
        mask = cv2.warpPerspective(np.full((480, 480), 255, np.uint8), supersampled, (2560, 1920))
        warped = cv2.resize(large, (640, 480), interpolation=cv2.INTER_AREA)
        share = cv2.resize(mask, (640, 480), interpolation=cv2.INTER_AREA) / 255
        image = np.rint(warped * share + image * (1 - share)).astype(np.uint8)
    return np.dstack([image] * 3)


def camera_poses(count: int = 5, step: float = 0.15) -> list[Array]:
    """Poses (4, 4) in front of the tag in metres, 1.2 m away, that look at it while they move sideways."""
    poses = []
    for number in range(count):
        x = step * (number - (count - 1) / 2)
        poses.append(rigid(rotation_from_vector([0.02, -0.7 * x, 0.05]), [x, 0.05 * number, -1.2]))
    return poses


def view(number: int, T_tag_camera: Array, tag_ids: tuple[int, ...] = (TAG_ID,)) -> KeyframeView:
    T = T_tag_camera.copy()
    T[:3, 3] /= METRES_PER_UNIT
    image, depth = image_from(T_tag_camera, tag_ids), np.full((2, 2), np.nan, np.float32)
    return KeyframeView(number, 10 * number, ImageHeader(0, (480, 640)), T, CAMERA, image, depth, depth)


def test_the_sides_of_the_tag_give_the_scale_within_two_per_cent() -> None:
    source = TagSource(TAG_ID, SIZE_M)
    found = [source.add(view(number, T)) for number, T in enumerate(camera_poses())]
    assert found[:4] == [None] * 4
    observation = found[4]
    assert observation is not None and observation.index == 40
    assert math.exp(observation.log_ratio) == pytest.approx(METRES_PER_UNIT, rel=0.02)
    assert abs(observation.log_ratio - math.log(METRES_PER_UNIT)) < 3 * observation.sigma


def test_keyframes_are_used_once() -> None:
    source = TagSource(TAG_ID, SIZE_M)
    found = [source.add(view(number, T)) for number, T in enumerate(camera_poses(10, 0.08))]
    assert [number for number, each in enumerate(found) if each is not None] == [4, 9]


def test_a_keyframe_that_is_told_twice_counts_once() -> None:
    source = TagSource(TAG_ID, SIZE_M)
    found = [source.add(view(number, T)) for number, T in enumerate(camera_poses()) for _ in range(2)]
    assert found[:8] == [None] * 8 and found[8] is not None


def test_the_same_direction_gives_none_and_later_ones_do() -> None:
    source = TagSource(TAG_ID, SIZE_M)
    still = camera_poses(1)[0]
    assert all(source.add(view(number, still)) is None for number in range(6))
    assert any(source.add(view(number, T)) for number, T in enumerate(camera_poses()))


def test_another_tag_none_and_two_of_the_number_are_not_taken() -> None:
    source, T = TagSource(TAG_ID, SIZE_M), camera_poses(1)[0]
    assert source.find(view(0, T, (TAG_ID + 1,))) is None
    assert source.find(view(0, T, (TAG_ID, TAG_ID))) is None
    assert source.find(view(0, T, ())) is None
    assert source.find(view(0, T, (TAG_ID, TAG_ID + 1))) is not None


def test_a_tag_that_is_half_seen_is_not_taken() -> None:
    source, T = TagSource(TAG_ID, SIZE_M), camera_poses(1)[0].copy()
    T[0, 3] += 0.7  # its left edge is outside the picture
    assert source.find(view(0, T)) is None


def test_poses_that_do_not_fit_the_tag_are_refused() -> None:
    source, random = TagSource(TAG_ID, SIZE_M), np.random.default_rng(2)
    for number, T in enumerate(camera_poses()):
        wrong = view(number, T)
        wrong.T_world_camera[:3, 3] += random.normal(0, 0.1, 3)
        assert source.add(wrong) is None


def test_a_closed_loop_moves_the_views() -> None:
    source = TagSource(TAG_ID, SIZE_M)
    poses = camera_poses()
    for number, T in enumerate(poses[:4]):
        source.add(view(number, T))
    change = Sim3([2.0], rotation_from_vector([0.3, 0.1, -0.2])[None], [[1.0, -1.0, 0.5]])
    source.correct(MapCorrection(np.array([0]), change))
    last = view(4, poses[4])
    observation = source.add(last.corrected(MapCorrection(np.array([0]), change)))
    assert observation is not None
    assert math.exp(observation.log_ratio) == pytest.approx(METRES_PER_UNIT / 2, rel=0.02)


def test_triangulation_is_exact_without_noise() -> None:
    point, rays = np.array([0.3, -0.2, 4.0]), []
    for x in (0.0, 0.5, 1.0):
        T = rigid(rotation_from_vector([0.0, 0.1 * x, 0.0]), [x, 0.0, 0.0])
        in_camera = invert_rigid(T)[:3, :3] @ point + invert_rigid(T)[:3, 3]
        rays.append((T, in_camera[:2] / in_camera[2]))
    np.testing.assert_allclose(triangulated(rays), point, atol=1e-10)
