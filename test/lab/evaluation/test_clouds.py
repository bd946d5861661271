"""Cloud errors: known answers, and those of independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slam3r_lab.evaluation.alignment import iterative_closest_point, similarity_of_positions
from slam3r_lab.evaluation.clouds import Cloud, CloudMetrics, cloud_metrics, compare_clouds, one_per_voxel
from slam3r_lab.evaluation.samples import PixelPairs, normals_of
from slam3r_ros.geometry.se3 import rotation_from_quat_xyzw
from slam3r_ros.geometry.sim3 import Sim3

Array = NDArray[np.float64]


def cloud(points: Array, normals: Array | None = None) -> Cloud:
    return Cloud(points, np.zeros_like(points) if normals is None else normals)


def room(count: int, seed: int) -> tuple[Array, Array]:
    """Random points on the six walls of a box of 4 x 3 x 2.5 m, and their normals."""
    random = np.random.default_rng(seed)
    points = random.random((count, 3))
    axis, side = random.integers(0, 3, count), random.integers(0, 2, count)
    points[np.arange(count), axis] = side
    normals = np.zeros((count, 3))
    normals[np.arange(count), axis] = 1 - 2.0 * side
    return points * [4, 3, 2.5], normals


def pairs(estimated: Array, true: Array, confidence: Array | None = None, lost: Array | None = None) -> PixelPairs:
    count = len(true)
    return PixelPairs(
        estimated=estimated.astype(np.float32),
        estimated_normals=np.zeros((count, 3), np.float32),
        confidence=np.full(count, 2.0, np.float32) if confidence is None else confidence.astype(np.float32),
        colours=np.zeros((count, 3), np.uint8),
        has_estimate=np.ones(count, bool),
        is_held=np.zeros(count, bool) if lost is None else lost.astype(bool),
        true=true.astype(np.float32),
        true_normals=np.zeros((count, 3), np.float32),
    )


def test_truth_against_itself_is_zero() -> None:
    points, normals = room(20_000, 0)
    metrics = cloud_metrics(cloud(points, normals), cloud(points, normals))
    assert metrics.accuracy_mean_cm == metrics.completeness_mean_cm == metrics.chamfer_rmse_m == 0
    assert metrics.completion_ratio_5cm == 1
    assert metrics.normal_consistency == pytest.approx(1)


def test_hand_worked_example() -> None:
    """True points 0, 1, 2 m on a line; estimated ones at 0.1 m beside the first and 3 m beyond the last."""
    true = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    estimated = np.array([[0.0, 0.1, 0], [5, 0, 0]])
    up, tilted = [0.0, 0, 1], [0.0, 0.6, 0.8]
    metrics = cloud_metrics(cloud(estimated, np.array([tilted, up])), cloud(true, np.array([up, up, [0, 0, 0]])))
    assert (metrics.points, metrics.true_points) == (2, 3)
    assert metrics.accuracy_mean_cm == pytest.approx(100 * (0.1 + 3) / 2)
    assert metrics.accuracy_median_cm == pytest.approx(100 * (0.1 + 3) / 2)
    assert metrics.accuracy_rmse_m == pytest.approx(np.sqrt((0.1**2 + 0.5**2) / 2))  # 3 m count as 0.5
    to_first = np.array([0.1, np.hypot(1, 0.1), np.hypot(2, 0.1)])
    assert metrics.completeness_mean_cm == pytest.approx(100 * to_first.mean())
    assert metrics.completeness_rmse_m == pytest.approx(np.sqrt((0.1**2 + 2 * 0.5**2) / 3))
    assert metrics.chamfer_rmse_m == pytest.approx((metrics.accuracy_rmse_m + metrics.completeness_rmse_m) / 2)
    assert metrics.completion_ratio_5cm == 0
    # estimated 0 -> true 0 (0.8), estimated 1 -> true 2 (no normal); true 0 and 1 -> estimated 0 (0.8 each)
    assert metrics.normal_consistency == pytest.approx(0.8)


def test_shift_out_of_a_wall_is_its_length() -> None:
    wall = np.stack([*np.meshgrid(np.arange(0, 3, 0.02), np.arange(0, 2, 0.02)), np.zeros((100, 150))], -1)
    wall = wall.reshape(-1, 3)
    for shift in (0.03, 0.2, 0.8):
        metrics = cloud_metrics(cloud(wall + np.array([0, 0, shift])), cloud(wall))
        assert metrics.accuracy_mean_cm == pytest.approx(100 * shift)
        assert metrics.completeness_median_cm == pytest.approx(100 * shift)
        assert metrics.chamfer_rmse_m == pytest.approx(min(shift, 0.5))
        assert metrics.completion_ratio_5cm == (1 if shift < 0.05 else 0)


def brute_force(a: Array, b: Array) -> Array:
    """Distance from each of a to the nearest of b, without a tree."""
    return np.array([np.sqrt(((b - point) ** 2).sum(axis=1)).min() for point in a])


def check(metrics: CloudMetrics, accuracy: Array, completeness: Array) -> None:
    assert metrics.accuracy_mean_cm == pytest.approx(100 * accuracy.mean(), abs=1e-9)
    assert metrics.completeness_mean_cm == pytest.approx(100 * completeness.mean(), abs=1e-9)
    assert metrics.accuracy_median_cm == pytest.approx(100 * np.median(accuracy), abs=1e-9)
    for rmse, distances in ((metrics.accuracy_rmse_m, accuracy), (metrics.completeness_rmse_m, completeness)):
        assert rmse == pytest.approx(np.sqrt(np.mean(np.minimum(distances, 0.5) ** 2)), abs=1e-12)
    assert metrics.completion_ratio_5cm == np.mean(completeness <= 0.05)


def random_clouds(seed: int) -> tuple[Array, Array]:
    """Two clouds of different sizes, no two points of one in a voxel, so that each is looked at."""
    random = np.random.default_rng(seed)
    first, second = room(1500, seed)[0] + random.normal(scale=0.05, size=(1500, 3)), room(2000, seed + 1)[0]
    return first[one_per_voxel(first, 0.011)], second[one_per_voxel(second, 0.011)]


@pytest.mark.parametrize("seed", range(3))
def test_agreement_with_brute_force(seed: int) -> None:
    estimated, true = random_clouds(seed)
    keep = [one_per_voxel(points, 0.01) for points in (estimated, true)]
    expected = brute_force(estimated[keep[0]], true), brute_force(true[keep[1]], estimated)
    check(cloud_metrics(cloud(estimated), cloud(true)), *expected)


@pytest.mark.parametrize("seed", range(3))
def test_agreement_with_open3d(seed: int) -> None:
    open3d = pytest.importorskip(
        "open3d", exc_type=ImportError, reason="large; the brute-force test beside this one runs everywhere"
    )
    estimated, true = random_clouds(seed)
    keep = [one_per_voxel(points, 0.01) for points in (estimated, true)]

    def as_open3d(points: Array) -> object:
        return open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))

    accuracy = np.asarray(as_open3d(estimated[keep[0]]).compute_point_cloud_distance(as_open3d(true)))  # type: ignore[attr-defined]
    completeness = np.asarray(as_open3d(true[keep[1]]).compute_point_cloud_distance(as_open3d(estimated)))  # type: ignore[attr-defined]
    check(cloud_metrics(cloud(estimated), cloud(true)), accuracy, completeness)


# ---- alignment


def test_alignment_takes_scale_rotation_and_shift_out() -> None:
    true, _ = room(5000, 4)
    rotation = rotation_from_quat_xyzw([0.3, -0.2, 0.5, 0.7])
    aligned = compare_clouds(pairs((0.3 * true) @ rotation.T + [5, -2, 1], true), 1.5, 0)
    assert aligned is not None
    assert aligned.alignment.scale == pytest.approx(1 / 0.3, rel=1e-5)
    assert aligned.metrics.accuracy_mean_cm < 1e-3 and aligned.metrics.completeness_mean_cm < 1e-3


def test_points_below_the_threshold_and_of_lost_frames_count_only_in_all() -> None:
    true, _ = room(6000, 5)
    estimated = true.copy()
    confidence, lost = np.full(6000, 3.0), np.zeros(6000)
    estimated[:1000] += [0, 0, 30]
    confidence[:500], lost[500:1000] = 1.2, 1
    aligned = compare_clouds(pairs(estimated, true, confidence, lost), 1.5, 0)
    assert aligned is not None
    assert aligned.metrics.accuracy_mean_cm < 1e-3
    assert aligned.metrics.completeness_mean_cm > 0.01  # what is missing is looked for
    assert aligned.metrics_of_all.accuracy_mean_cm > 100


def test_nothing_confident_is_nothing_to_compare() -> None:
    true, _ = room(100, 6)
    assert compare_clouds(pairs(true, true, np.ones(100)), 1.5, 0) is None


def test_not_a_number_is_left_out() -> None:
    true, _ = room(1000, 7)
    estimated = true.copy()
    estimated[::10] = np.nan
    aligned = compare_clouds(pairs(estimated, true), 1.5, 0)
    assert aligned is not None and aligned.metrics.accuracy_mean_cm < 1e-3


def test_two_comparisons_agree_to_the_last_digit() -> None:
    random = np.random.default_rng(8)
    true, _ = room(30_000, 8)
    both = pairs(true + random.normal(scale=0.02, size=true.shape), true)
    first, second = (compare_clouds(both, 1.5, 3) for _ in range(2))
    assert first is not None and second is not None
    assert (first.metrics, first.metrics_of_all) == (second.metrics, second.metrics_of_all)


def test_icp_finds_a_small_motion() -> None:
    true, _ = room(20_000, 9)
    rotation = rotation_from_quat_xyzw([0.004, -0.003, 0.005, 1])
    moved = true[:5000] @ rotation.T + [0.02, -0.01, 0.015]
    found = iterative_closest_point(moved, cKDTree(true), true)
    assert np.linalg.norm(found.apply(moved) - true[:5000], axis=1).mean() < 0.005
    assert found.scale == 1


def test_similarity_of_positions_where_there_is_no_motion() -> None:
    fitted = similarity_of_positions(np.ones((5, 3)), np.arange(15.0).reshape(5, 3))
    assert isinstance(fitted, Sim3)
    assert fitted.apply(np.ones((1, 3)))[0] == pytest.approx([6, 7, 8])


# ---- normals


def test_normals_of_a_wall_and_none_at_its_edge() -> None:
    columns, rows = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 30))
    points = np.stack([columns, rows, 2 + 0.5 * columns], -1)
    points[:, 20:, 2] += 3
    points[3, 3] = np.nan
    normals = normals_of(points, np.zeros(3))
    expected = np.array([0.5, 0, -1]) / np.hypot(0.5, 1)
    assert np.abs(normals[10, 10] @ expected) == pytest.approx(1)
    for row, column in ((3, 3), (3, 2), (2, 3), (10, 19), (-1, 5), (5, -1)):
        assert normals[row, column].tolist() == [0, 0, 0]
