"""The focal length of a pointmap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slam3r_ros.geometry.focal import FIELD_OF_VIEW_DEFAULT, FIELD_OF_VIEW_RANGE, fit_focal, focal_from_field_of_view

few = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**31 - 1)


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


def test_the_default_field_of_view_gives_a_focal_length():
    assert focal_from_field_of_view(FIELD_OF_VIEW_DEFAULT, 112, 80) == pytest.approx(56 / math.tan(math.radians(30)))
