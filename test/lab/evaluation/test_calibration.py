"""Whether confidence orders points as their errors do."""

from __future__ import annotations

import numpy as np
import pytest

from slam3r_lab.evaluation.calibration import calibrate


def test_confidence_that_knows_everything() -> None:
    error = np.random.default_rng(0).random(1000)
    calibration = calibrate(1 / error, error)
    assert calibration is not None
    assert calibration.sparsification_error == pytest.approx(0, abs=1e-12)
    assert calibration.rank_correlation == pytest.approx(-1)
    assert [point.mean_error_cm for point in calibration.curve] == sorted(
        (point.mean_error_cm for point in calibration.curve), reverse=True
    )


def test_confidence_that_knows_nothing_is_as_good_as_chance() -> None:
    random = np.random.default_rng(1)
    calibration = calibrate(random.random(100_000), random.random(100_000))
    assert calibration is not None
    assert calibration.rank_correlation == pytest.approx(0, abs=0.02)
    assert calibration.sparsification_error == pytest.approx(calibration.random_sparsification_error, abs=0.02)
    # Errors are even between 0 and 1: without the worst share s the mean is (1 - s) / 2; the mean of s is 0.475.
    assert calibration.random_sparsification_error == pytest.approx(0.475, abs=0.01)


def test_confidence_that_is_wrong_is_worse_than_chance() -> None:
    error = np.random.default_rng(2).random(1000)
    calibration = calibrate(error, error)
    assert calibration is not None
    assert calibration.rank_correlation == pytest.approx(1)
    assert calibration.sparsification_error > calibration.random_sparsification_error


def test_hand_worked_curve() -> None:
    """20 points, a bin each: the more confident half has error 0.1 m, the other 0.3 m."""
    calibration = calibrate(np.arange(1.0, 21), np.where(np.arange(20) < 10, 0.3, 0.1))
    assert calibration is not None
    assert [point.confidence for point in calibration.curve] == list(range(1, 21))
    assert [point.median_error_cm for point in calibration.curve] == pytest.approx([30] * 10 + [10] * 10)
    assert calibration.sparsification_error == pytest.approx(0)
    remaining = [(0.3 * max(10 - k, 0) + 0.1 * min(10, 20 - k)) / (20 - k) / 0.2 for k in range(20)]
    assert calibration.random_sparsification_error == pytest.approx(1 - np.mean(remaining))


def test_errors_that_are_all_the_same() -> None:
    calibration = calibrate(np.arange(50.0), np.full(50, 0.2))
    assert calibration is not None
    assert (calibration.sparsification_error, calibration.rank_correlation) == (pytest.approx(0), 0)
    exact = calibrate(np.arange(50.0), np.zeros(50))
    assert exact is not None and exact.sparsification_error == 0


def test_too_few_points() -> None:
    assert calibrate(np.ones(19), np.ones(19)) is None
