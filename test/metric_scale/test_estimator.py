"""The robust estimate of the metric scale."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.scale_edges import ScaleObservation
from slam3r_ros.metric_scale.estimator import ScaleEstimator
from slam3r_ros.metric_scale.tuning import TUNING


def estimator_of(values: list[float], sigma: float = 0.05) -> ScaleEstimator:
    estimator = ScaleEstimator()
    for index, value in enumerate(values):
        estimator.add(ScaleObservation(index, value, sigma))
    return estimator


def test_few_observations_give_no_estimate() -> None:
    assert estimator_of([0.1] * 4).estimate is None
    estimate = estimator_of([0.1] * 5).estimate
    assert estimate is not None and estimate.count == 5
    assert estimate.metres_per_unit == pytest.approx(math.exp(0.1))
    assert estimate.sigma == pytest.approx(math.hypot(0.05 / math.sqrt(5), TUNING.floor_sigma))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4])
def test_outliers_on_one_side_hardly_matter(share: float) -> None:
    """Slipping wheels make every affected ratio too large."""
    random = np.random.default_rng(3)
    values = random.normal(math.log(2.5), 0.05, 200)
    values[: int(share * 200)] += random.uniform(0.5, 3, int(share * 200))
    estimate = estimator_of(random.permutation(values).tolist()).estimate
    assert estimate is not None
    assert estimate.metres_per_unit == pytest.approx(2.5, rel=0.02 if share < 0.4 else 0.05)


def test_sigma_covers_the_error_when_observations_scatter_more_than_they_say() -> None:
    random = np.random.default_rng(5)
    errors = []
    for _ in range(200):
        estimate = estimator_of(random.normal(0.0, 0.3, 40).tolist(), sigma=0.03).estimate
        assert estimate is not None
        errors.append(math.log(estimate.metres_per_unit) / estimate.sigma)
    assert 0.8 < float(np.std(errors)) < 1.3


def test_good_observations_outweigh_poor_ones() -> None:
    estimator = estimator_of([1.0] * 10, sigma=0.5)
    for index in range(10, 20):
        estimator.add(ScaleObservation(index, 0.0, 0.01))
    estimate = estimator.estimate
    assert estimate is not None and estimate.metres_per_unit == pytest.approx(1.0, abs=0.01)


def test_a_frame_that_is_compared_again_counts_once_by_its_last_comparison() -> None:
    estimator = estimator_of([1.0] * 4)
    for value in (0.5, 0.7):
        for index in range(4):
            estimator.add(ScaleObservation(index, value, 0.05))
    assert estimator.estimate is None, "four frames are too few"
    estimator.add(ScaleObservation(9, 0.7, 0.05))
    assert estimator.estimate is not None and estimator.estimate.count == 5
    assert estimator.estimate.metres_per_unit == pytest.approx(math.exp(0.7))


def test_a_loop_that_enlarges_what_is_mapped_lowers_the_metres_of_a_unit() -> None:
    estimator = estimator_of([0.0] * 10)
    changes = Sim3([1.0, 2.0], np.stack([np.eye(3)] * 2), np.zeros((2, 3)))
    estimator.correct(MapCorrection(np.array([0, 2]), changes))
    estimate = estimator.estimate  # eight of ten observations are of frames that have grown to twice their size
    assert estimate is not None and estimate.metres_per_unit == pytest.approx(0.5, rel=0.02)


def test_memory_is_bounded_and_all_times_are_kept() -> None:
    count = 10 * TUNING.most_observations
    estimator = estimator_of([float(index >= count // 2) for index in range(count)])
    kept = estimator._observed.log_ratios
    assert len(kept) <= TUNING.most_observations
    assert float(np.mean(kept)) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("log_ratio", "sigma"), [(math.nan, 0.1), (math.inf, 0.1), (0.0, 0.0), (0.0, math.nan)])
def test_what_is_no_number_is_refused(log_ratio: float, sigma: float) -> None:
    with pytest.raises(ValueError, match="scale observation: expected a finite"):
        ScaleEstimator().add(ScaleObservation(0, log_ratio, sigma))


def test_a_new_map_begins_without_observations() -> None:
    estimator = estimator_of([0.3] * 20)
    estimator.clear()
    assert estimator.estimate is None
