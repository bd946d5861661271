"""Which way is up: the floor of a keyframe, directions that agree, and the turn that follows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.levelling.correction import levelling
from slam3r_ros.levelling.floor_plane import floor_normal
from slam3r_ros.levelling.tuning import TUNING
from slam3r_ros.levelling.up_estimate import UpEstimate
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.types import ImageHeader

CAMERA = Camera(96, 72, 60.0, 60.0, 47.5, 35.5)
UP = np.array([0.0, -1.0, 0.0])


def room_depth(tilt: Array, *, height: float = 1.2, wall: float = 4.0, floor: bool = True) -> NDArray[np.float32]:
    """(72, 96) depths of a camera turned by a rotation vector (3,), ``height`` above a floor, ``wall`` before a
    wall."""
    columns, rows = np.meshgrid(np.arange(96), np.arange(72))
    rays = np.dstack([(columns - CAMERA.cx) / CAMERA.fx, (rows - CAMERA.cy) / CAMERA.fy, np.ones(rows.shape)])
    in_room = rays @ rotation_from_vector(tilt).T
    down, forward = in_room[..., 1], in_room[..., 2]
    to_floor = np.where((down > 0) & floor, height / np.maximum(down, 1e-9), np.inf)
    to_wall = np.where(forward > 0, wall / np.maximum(forward, 1e-9), np.inf)
    depth = np.minimum(to_floor, to_wall)
    return np.where(depth < 50, depth, np.nan).astype(np.float32)


def view(depth: NDArray[np.float32], T: Array | None = None, number: int = 0) -> KeyframeView:
    image, header = np.zeros((72, 96, 3), np.uint8), ImageHeader(0, (72, 96))
    return KeyframeView(
        number, number, header, np.eye(4) if T is None else T, CAMERA, image, depth, np.ones_like(depth)
    )


def angle(first: Array, second: Array) -> float:
    return float(np.arccos(np.clip(first @ second / np.linalg.norm(first) / np.linalg.norm(second), -1, 1)))


@pytest.mark.parametrize("tilt", [[-0.3, 0, 0], [-0.6, 0.0, 0.0], [-0.4, 0.0, 0.2], [-0.2, 0.0, -0.3]])
def test_the_floor_of_a_tilted_camera(tilt: list[float]) -> None:
    rotation = rotation_from_vector(tilt)
    T = rigid(rotation_from_vector([0.0, 1.0, 0.2]), [1.0, 2.0, 3.0])
    depth = room_depth(np.array(tilt))
    depth += np.random.default_rng(0).normal(0, 0.01, depth.shape).astype(np.float32) * depth
    found = floor_normal(view(depth, T))
    assert found is not None
    assert angle(found, T[:3, :3] @ (rotation.T @ UP)) < 0.02


@pytest.mark.parametrize("tilt", [0.0, 0.3, 0.6])
def test_a_camera_that_looks_up_at_a_wall_sees_no_floor(tilt: float) -> None:
    assert floor_normal(view(room_depth(np.array([tilt, 0.0, 0.0]), floor=False))) is None


def test_a_table_before_a_deeper_floor_does_not_tilt_it_and_without_depth_there_is_none() -> None:
    assert floor_normal(view(np.full((72, 96), np.nan, np.float32))) is None
    depth = room_depth(np.array([-0.6, 0.0, 0.0]))
    table = depth.copy()
    near = room_depth(np.array([-0.6, 0.0, 0.0]), height=0.6)
    table[40:, 10:86] = near[40:, 10:86]  # the table fills the middle, the floor the edges
    found = floor_normal(view(table))
    # Both are level; a plane with points below it is not taken, so what is found is the floor's direction all the same.
    assert found is None or angle(found, rotation_from_vector([-0.6, 0.0, 0.0]).T @ UP) < 0.03


def test_directions_that_agree_outvote_others() -> None:
    estimate, random = UpEstimate(), np.random.default_rng(1)
    true = np.array([0.3, -0.9, 0.1])
    for number in range(20):
        wild = number % 4 == 0
        estimate.add(number, random.normal(0, 1, 3) if wild else true + random.normal(0, 0.02, 3))
    assert estimate.direction is not None and angle(estimate.direction, true) < 0.02


def test_few_or_contradicting_directions_say_nothing() -> None:
    estimate, random = UpEstimate(), np.random.default_rng(1)
    for number in range(TUNING.min_observations - 1):
        estimate.add(number, UP)
    estimate.add(9, np.zeros(3))
    estimate.add(9, np.full(3, np.nan))
    assert estimate.direction is None
    estimate.add(10, UP)
    assert estimate.direction is not None
    estimate.clear()
    for number in range(50):
        estimate.add(number, random.normal(0, 1, 3))
    assert estimate.direction is None


@pytest.mark.parametrize("up", [[0.0, -1.0, 0.0], [0.3, -0.9, 0.1], [0.0, -0.7, -0.7], [0.0, 1.0, 0.0]])
def test_the_turn_makes_the_map_upright_and_keeps_the_origin(up: list[float]) -> None:
    direction = np.array(up) / np.linalg.norm(up)
    correction = levelling(direction)
    if up == [0.0, -1.0, 0.0]:
        assert correction is None
        return
    assert correction is not None
    change = correction.newest
    np.testing.assert_allclose(change.rotation @ direction, UP, atol=1e-12)
    np.testing.assert_allclose(change.apply(np.zeros((1, 3))), 0, atol=1e-12)
    forward = change.rotation @ np.array([0.0, 0.0, 1.0])
    if abs(up[0]) < 0.1 and up[1] < 0:
        assert abs(forward[0]) < 1e-9 and forward[2] > 0  # a camera that looks down still looks ahead


def test_after_the_turn_the_estimate_is_upright() -> None:
    estimate, up = UpEstimate(), np.array([0.2, -0.9, 0.3])
    for number in range(10):
        estimate.add(number, up)
    assert estimate.direction is not None
    correction = levelling(estimate.direction)
    assert correction is not None
    estimate.correct(correction)
    assert estimate.direction is not None and levelling(estimate.direction) is None
    half = Sim3(np.ones(2), np.stack([np.eye(3), rotation_from_vector([1.0, 0.0, 0.0])]), np.zeros((2, 3)))
    estimate.correct(MapCorrection(np.array([0, 8]), half))
    assert estimate.direction is not None and angle(estimate.direction, UP) < 0.01  # eight of ten have stayed
