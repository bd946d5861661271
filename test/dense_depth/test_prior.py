"""The networks' depths fill what is not measured, at the scale of what is, and only where they agree with it."""

import numpy as np

from slam3r_ros.dense_depth.posed_view import DepthMap
from slam3r_ros.dense_depth.prior import filled
from slam3r_ros.dense_depth.tuning import TUNING

SHAPE = (120, 160)
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]
TRUE = (2 + 0.01 * COLUMNS + 0.005 * ROWS).astype(np.float32)
HOLE = (ROWS > 50) & (ROWS < 70) & (COLUMNS > 70) & (COLUMNS < 90)


def measured() -> DepthMap:
    return DepthMap(TRUE, np.full(SHAPE, 0.01, np.float32)).only(~HOLE)


def by_networks(depth: np.ndarray, sigma: float = 0.02) -> DepthMap:
    return DepthMap(depth.astype(np.float32), np.full(SHAPE, sigma, np.float32))


def test_a_hole_is_filled_at_the_scale_of_what_is_around_it() -> None:
    found = filled(measured(), by_networks(1.3 * TRUE))
    np.testing.assert_allclose(found.depth, TRUE, rtol=2e-3)
    assert (found.sigma[HOLE] >= 0.02).all() and (found.sigma[~HOLE] == np.float32(0.01)).all()


def test_a_scale_that_changes_slowly_over_the_image_is_followed() -> None:
    found = filled(measured(), by_networks(TRUE * np.exp(0.002 * COLUMNS)))
    np.testing.assert_allclose(found.depth[HOLE], TRUE[HOLE], rtol=0.02)


def test_where_the_networks_contradict_what_is_around_nothing_is_filled() -> None:
    wrong = TRUE * np.exp(np.random.default_rng(0).normal(0, 0.3, SHAPE))
    assert not filled(measured(), by_networks(wrong)).is_known[HOLE].any()


def test_far_from_anything_measured_nothing_is_filled() -> None:
    left = COLUMNS < 40
    found = filled(measured().only(left), by_networks(TRUE))
    assert not found.is_known[:, 40 + int(4 * TUNING.fit_reach * SHAPE[1]) :].any()


def test_with_too_little_in_common_the_measured_depths_stay_as_they_are() -> None:
    few = measured().only((ROWS == 3) & (COLUMNS < 20))
    assert filled(few, by_networks(TRUE)) is few
