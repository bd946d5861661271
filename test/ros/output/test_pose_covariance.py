"""Covariances of poses: what they grow and fall with, and that they are those of a real estimate."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import invert_rigid, rigid, transform_points
from slam3r_ros.ros.output.pose_covariance import pose_covariance, transform_covariance
from slam3r_ros.ros.output.tuning import TUNING

FOCAL = 100.0


def seen(count: int = TUNING.covariance_patches**2, seed: int = 0) -> NDArray[np.float64]:
    """(count, 3) points spread over an image and over depths of 2 to 4."""
    rng = np.random.default_rng(seed)
    depths = rng.uniform(2, 4, count)
    return np.column_stack([rng.uniform(-0.5, 0.5, (count, 2)) * depths[:, None], depths])


def covariance(points: NDArray[np.float64] | None = None, error: float = 0.5, inliers: float = 0.9) -> NDArray:
    points = seen() if points is None else points
    return pose_covariance(points, focal_px=FOCAL, reprojection_error_px=error, inlier_fraction=inliers)


def turned(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 4) a small motion along and around a frame's own axes."""
    return rigid(cv2.Rodrigues(vector[3:])[0], vector[:3])


def assert_positive_definite(matrix: NDArray[np.float64]) -> None:
    assert np.array_equal(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > 0


def test_it_grows_with_the_square_of_the_error() -> None:
    assert covariance(error=1.0) == pytest.approx(4 * covariance(error=0.5), rel=1e-2, abs=1e-9)


def test_it_falls_with_inliers_and_with_the_focal_length() -> None:
    assert np.all(np.diag(covariance(inliers=0.9)) < np.diag(covariance(inliers=0.3)))
    narrow = pose_covariance(seen(), focal_px=2 * FOCAL, reprojection_error_px=0.5, inlier_fraction=0.9)
    assert np.all(np.diag(narrow) < np.diag(covariance()))


def test_lengths_follow_the_worlds_and_angles_do_not() -> None:
    scale = np.diag([7.0, 7.0, 7.0, 1.0, 1.0, 1.0])
    assert covariance(7 * seen()) == pytest.approx(scale @ covariance() @ scale)


@pytest.mark.parametrize(
    ("points", "error", "inliers"),
    [
        (seen(), 0.5, 0.9),
        (seen(), 0.0, 1.0),
        (seen(), np.inf, 0.0),
        (seen() * 1e-6, 0.1, 1.0),
        (seen() * 1e6, 0.1, 1.0),
        (seen() * [0, 0, 1], 0.5, 0.9),
        (seen(1), 0.5, 0.9),
        (np.empty((0, 3)), 0.5, 0.9),
        (-seen(), 0.5, 0.9),
        (np.vstack([seen(), [1e-9, 1e-9, 1e-9]]), 0.5, 0.9),
    ],
    ids=["usual", "exact", "no inlier", "tiny", "huge", "a ray", "one point", "nothing", "behind", "touching"],
)
def test_it_is_positive_definite_whatever_was_seen(points: NDArray, error: float, inliers: float) -> None:
    result = covariance(points, error, inliers)
    assert np.isfinite(result).all()
    assert_positive_definite(result)


def test_without_knowledge_it_is_a_depth_and_a_radian() -> None:
    assert covariance(np.array([[0.0, 0.0, 3.0]]), np.inf, 0.0) == pytest.approx(np.diag([9, 9, 9, 1, 1, 1]))


def test_it_is_that_of_poses_estimated_from_disturbed_pixels() -> None:
    """Estimates from pixels with normal errors scatter as the covariance says, translations with rotations."""
    rng, points, deviation_px = np.random.default_rng(1), seen(), 0.5
    matrix = np.array([[FOCAL, 0, 50], [0, FOCAL, 50], [0, 0, 1]])
    exact = points[:, :2] / points[:, 2:] * FOCAL + 50
    errors = []
    for _ in range(1500):
        pixels = exact + rng.normal(0, deviation_px, exact.shape)
        _, turn, shift = cv2.solvePnP(
            points, pixels, matrix, None, np.zeros(3), np.zeros(3), useExtrinsicGuess=True, flags=cv2.SOLVEPNP_ITERATIVE
        )
        T_true_estimated = invert_rigid(rigid(cv2.Rodrigues(turn)[0], shift))
        errors.append(np.concatenate([T_true_estimated[:3, 3], cv2.Rodrigues(T_true_estimated[:3, :3])[0].ravel()]))
    scatter = np.cov(np.array(errors).T)
    told = covariance(points, error=1.1774 * deviation_px, inliers=1.0)
    whitened = np.linalg.inv(np.linalg.cholesky(told))
    assert whitened @ scatter @ whitened.T == pytest.approx(np.eye(6), abs=0.2)


def test_a_base_swings_with_the_camera_it_carries() -> None:
    """Against samples: small motions of the camera, and what they do to the base along the map's axes."""
    rng, of_camera = np.random.default_rng(2), covariance(error=0.2)
    T_map_camera = rigid(cv2.Rodrigues(np.array([0.3, -1.2, 0.5]))[0], [1.0, 2.0, 3.0])
    T_camera_base = rigid(cv2.Rodrigues(np.array([1.0, 0.4, -0.3]))[0], [0.5, -0.2, 0.8])
    base = T_map_camera @ T_camera_base
    changes = []
    for motion in rng.multivariate_normal(np.zeros(6), of_camera, 4000):
        moved = T_map_camera @ turned(motion) @ T_camera_base
        changes.append(
            np.concatenate([moved[:3, 3] - base[:3, 3], cv2.Rodrigues(moved[:3, :3] @ base[:3, :3].T)[0].ravel()])
        )
    told = transform_covariance(of_camera, T_camera_base, T_map_camera[:3, :3])
    assert_positive_definite(told)
    whitened = np.linalg.inv(np.linalg.cholesky(told))
    assert whitened @ np.cov(np.array(changes).T) @ whitened.T == pytest.approx(np.eye(6), abs=0.15)


def test_moving_and_turning_are_told_apart_badly() -> None:
    """A camera before a wall: a step to the right looks like a turn to the left."""
    wall = seen() / seen()[:, 2:] * 3.0
    of_wall = covariance(wall)
    correlation = of_wall[0, 4] / np.sqrt(of_wall[0, 0] * of_wall[4, 4])
    assert abs(correlation) > 0.8
    assert transform_points(np.eye(4), wall)[:, 2] == pytest.approx(3.0)
