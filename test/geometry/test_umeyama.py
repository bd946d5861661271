"""The alignment of point sets: what it recovers, what it withstands, and when it says that it cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slam3r_ros.geometry.se3 import rotation_from_quat_xyzw
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.geometry.umeyama import robust_umeyama, umeyama

few = settings(max_examples=40, deadline=None, derandomize=True)
component = st.floats(-1, 1, allow_nan=False)
quaternions = st.tuples(component, component, component, component).filter(lambda q: np.linalg.norm(q) > 0.1)
translations = st.tuples(*[st.floats(-100, 100)] * 3)
scales = st.floats(1e-3, 1e3)
seeds = st.integers(0, 2**31 - 1)


def random_similarity(quat, translation, scale) -> Sim3:
    return Sim3(scale, rotation_from_quat_xyzw(quat), np.array(translation))


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    # From the chord: acos of the trace loses half of the digits near zero.
    return 2 * math.asin(min(1.0, float(np.linalg.norm(a - b)) / (2 * math.sqrt(2))))


@few
@given(quaternions, translations, scales, seeds, st.integers(3, 50))
def test_similarity_is_recovered_whatever_the_weights(quat, translation, scale, seed, count):
    truth = random_similarity(quat, translation, scale)
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(count, 3))
    weights = rng.uniform(0.1, 10, count)
    for fit in (umeyama, robust_umeyama):
        found = fit(source, truth.apply(source), weights)
        assert found is not None
        assert found.scale == pytest.approx(scale, rel=1e-5)
        assert angle_between(found.rotation, truth.rotation) < 1e-5
        assert np.allclose(found.apply(source), truth.apply(source), atol=1e-5 * (scale + np.abs(translation).max()))


def test_a_mirrored_cloud_still_gives_a_rotation():
    source = np.random.default_rng(1).normal(size=(100, 3))
    found = umeyama(source, source * [1, 1, -1], np.ones(100))
    assert found is not None and np.linalg.det(found.rotation) == pytest.approx(1)


def test_points_on_a_plane_are_enough():
    truth = random_similarity([0.1, -0.3, 0.2, 0.9], [1, 2, 3], 2.5)
    source = np.random.default_rng(2).normal(size=(30, 3)) * [1, 1, 0]
    found = umeyama(source, truth.apply(source), np.ones(30))
    assert found is not None and np.allclose(found.rotation, truth.rotation) and found.scale == pytest.approx(2.5)


def test_weights_decide_between_two_motions():
    step = np.array([1.0, 0.0, 0.0])
    source = np.random.default_rng(3).normal(size=(200, 3))
    target = np.where(np.arange(200)[:, None] < 100, source + step, source - step)
    weights = np.where(np.arange(200) < 100, 1.0, 1e-9)
    found = umeyama(source, target, weights)
    assert found is not None and np.allclose(found.translation, [1, 0, 0], atol=1e-6)


@pytest.mark.parametrize("fit", [umeyama, robust_umeyama])
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
    assert umeyama(source, source, weights) is None
    assert robust_umeyama(source, source, weights) is None


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"expected \(N, 3\)"):
        umeyama(np.zeros((5, 3)), np.zeros((4, 3)), np.ones(5))


@pytest.mark.parametrize("outlier_size", [0.5, 5, 1000])
def test_robust_similarity_withstands_outliers(outlier_size):
    truth = random_similarity([0.3, 0.1, -0.4, 0.8], [0.5, -2, 1], 3.0)
    rng = np.random.default_rng(4)
    source = rng.normal(loc=(0, 0, 4), size=(1000, 3))
    target = truth.apply(source) + rng.normal(scale=0.01, size=(1000, 3))
    target[:350] += rng.normal(scale=outlier_size * 3, size=(350, 3)) + outlier_size
    weights = rng.uniform(1, 10, 1000)
    found = robust_umeyama(source, target, weights)
    assert found is not None
    assert found.scale == pytest.approx(3.0, rel=0.005)
    assert angle_between(found.rotation, truth.rotation) < 0.003
    assert np.linalg.norm(found.translation - truth.translation) < 0.02
    plain = umeyama(source, target, weights)
    assert plain is not None and np.linalg.norm(plain.translation - truth.translation) > 0.05


def test_without_weights_all_points_count_alike():
    source, target = np.random.default_rng(6).normal(size=(2, 30, 3))
    one, other = umeyama(source, target), umeyama(source, target, np.ones(30))
    assert one is not None and other is not None and np.array_equal(one.pose, other.pose) and one.scale == other.scale


def test_without_scale_the_rotation_stays_and_the_translation_fits():
    truth = random_similarity([0.1, -0.3, 0.2, 0.9], [1, 2, 3], 1.0)
    source = np.random.default_rng(7).normal(size=(40, 3))
    found = umeyama(source, truth.apply(source), with_scale=False)
    assert found is not None and found.scale == 1 and np.allclose(found.pose, truth.pose)
    longer = umeyama(source, 3 * truth.apply(source), with_scale=False)
    assert longer is not None and longer.scale == 1 and np.allclose(longer.rotation, truth.rotation)


@pytest.mark.parametrize("count", [2, 10])
def test_points_on_a_line_are_aligned_where_that_is_accepted(count):
    source = np.arange(count)[:, None] * np.array([1.0, 2.0, 3.0]) + 5
    truth = random_similarity([0.1, -0.3, 0.2, 0.9], [1, 2, 3], 2.5)
    found = umeyama(source, truth.apply(source), accept_line=True)
    assert found is not None and found.scale == pytest.approx(2.5)
    assert np.allclose(found.apply(source), truth.apply(source))
    assert umeyama(np.ones((count, 3)), source, accept_line=True) is None
