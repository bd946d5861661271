import numpy as np
import pytest
from numpy.typing import NDArray

from slam3r_ros.odometry.depth_fusion import FusedDepth, fuse
from slam3r_ros.odometry.flow_depth import FlowDepth
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.tuning import TUNING as VISION_TUNING

SIDE = 112
SHAPE = (SIDE, SIDE)
Map = NDArray[np.float32]
TRUTH: Map = np.log(np.linspace(2, 3, SIDE, dtype=np.float32))[None].repeat(SIDE, 0)
BENT: Map = (TRUTH + 0.3 * np.sin(np.linspace(0, 2 * np.pi, SIDE, dtype=np.float32))).astype(np.float32)
"""What a network gives that errs smoothly by 30 per cent."""
CONFIDENCE: Map = np.full(SHAPE, 5, np.float32)
NOWHERE = np.zeros(SHAPE, np.bool_)


def two_view(sigma: float, *, holes: NDArray[np.bool_] = NOWHERE, errors: Map | float = 0.0) -> FlowDepth:
    """The truth as two-view depths of that sigma, but for holes."""
    log_depths = np.where(holes, np.nan, TRUTH + errors).astype(np.float32)
    return FlowDepth(log_depths, np.where(holes, np.inf, sigma).astype(np.float32))


def fused(log_depths: Map, depths: FlowDepth, confidence: Map = CONFIDENCE) -> FusedDepth:
    result = fuse(log_depths, confidence, depths)
    assert result is not None
    assert result.log_factors.dtype == result.confidence.dtype == np.float32
    assert np.isfinite(result.log_factors).all() and np.isfinite(result.confidence).all()
    return result


def test_a_network_that_errs_smoothly_is_corrected() -> None:
    result = fused(BENT, two_view(0.02))
    assert np.abs(BENT - TRUTH).max() > 0.29
    assert np.abs(BENT + result.log_factors - TRUTH).max() < 0.005
    assert result.has_two_view_depth.all()


def test_pixels_without_two_view_depth_follow_their_neighbours() -> None:
    holes = np.random.default_rng(0).random(SHAPE) < 0.5
    result = fused(BENT, two_view(0.02, holes=holes))
    assert np.array_equal(result.has_two_view_depth, ~holes)
    left = (BENT + result.log_factors - TRUTH)[holes]
    assert np.sqrt((left**2).mean()) < 0.2 * np.sqrt(((BENT - TRUTH)[holes] ** 2).mean())


def test_far_from_all_two_view_depths_nothing_is_corrected() -> None:
    holes = NOWHERE.copy()
    holes[:, SIDE // 2 :] = True
    factors = fused(TRUTH + np.float32(0.3), two_view(0.02, holes=holes)).log_factors
    assert factors[:, : SIDE // 2] == pytest.approx(-0.3, abs=0.005)
    assert (np.diff(factors[SIDE // 2, SIDE // 2 :]) >= 0).all()  # it fades out
    assert factors[SIDE // 2, SIDE // 2] < -0.2
    assert factors[SIDE // 2, SIDE // 2 + SIDE // 8] > -0.15
    assert np.abs(factors[:, -20:]).max() < 0.005


def test_a_network_that_is_right_stays_as_it_is() -> None:
    assert not fused(TRUTH, two_view(0.02)).log_factors.any()
    # Where two-view depths err as much as they say, the network, which errs by much less, is hardly changed.
    noise = np.random.default_rng(0).normal(0, 0.01, SHAPE).astype(np.float32)
    result = fused(TRUTH, two_view(0.05, errors=noise))
    assert np.abs(result.log_factors).max() < 0.2 * np.abs(noise).max()


def test_each_counts_as_far_as_it_is_sure() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, SHAPE).astype(np.float32)
    factors = fused(TRUTH + noise, two_view(0.05)).log_factors
    share = 0.1**2 / (0.1**2 + 0.05**2)  # of the two-view depth, by the variances
    small = np.abs(noise) < 0.2
    assert factors[small] == pytest.approx(-share * noise[small], abs=0.01)


def test_confidence_rises_where_depths_are_fused_and_never_falls_there() -> None:
    result = fused(BENT, two_view(0.02))
    assert result.confidence == pytest.approx(VISION_TUNING.confidence_times_error / 0.02, rel=0.01)
    higher = np.full(SHAPE, 50, np.float32)
    assert np.array_equal(fused(BENT, two_view(0.02), higher).confidence, higher)
    coarse = fused(BENT, two_view(0.09))
    assert np.array_equal(coarse.confidence, CONFIDENCE)  # such distances deserve no more than it has


def test_confidence_is_capped_where_the_network_is_shown_to_be_wrong() -> None:
    holes = np.random.default_rng(0).random(SHAPE) < 0.3
    wrong = fused(BENT, two_view(0.02, holes=holes)).confidence
    assert np.array_equal(wrong[holes], np.ones(holes.sum(), np.float32))
    assert wrong[~holes].min() > 9
    good = fused((TRUTH + 0.05 * (BENT - TRUTH) / 0.3).astype(np.float32), two_view(0.01, holes=holes)).confidence
    assert 3 < good[holes].max() < 5  # 5 per cent of error deserve 4
    low = fused(BENT, two_view(0.02, holes=holes), np.full(SHAPE, 0.5, np.float32)).confidence
    assert np.array_equal(low[holes], np.full(holes.sum(), 0.5, np.float32))  # it is never raised there


def test_too_few_two_view_depths_change_nothing() -> None:
    assert fuse(BENT, CONFIDENCE, two_view(0.15)) is None
    assert fuse(BENT, CONFIDENCE, two_view(0.02, holes=~NOWHERE)) is None
    assert fuse(np.full_like(BENT, np.nan), CONFIDENCE, two_view(0.02)) is None
    order = np.random.default_rng(0).permutation(SIDE * SIDE).reshape(SHAPE)
    few = int(TUNING.fusion_min_sure_share * SIDE * SIDE)
    assert fuse(BENT, CONFIDENCE, two_view(0.02, holes=order >= few - 1)) is None
    assert fuse(BENT, CONFIDENCE, two_view(0.02, holes=order >= few + 2)) is not None


def test_where_the_network_has_no_depth_there_is_no_correction() -> None:
    holed = BENT.copy()
    holed[:30] = np.nan
    result = fused(holed, two_view(0.02))
    assert not result.has_two_view_depth[:30].any() and result.has_two_view_depth[30:].all()
    assert not result.log_factors[:30].any()
    assert result.confidence[:30].max() <= 1
    assert np.abs(holed + result.log_factors - TRUTH)[30:].max() < 0.005


def test_two_view_depths_that_differ_by_far_more_than_the_network_errs_are_outliers() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, SHAPE).astype(np.float32)
    astray = np.zeros(SHAPE, np.float32)
    astray[20:40, 20:40] = 1.0
    result = fused(TRUTH + noise, two_view(0.02, errors=astray))
    assert not result.has_two_view_depth[20:40, 20:40].any()
    assert result.has_two_view_depth[astray == 0].mean() > 0.98
    assert np.abs(result.log_factors[20:40, 20:40]).max() < 0.1
    assert result.confidence[20:40, 20:40].max() < 5
