"""A partner with a wrong pose is found out, a right one is not."""

import numpy as np
import pytest
from layer_scene import depth, pose, view

from slam3r_ros.dense_depth.epipolar_check import corners_of, epipolar_error
from slam3r_ros.dense_depth.tuning import TUNING

REFERENCE = view(pose(0))
CORNERS = corners_of(REFERENCE)
GUESS = depth(pose(0)) * np.float32(1.1)


@pytest.mark.parametrize("true", [pose(0.15, 0.02), pose(-0.02, 0.15, 0.05, 0.02), pose(0.3)])
def test_a_right_pose_agrees(true: np.ndarray) -> None:
    assert epipolar_error(REFERENCE, CORNERS, view(true), GUESS) < TUNING.max_epipolar_share / 4


@pytest.mark.parametrize("wrong", [pose(0.15, 0.1), pose(0.15, 0.02, 0, 0.1), pose(-0.15), pose(0.02, 0.15)])
def test_a_wrong_pose_does_not(wrong: np.ndarray) -> None:
    moved = view(pose(0.15, 0.02)).placed(wrong)
    assert epipolar_error(REFERENCE, CORNERS, moved, GUESS) > TUNING.max_epipolar_share


def test_a_view_of_something_else_cannot_be_checked_and_is_not_used() -> None:
    assert epipolar_error(REFERENCE, CORNERS, view(pose(9.0)).placed(pose(0.1)), GUESS) > TUNING.max_epipolar_share


def test_an_image_without_texture_cannot_be_checked() -> None:
    grey = np.full_like(REFERENCE.grey, 90)
    plain = type(REFERENCE)(grey, REFERENCE.matrix, REFERENCE.T_world_camera)
    assert epipolar_error(plain, corners_of(plain), REFERENCE, GUESS) == float("inf")
