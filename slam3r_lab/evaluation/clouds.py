"""How good a cloud is: accuracy, completeness and what the papers make of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slam3r_lab.evaluation.alignment import iterative_closest_point
from slam3r_lab.evaluation.samples import PixelPairs
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.geometry.umeyama import umeyama

Array = NDArray[np.float64]

VOXEL_M = 0.01
"""One point of each voxel of this side, and no more than `MOST_QUERIES`, ask for their nearest neighbour; it is looked
for among all points."""
MOST_QUERIES = 50_000
CAP_M = 0.5
"""MASt3R-SLAM's and ViSTA-SLAM's largest distance: larger ones count as this."""
COMPLETE_WITHIN_M = 0.05
ICP_POINTS = 20_000


@dataclass(frozen=True, slots=True)
class CloudMetrics:
    """Distances between a cloud and the true one, from each point to the nearest of the other."""

    points: int
    """Estimated points that were compared, after the voxel filter."""
    true_points: int
    accuracy_mean_cm: float
    """Estimated to true, mean: SLAM3R's accuracy."""
    accuracy_median_cm: float
    completeness_mean_cm: float
    """True to estimated, mean: SLAM3R's completeness."""
    completeness_median_cm: float
    accuracy_rmse_m: float
    """Root mean square of distances capped at 0.5 m: MASt3R-SLAM's and ViSTA-SLAM's accuracy."""
    completeness_rmse_m: float
    chamfer_rmse_m: float
    """Mean of the two before."""
    completion_ratio_5cm: float
    """Share of the true points that have an estimated one within 5 cm."""
    normal_consistency: float | None
    """Mean absolute cosine between the normals of nearest points, both ways; None where there are no normals."""


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """Points and their normals."""

    points: Array
    """(N, 3) metres."""
    normals: Array
    """(N, 3) unit vectors, zero where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class AlignedCloud:
    """The estimated points on the truth."""

    alignment: Sim3
    """From scene units to metres: Umeyama over the pixels' pairs, then ICP."""
    metrics: CloudMetrics
    """Of the confident points."""
    metrics_of_all: CloudMetrics
    """Of all estimated points, with the same alignment."""


def compare_clouds(pairs: PixelPairs, confidence: float, seed: int) -> AlignedCloud | None:
    """Align and compare. ``confidence``: that from which a point counts as confident; those of lost frames never do.

    Similarity of least squares over the pairs of confident points (Umeyama 1991), then ICP, as in SLAM3R's paper; the
    true cloud has all frames' points. None where fewer than three points are confident.
    """
    confident = pairs.has_estimate & ~pairs.is_held & (pairs.confidence >= confidence)
    usable = confident & np.isfinite(pairs.estimated).all(axis=1)
    alignment = umeyama(pairs.estimated[usable], pairs.true[usable])
    if alignment is None:
        return None
    true = Cloud(pairs.true.astype(np.float64), pairs.true_normals.astype(np.float64))
    tree = cKDTree(true.points)
    chosen = np.flatnonzero(usable)
    if len(chosen) > ICP_POINTS:
        chosen = random_choice(chosen, ICP_POINTS, seed)
    refinement = iterative_closest_point(alignment.apply(pairs.estimated[chosen]), tree, true.points)
    alignment = refinement @ alignment

    def placed(which: NDArray[np.bool_]) -> Cloud:
        return Cloud(alignment.apply(pairs.estimated[which]), pairs.estimated_normals[which] @ alignment.rotation.T)

    everything = pairs.has_estimate & np.isfinite(pairs.estimated).all(axis=1)
    return AlignedCloud(
        alignment,
        cloud_metrics(placed(usable), true, seed, tree),
        cloud_metrics(placed(everything), true, seed, tree),
    )


def cloud_metrics(estimated: Cloud, true: Cloud, seed: int = 0, true_tree: cKDTree | None = None) -> CloudMetrics:
    """Compare two clouds that lie in the same frame, at least one point each."""
    ask, ask_true = (_thinned(cloud.points, seed) for cloud in (estimated, true))
    tree, true_tree = cKDTree(estimated.points), cKDTree(true.points) if true_tree is None else true_tree
    accuracy, nearest_true = true_tree.query(estimated.points[ask], workers=-1)
    completeness, nearest_estimated = tree.query(true.points[ask_true], workers=-1)
    cosines = np.concatenate(
        [
            _cosines(estimated.normals[ask], true.normals[nearest_true]),
            _cosines(true.normals[ask_true], estimated.normals[nearest_estimated]),
        ]
    )
    accuracy_rmse, completeness_rmse = _capped_rmse(accuracy), _capped_rmse(completeness)
    return CloudMetrics(
        points=len(ask),
        true_points=len(ask_true),
        accuracy_mean_cm=100 * float(accuracy.mean()),
        accuracy_median_cm=100 * float(np.median(accuracy)),
        completeness_mean_cm=100 * float(completeness.mean()),
        completeness_median_cm=100 * float(np.median(completeness)),
        accuracy_rmse_m=accuracy_rmse,
        completeness_rmse_m=completeness_rmse,
        chamfer_rmse_m=(accuracy_rmse + completeness_rmse) / 2,
        completion_ratio_5cm=float(np.mean(completeness <= COMPLETE_WITHIN_M)),
        normal_consistency=float(cosines.mean()) if len(cosines) else None,
    )


def one_per_voxel(points: Array, side: float) -> NDArray[np.intp]:
    """Indices of one point of each voxel of that side, the first of each, in order."""
    cells = np.floor((points - points.min(axis=0)) / side).astype(np.int64)
    extent = cells.max(axis=0) + 1
    keys = (cells[:, 0] * extent[1] + cells[:, 1]) * extent[2] + cells[:, 2]
    return np.sort(np.unique(keys, return_index=True)[1])


def _thinned(points: Array, seed: int) -> NDArray[np.intp]:
    """One point of each voxel, at random no more than `MOST_QUERIES`."""
    chosen = one_per_voxel(points, VOXEL_M)
    return chosen if len(chosen) <= MOST_QUERIES else random_choice(chosen, MOST_QUERIES, seed)


def random_choice(values: NDArray[np.intp], count: int, seed: int) -> NDArray[np.intp]:
    """``count`` of the values, sorted; the same at every call."""
    return np.sort(np.random.default_rng(seed).choice(values, count, replace=False))


def _capped_rmse(distances: Array) -> float:
    return float(np.sqrt(np.mean(np.minimum(distances, CAP_M) ** 2)))


def _cosines(a: Array, b: Array) -> Array:
    """Absolute cosines where both have a normal."""
    both = (np.abs(a).sum(axis=1) > 0) & (np.abs(b).sum(axis=1) > 0)
    return np.abs(np.einsum("ij,ij->i", a[both], b[both])).clip(0, 1)
