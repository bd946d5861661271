import numpy as np
import pytest

from slam3r_ros.odometry.depth_correction import depth_corrections
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.image_sampling import sample_nearest

FLAT = np.zeros((56, 84), np.float32)
GRID = np.stack(np.meshgrid(*[(np.arange(12) + 0.5) / 12] * 2), axis=-1).reshape(-1, 2)


def test_no_tracks_change_nothing() -> None:
    assert np.array_equal(depth_corrections(FLAT, np.empty((0, 2)), np.empty(0)), np.ones_like(FLAT))


def test_many_tracks_that_agree_correct_everything() -> None:
    factors = depth_corrections(FLAT, GRID, np.full(len(GRID), 0.2))
    assert factors == pytest.approx(np.full(FLAT.shape, np.exp(0.2)), rel=0.02)


def test_corrections_that_rise_across_the_image_do_so_between_the_tracks() -> None:
    ratios = 0.4 * (GRID[:, 0] - 0.5)
    factors = depth_corrections(FLAT, GRID, ratios)
    columns = (np.arange(84) + 0.5) / 84
    inside = slice(16, -16)
    assert np.log(factors[28, inside]) == pytest.approx(0.4 * (columns[inside] - 0.5), abs=0.015)


def test_a_track_corrects_only_what_is_near() -> None:
    factors = depth_corrections(FLAT, np.array([[0.25, 0.5]]), np.array([0.3]))
    assert np.log(sample_nearest(factors, np.array([[0.25, 0.5]]))) == pytest.approx(
        0.3 / (1 + TUNING.correction_zero_weight), rel=0.05
    )
    assert sample_nearest(factors, np.array([[0.95, 0.5]])) == pytest.approx(1, abs=1e-3)


def test_a_track_does_not_correct_what_lies_behind() -> None:
    steps = FLAT.copy()
    steps[:, 42:] = np.log(4.0)
    factors = depth_corrections(steps, np.array([[0.45, 0.5]]), np.array([0.3]))
    assert factors[28, 36] > 1.2
    assert factors[28, 48] == pytest.approx(1, abs=1e-3)


def test_wild_tracks_and_holes_count_for_nothing() -> None:
    holes = FLAT.copy()
    holes[:20] = np.nan
    places = np.array([[0.5, 0.8], [0.5, 0.1], [0.6, 0.8]])
    factors = depth_corrections(holes, places, np.array([3.0, 0.3, np.nan]))
    assert np.array_equal(factors, np.ones_like(FLAT))
