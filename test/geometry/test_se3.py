"""Rigid transforms as properties: what must hold for any rotation and translation."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slam3r_ros.geometry.se3 import (
    cross_matrix,
    invert_rigid,
    nearest_rotation,
    orthonormal,
    quat_xyzw_from_rotation,
    rigid,
    rotation_from_quat_xyzw,
    rotation_from_vector,
    transform_points,
    vector_from_rotation,
)

few = settings(max_examples=40, deadline=None, derandomize=True)
component = st.floats(-1, 1, allow_nan=False)
quaternions = st.tuples(component, component, component, component).filter(lambda q: np.linalg.norm(q) > 0.1)
translations = st.tuples(*[st.floats(-100, 100)] * 3)


@few
@given(quaternions)
def test_quaternion_and_rotation_are_inverse_of_each_other(quat):
    rotation = rotation_from_quat_xyzw(quat)
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    back = quat_xyzw_from_rotation(rotation)
    assert back[3] >= 0 and np.linalg.norm(back) == pytest.approx(1)
    assert np.allclose(rotation_from_quat_xyzw(back), rotation, atol=1e-12)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("angle", [0.0, 1e-9, math.pi / 2, math.pi - 1e-9, math.pi])
def test_quaternion_of_known_rotations(axis, angle):
    expected = np.zeros(4)
    expected[axis], expected[3] = math.sin(angle / 2), math.cos(angle / 2)
    assert np.allclose(np.abs(quat_xyzw_from_rotation(rotation_from_quat_xyzw(expected))), np.abs(expected), atol=1e-12)


def test_quaternion_order_is_xyzw_and_turns_the_right_way():
    quarter_turn_about_z = [0, 0, math.sqrt(0.5), math.sqrt(0.5)]
    assert np.allclose(rotation_from_quat_xyzw(quarter_turn_about_z) @ [1, 0, 0], [0, 1, 0])


@pytest.mark.parametrize("bad", [[0, 0, 0, 0], [np.nan, 0, 0, 1], [1, 0, 0], [np.inf, 0, 0, 1]])
def test_bad_quaternion_is_refused(bad):
    with pytest.raises(ValueError, match="quaternion"):
        rotation_from_quat_xyzw(bad)


@few
@given(quaternions, translations)
def test_rigid_inverse(quat, translation):
    transform = rigid(rotation_from_quat_xyzw(quat), translation)
    assert np.allclose(invert_rigid(transform) @ transform, np.eye(4), atol=1e-10)
    points = np.random.default_rng(0).normal(size=(5, 7, 3))
    assert np.allclose(transform_points(invert_rigid(transform), transform_points(transform, points)), points)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-8, 1e-4, 0.3, 2.0, 3.0, np.pi - 1e-4, np.pi - 1e-8])
def test_rotation_vectors_are_as_opencv_has_them_and_come_back(angle):
    vectors = np.random.default_rng(0).normal(size=(20, 3))
    vectors *= angle / np.linalg.norm(vectors, axis=1, keepdims=True)
    rotations = rotation_from_vector(vectors)
    assert rotations.shape == (20, 3, 3)
    for vector, rotation in zip(vectors, rotations, strict=True):
        assert np.allclose(rotation, cv2.Rodrigues(vector)[0], atol=1e-12)
        assert np.array_equal(rotation, rotation_from_vector(vector))
    assert np.allclose(vector_from_rotation(rotations), vectors, atol=1e-14 if angle < 1e-3 else 1e-7)
    assert np.allclose(vector_from_rotation(rotations[0]), vectors[0], atol=1e-14 if angle < 1e-3 else 1e-7)


def test_no_rotation_vector_is_no_rotation():
    assert rotation_from_vector(np.empty((0, 3))).shape == (0, 3, 3)
    assert vector_from_rotation(np.empty((0, 3, 3))).shape == (0, 3)


def test_the_cross_matrix_is_the_derivative_of_the_rotation():
    a, b = np.random.default_rng(0).normal(size=(2, 5, 3))
    assert np.allclose(np.einsum("nij,nj->ni", cross_matrix(a), b), np.cross(a, b))
    assert np.allclose((rotation_from_vector(1e-7 * a) - np.eye(3)) / 1e-7, cross_matrix(a), atol=1e-6)


def test_the_nearest_rotation_of_a_rotation_is_itself_and_of_a_reflection_is_a_rotation():
    rotation = rotation_from_vector([0.3, -1.0, 2.0])
    assert np.allclose(nearest_rotation(2.5 * rotation), rotation, atol=1e-14)
    assert np.linalg.det(nearest_rotation(rotation @ np.diag([1.0, 1, -0.3]))) == pytest.approx(1)
    T = rigid(rotation + 1e-3, [1.0, 2, 3])
    assert np.allclose(orthonormal(T)[:3, :3] @ orthonormal(T)[:3, :3].T, np.eye(3), atol=1e-14)
    assert np.array_equal(orthonormal(T)[:3, 3], [1, 2, 3])


def test_rigid_takes_one_or_many():
    rotations, translations_ = rotation_from_vector(np.random.default_rng(1).normal(size=(2, 3, 3))), np.ones((2, 3, 3))
    stacked = rigid(rotations, translations_)
    assert stacked.shape == (2, 3, 4, 4)
    assert np.array_equal(stacked[1, 2], rigid(rotations[1, 2], translations_[1, 2]))
