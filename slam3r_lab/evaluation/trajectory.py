"""How good a trajectory is: absolute pose error, relative pose error (by the `evo` library), drift of the scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from evo.core.filters import FilterException
from evo.core.metrics import RPE, PoseRelation, Unit
from evo.core.trajectory import PoseTrajectory3D
from numpy.typing import NDArray

from slam3r_lab.evaluation.alignment import similarity_of_positions
from slam3r_ros.cli.trajectory_error import absolute_errors, root_mean_square
from slam3r_ros.geometry.se3 import orthonormal, rigid
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.types import StampedPose

FEWEST_POSES = 3
SEGMENTS = 10
"""Parts of the path, of equal length, in which the scale is measured."""
FEWEST_POSES_OF_A_SEGMENT = 4


@dataclass(frozen=True, slots=True)
class LocalScale:
    """The scale of one part of the path."""

    at_m: float
    """Length of the true path up to the middle of the part."""
    relative_scale: float
    """Metres of one scene unit here, over metres of one scene unit for the whole trajectory."""


@dataclass(frozen=True, slots=True)
class TrajectoryMetrics:
    """Errors of the positions after the similarity that brings them nearest to the truth (Umeyama 1991)."""

    compared: int
    """Poses that the truth has a pose for."""
    path_m: float
    """Length of the true path through the compared poses."""
    ate_rmse_m: float
    """Absolute trajectory error (Sturm et al. 2012): root mean square distance of positions."""
    ate_mean_m: float
    ate_median_m: float
    ate_max_m: float
    ate_percent_of_path: float
    """`ate_rmse_m` over `path_m`."""
    metres_per_unit: float
    """Scale of the alignment."""
    rpe_translation_rmse_m: float
    """Relative pose error from each compared pose to the next, after the alignment."""
    rpe_rotation_rmse_deg: float
    rpe_per_metre_translation_rmse_m: float | None
    """Relative pose error over one metre of the true path, all pairs; None where the path is too short."""
    rpe_per_metre_rotation_rmse_deg: float | None
    scale_drift_percent: float | None
    """Change of the scale from the path's begin to its end, by the line through the logarithms of the local scales."""
    scale_spread_percent: float | None
    """Standard deviation of the local scales' logarithms, in percent."""
    local_scales: tuple[LocalScale, ...]


@dataclass(frozen=True, slots=True, eq=False)
class AlignedTrajectory:
    """What was compared, for plots."""

    metrics: TrajectoryMetrics
    alignment: Sim3
    """From scene units to metres."""
    estimated: NDArray[np.float64]
    """(N, 3) positions after the alignment."""
    true: NDArray[np.float64]
    """(N, 3)"""


def compare_trajectories(
    trajectory: Sequence[StampedPose], truth: Mapping[int, NDArray[np.float64]]
) -> AlignedTrajectory | None:
    """Compare with true poses T_world_camera (4, 4) by stamp, integer nanoseconds.

    None where fewer than three stamps are in both.
    """
    common = [pose for pose in trajectory if pose.stamp_ns in truth]
    if len(common) < FEWEST_POSES:
        return None
    first = common[0].stamp_ns
    stamps = np.array([(pose.stamp_ns - first) / 1e9 for pose in common])
    true = PoseTrajectory3D(poses_se3=[orthonormal(truth[pose.stamp_ns]) for pose in common], timestamps=stamps)
    poses = [orthonormal(pose.T_world_camera) for pose in common]
    alignment = similarity_of_positions(np.array([pose[:3, 3] for pose in poses]), true.positions_xyz)
    aligned = [rigid(alignment.rotation @ pose[:3, :3], alignment.apply(pose[:3, 3])) for pose in poses]
    estimated = PoseTrajectory3D(poses_se3=aligned, timestamps=stamps)
    distances = absolute_errors(np.array([pose[:3, 3] for pose in poses]), true.positions_xyz, alignment)
    rmse = root_mean_square(distances)
    path = float(true.path_length)
    scales = local_scales(np.array([pose[:3, 3] for pose in poses]), true.positions_xyz, float(alignment.scale))
    drift, spread = _scale_drift(scales, path)
    relative = partial(_relative_error, true, estimated)
    metrics = TrajectoryMetrics(
        compared=len(common),
        path_m=path,
        ate_rmse_m=rmse,
        ate_mean_m=float(distances.mean()),
        ate_median_m=float(np.median(distances)),
        ate_max_m=float(distances.max()),
        ate_percent_of_path=100 * rmse / path if path > 0 else 0.0,
        metres_per_unit=float(alignment.scale),
        rpe_translation_rmse_m=relative(PoseRelation.translation_part, 1, Unit.frames) or 0.0,
        rpe_rotation_rmse_deg=relative(PoseRelation.rotation_angle_deg, 1, Unit.frames) or 0.0,
        rpe_per_metre_translation_rmse_m=relative(PoseRelation.translation_part, 1.0, Unit.meters),
        rpe_per_metre_rotation_rmse_deg=relative(PoseRelation.rotation_angle_deg, 1.0, Unit.meters),
        scale_drift_percent=drift,
        scale_spread_percent=spread,
        local_scales=scales,
    )
    return AlignedTrajectory(metrics, alignment, estimated.positions_xyz, true.positions_xyz)


def local_scales(
    estimated: NDArray[np.float64], true: NDArray[np.float64], overall_scale: float
) -> tuple[LocalScale, ...]:
    """The scale of each of `SEGMENTS` parts of the path: how far the true positions (N, 3) spread around their mean
    over how far the estimated ones (N, 3, not aligned) do.

    Parts with fewer than `FEWEST_POSES_OF_A_SEGMENT` poses, or without motion, are left out.
    """
    walked = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(true, axis=0), axis=1))])
    if not walked[-1] > 0:
        return ()
    part_of = np.minimum((walked / walked[-1] * SEGMENTS).astype(int), SEGMENTS - 1)
    scales = []
    for part in range(SEGMENTS):
        chosen = part_of == part
        if np.count_nonzero(chosen) < FEWEST_POSES_OF_A_SEGMENT:
            continue
        spread, true_spread = (float(np.linalg.norm(p[chosen] - p[chosen].mean(axis=0))) for p in (estimated, true))
        if spread > 0 and true_spread > 0:
            at = float(walked[-1]) * (part + 0.5) / SEGMENTS
            scales.append(LocalScale(at, true_spread / spread / overall_scale))
    return tuple(scales)


def _scale_drift(scales: Sequence[LocalScale], path_m: float) -> tuple[float | None, float | None]:
    """Change over the whole path and standard deviation of the logarithms, percent."""
    if len(scales) < 2:
        return None, None
    logarithms = np.log([scale.relative_scale for scale in scales])
    slope = float(np.polyfit([scale.at_m for scale in scales], logarithms, 1)[0])
    return 100 * float(np.expm1(slope * path_m)), 100 * float(logarithms.std())


def _relative_error(
    true: PoseTrajectory3D, estimated: PoseTrajectory3D, relation: PoseRelation, delta: float, unit: Unit
) -> float | None:
    """Root mean square relative pose error; None where no pair of poses is that far apart."""
    by_distance = unit is Unit.meters
    rpe = RPE(relation, delta, unit, all_pairs=by_distance, pairs_from_reference=by_distance)
    try:
        rpe.process_data((true, estimated))
    except FilterException:
        return None
    errors = np.asarray(rpe.error)
    return float(np.sqrt(np.mean(errors**2))) if len(errors) else None
