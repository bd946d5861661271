"""Robust kernels: each weight is the derivative of its cost, and what outliers may do under each."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slam3r_ros.geometry.robust import (
    cauchy_cost,
    cauchy_weight,
    charbonnier_cost,
    charbonnier_weight,
    geman_mcclure_weight,
    weighted_median,
)


@pytest.mark.parametrize(("cost", "weight"), [(cauchy_cost, cauchy_weight), (charbonnier_cost, charbonnier_weight)])
def test_a_weight_is_twice_the_derivative_of_its_cost(cost, weight):
    squares = np.array([0.0, 1e-3, 0.5, 1.0, 9.0, 400.0])
    step = 1e-6
    np.testing.assert_allclose(2 * (cost(squares + step) - cost(squares)) / step, weight(squares), rtol=1e-4)
    np.testing.assert_allclose(cost(np.array([1e-8])), 0.5e-8, rtol=1e-6)


def test_outliers_pull_as_the_kernels_names_say():
    residuals = np.array([1.0, 100.0])
    assert np.array_equal(cauchy_weight(residuals**2)[:1], [0.5])
    assert np.array_equal(geman_mcclure_weight(residuals**2)[:1], [0.25])
    forces = [residuals * weight(residuals**2) for weight in (charbonnier_weight, cauchy_weight, geman_mcclure_weight)]
    assert forces[0][1] == pytest.approx(1.0, rel=1e-3)
    assert forces[1][1] == pytest.approx(0.01, rel=1e-3)
    assert forces[2][1] < 1e-5


def test_weighted_median():
    assert weighted_median([3, 1, 2], [1, 1, 1]) == 2
    assert weighted_median([3, 1, 2], [10, 1, 1]) == 3
    assert math.isnan(weighted_median([], []))
