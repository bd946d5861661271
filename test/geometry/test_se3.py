"""Geometry as properties: what must hold for any transform, any points, any focal length."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slam3r_ros.geometry.se3 import (
    FIELD_OF_VIEW_RANGE,
    Similarity,
    estimate_focal,
    fit_focal,
    focal_from_field_of_view,
    invert_rigid,
    quat_xyzw_from_rotation,
    rigid,
    robust_similarity,
    rotation_from_quat_xyzw,
    transform_points,
    weighted_median,
    weighted_similarity,
)

few = settings(max_examples=40, deadline=None, derandomize=True)
component = st.floats(-1, 1, allow_nan=False)
quaternions = st.tuples(component, component, component, component).filter(lambda q: np.linalg.norm(q) > 0.1)
translations = st.tuples(*[st.floats(-100, 100)] * 3)
scales = st.floats(1e-3, 1e3)
seeds = st.integers(0, 2**31 - 1)


def random_similarity(quat, translation, scale) -> Similarity:
    return Similarity(scale, rotation_from_quat_xyzw(quat), np.array(translation))


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    # From the chord: acos of the trace loses half of the digits near zero.
    return 2 * math.asin(min(1.0, float(np.linalg.norm(a - b)) / (2 * math.sqrt(2))))


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


@few
@given(quaternions, translations, scales, seeds, st.integers(3, 50))
def test_similarity_is_recovered_whatever_the_weights(quat, translation, scale, seed, count):
    truth = random_similarity(quat, translation, scale)
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(count, 3))
    weights = rng.uniform(0.1, 10, count)
    for fit in (weighted_similarity, robust_similarity):
        found = fit(source, truth.apply(source), weights)
        assert found is not None
        assert found.scale == pytest.approx(scale, rel=1e-5)
        assert angle_between(found.rotation, truth.rotation) < 1e-5
        assert np.allclose(found.apply(source), truth.apply(source), atol=1e-5 * (scale + np.abs(translation).max()))


def test_a_mirrored_cloud_still_gives_a_rotation():
    source = np.random.default_rng(1).normal(size=(100, 3))
    found = weighted_similarity(source, source * [1, 1, -1], np.ones(100))
    assert found is not None and np.linalg.det(found.rotation) == pytest.approx(1)


def test_points_on_a_plane_are_enough():
    truth = random_similarity([0.1, -0.3, 0.2, 0.9], [1, 2, 3], 2.5)
    source = np.random.default_rng(2).normal(size=(30, 3)) * [1, 1, 0]
    found = weighted_similarity(source, truth.apply(source), np.ones(30))
    assert found is not None and np.allclose(found.rotation, truth.rotation) and found.scale == pytest.approx(2.5)


def test_weights_decide_between_two_motions():
    step = np.array([1.0, 0.0, 0.0])
    source = np.random.default_rng(3).normal(size=(200, 3))
    target = np.where(np.arange(200)[:, None] < 100, source + step, source - step)
    weights = np.where(np.arange(200) < 100, 1.0, 1e-9)
    found = weighted_similarity(source, target, weights)
    assert found is not None and np.allclose(found.translation, [1, 0, 0], atol=1e-6)


@pytest.mark.parametrize("fit", [weighted_similarity, robust_similarity])
@pytest.mark.parametrize(
    "source",
    [
        np.empty((0, 3)),
        np.zeros((10, 3)),
        np.ones((2, 3)) * [[1], [2]],
        np.arange(10)[:, None] * np.array([1.0, 2.0, 3.0]),
        np.full((10, 3), np.nan),
        np.full((10, 3), np.inf),
    ],
    ids=["empty", "zeros", "two", "line", "nan", "inf"],
)
def test_degenerate_points_give_none(fit, source):
    assert fit(source, source, np.ones(len(source))) is None
    assert fit(source, np.random.default_rng(0).normal(size=source.shape), np.ones(len(source))) is None


@pytest.mark.parametrize("weights", [np.zeros(20), np.full(20, np.nan), -np.ones(20)], ids=["zero", "nan", "negative"])
def test_weights_that_say_nothing_give_none(weights):
    source = np.random.default_rng(0).normal(size=(20, 3))
    assert weighted_similarity(source, source, weights) is None
    assert robust_similarity(source, source, weights) is None


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"expected \(N, 3\)"):
        weighted_similarity(np.zeros((5, 3)), np.zeros((4, 3)), np.ones(5))


@pytest.mark.parametrize("outlier_size", [0.5, 5, 1000])
def test_robust_similarity_withstands_outliers(outlier_size):
    truth = random_similarity([0.3, 0.1, -0.4, 0.8], [0.5, -2, 1], 3.0)
    rng = np.random.default_rng(4)
    source = rng.normal(loc=(0, 0, 4), size=(1000, 3))
    target = truth.apply(source) + rng.normal(scale=0.01, size=(1000, 3))
    target[:350] += rng.normal(scale=outlier_size * 3, size=(350, 3)) + outlier_size
    weights = rng.uniform(1, 10, 1000)
    found = robust_similarity(source, target, weights)
    assert found is not None
    assert found.scale == pytest.approx(3.0, rel=0.005)
    assert angle_between(found.rotation, truth.rotation) < 0.003
    assert np.linalg.norm(found.translation - truth.translation) < 0.02
    plain = weighted_similarity(source, target, weights)
    assert plain is not None and np.linalg.norm(plain.translation - truth.translation) > 0.05


def test_weighted_median():
    assert weighted_median([3, 1, 2], [1, 1, 1]) == 2
    assert weighted_median([3, 1, 2], [10, 1, 1]) == 3
    assert math.isnan(weighted_median([], []))


def pinhole_pointmap(height: int, width: int, focal: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(float)
    depth = rng.uniform(1, 5, (height, width))
    rays = np.stack([(x - (width - 1) / 2) / focal, (y - (height - 1) / 2) / focal, np.ones_like(x)], -1)
    return rays * depth[..., None]


@few
@given(st.sampled_from([(112, 112), (224, 224), (60, 90), (90, 40)]), st.floats(0.4, 4), seeds)
def test_focal_of_an_exact_pointmap(size, ratio, seed):
    focal = ratio * max(size)
    points = pinhole_pointmap(*size, focal, seed)
    assert fit_focal(points, np.ones(size)) == pytest.approx(focal, rel=1e-6)
    assert fit_focal(points.astype(np.float32) * 1e-3, np.ones(size, np.float32)) == pytest.approx(focal, rel=1e-4)


def test_focal_with_noise_outliers_and_invalid_points():
    points = pinhole_pointmap(112, 112, 100.0, 0)
    rng = np.random.default_rng(1)
    points += rng.normal(scale=0.02, size=points.shape) * points[..., 2:]
    wrong = rng.uniform(size=(112, 112)) < 0.3
    points[wrong] = rng.uniform(-3, 3, (wrong.sum(), 3))
    points[:8], points[8:12], points[12:16] = 0, np.nan, np.inf
    assert fit_focal(points, np.ones((112, 112))) == pytest.approx(100.0, rel=0.08)


def test_focal_follows_the_confident_points():
    odd_row = np.arange(112)[:, None] % 2 * np.ones((112, 112)) > 0
    points = np.where(odd_row[..., None], pinhole_pointmap(112, 112, 90, 0), pinhole_pointmap(112, 112, 200, 0))
    confidence = np.where(odd_row, 10.0, 1.0)
    assert fit_focal(points, confidence) == pytest.approx(90, rel=0.02)


@pytest.mark.parametrize("fill", [0.0, np.nan, np.inf, -1.0])
def test_focal_of_a_pointmap_that_says_nothing(fill):
    points = np.full((80, 112, 3), fill)
    assert fit_focal(points, np.ones((80, 112))) is None
    assert estimate_focal(points, np.ones((80, 112))) == pytest.approx(56 / math.tan(math.radians(30)))
    assert estimate_focal(points, np.ones((80, 112)), fallback_px=70.0) == 70.0


def test_focal_of_points_on_the_axis_or_turned_inside_out_says_nothing():
    points = np.zeros((64, 64, 3))
    points[..., 2] = 1
    assert fit_focal(points, np.ones((64, 64))) is None
    assert fit_focal(pinhole_pointmap(64, 64, 60, 0) * [-1, -1, 1], np.ones((64, 64))) is None


def test_focal_stays_in_its_range():
    narrowest, widest = (focal_from_field_of_view(angle, 100, 50) for angle in FIELD_OF_VIEW_RANGE)
    assert fit_focal(pinhole_pointmap(50, 100, 5000.0, 0), np.ones((50, 100))) == narrowest
    assert fit_focal(pinhole_pointmap(50, 100, 2.0, 0), np.ones((50, 100))) == widest


def test_focal_refuses_wrong_shapes():
    with pytest.raises(ValueError, match="fit_focal"):
        fit_focal(np.zeros((10, 10, 3)), np.zeros((10, 9)))
