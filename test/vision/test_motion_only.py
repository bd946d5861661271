import numpy as np
import pytest

from slam3r_ros.geometry.se3 import Array, orthonormal, rigid, transform_points
from slam3r_ros.vision.motion_only import motion_only_bundle_adjustment, reprojection_errors
from slam3r_ros.vision.pose_prior import PosePrior, pose_residuals, sigma_factor_of
from slam3r_ros.vision.tuning import TUNING

T = rigid(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), [0.3, -0.2, 0.5])


def seen(random: np.random.Generator, count: int = 60) -> tuple[Array, Array]:
    """Points of the world and their normalized image coordinates."""
    points = transform_points(np.linalg.inv(T), random.uniform([-1, -1, 2], [1, 1, 4], (count, 3)))
    there = transform_points(T, points)
    return points, there[:, :2] / there[:, 2:]


def near(offset: float) -> Array:
    cosine, sine = np.cos(offset), np.sin(offset)
    return rigid([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], [offset, -offset, offset]) @ T


def test_a_pose_from_exact_points_and_from_a_third_of_wrong_ones() -> None:
    random = np.random.default_rng(0)
    points, normalized_xy = seen(random)
    assert (
        np.abs(motion_only_bundle_adjustment(points, normalized_xy, [near(0.3), near(0.05)], 1e-3, None) - T).max()
        < 1e-4
    )
    normalized_xy[::3] += random.normal(0, 0.3, normalized_xy[::3].shape)
    found = motion_only_bundle_adjustment(points, normalized_xy, [near(0.02)], 1e-3, None)
    assert np.abs(found - T).max() < 2e-3
    assert np.median(reprojection_errors(points, normalized_xy, found)[::3]) > 0.1


@pytest.mark.parametrize(("sigma_factor", "offset"), [(TUNING.min_sigma_factor, 0.02), (1.0, 0.0)])
def test_the_prior_decides_as_far_as_it_is_not_doubted(sigma_factor: float, offset: float) -> None:
    points, normalized_xy = seen(np.random.default_rng(1))
    said = T.copy()
    said[0, 3] += 0.02
    found = motion_only_bundle_adjustment(points, normalized_xy, [T, said], 1e-3, PosePrior(said, 0.0, sigma_factor))
    assert found[0, 3] - T[0, 3] == pytest.approx(offset, abs=1e-3)


def test_a_prior_of_the_scale_only_says_nothing_of_the_pose() -> None:
    points, normalized_xy = seen(np.random.default_rng(1))
    normalized_xy[::3] += 0.05
    alone = motion_only_bundle_adjustment(points, normalized_xy, [near(0.05)], 1e-3, None)
    assert np.array_equal(
        motion_only_bundle_adjustment(
            points, normalized_xy, [near(0.05)], 1e-3, PosePrior(None, 5.0, TUNING.min_sigma_factor)
        ),
        alone,
    )
    assert not np.allclose(
        motion_only_bundle_adjustment(
            points, normalized_xy, [near(0.05)], 1e-3, PosePrior(near(0.01), 5.0, TUNING.min_sigma_factor)
        ),
        alone,
    )


def test_two_points_are_not_enough_and_points_behind_do_not_break_it() -> None:
    points, normalized_xy = seen(np.random.default_rng(2))
    assert np.allclose(
        motion_only_bundle_adjustment(points[:2], normalized_xy[:2], [near(0.1)], 1e-3, None), orthonormal(near(0.1))
    )
    points[:20] = transform_points(np.linalg.inv(T), [0, 0, -1])
    assert np.abs(motion_only_bundle_adjustment(points, normalized_xy, [near(0.02)], 1e-3, None) - T).max() < 1e-3


def test_the_result_is_a_rotation_whatever_it_started_from() -> None:
    points, normalized_xy = seen(np.random.default_rng(3))
    bent = T.copy()
    bent[:3, :3] *= 1.01
    found = motion_only_bundle_adjustment(points, normalized_xy, [bent], 1e-3, None)
    assert np.allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-12)


def test_doubt_grows_with_what_the_points_miss_their_pixels_by() -> None:
    assert sigma_factor_of(0.0) == TUNING.min_sigma_factor
    assert TUNING.min_sigma_factor < sigma_factor_of(0.0013) < 0.01
    assert sigma_factor_of(0.02) == sigma_factor_of(np.inf) == 1.0


def test_residuals_of_a_pose_against_what_was_said() -> None:
    said = rigid(np.eye(3), [0.1, 0.2, 0.3])
    angle = 0.7
    turned = (
        rigid([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]], np.zeros(3)) @ said
    )
    moved = rigid(np.eye(3), [0.15, 0.2, 0.3])
    residuals = pose_residuals(np.stack([said, turned, moved]), np.stack([said] * 3))
    expected = np.array([[0] * 6, [0, 0, angle, 0, 0, 0], [0, 0, 0, 0.05, 0, 0]])
    assert np.allclose(residuals, expected, atol=1e-12)
