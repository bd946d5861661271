"""How far a trajectory is from the truth, after the similarity that brings it nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.geometry.umeyama import umeyama
from slam3r_ros.types import StampedPose


@dataclass(frozen=True, slots=True)
class TrajectoryError:
    """Absolute trajectory error (Sturm et al. 2012) of positions, aligned with scale (Umeyama 1991)."""

    rmse_m: float
    """Root mean square distance, in the truth's unit."""
    percent_of_path: float
    """The same as a share of the length of the true path between the first and the last pose compared."""
    path_m: float
    compared: int
    """Poses that the truth has a pose for."""
    metres_per_unit: float
    """Scale of the alignment."""


@dataclass(frozen=True, slots=True, eq=False)
class TrueTrajectory:
    """The true trajectory, brought to the estimated one by the similarity that aligns the two."""

    positions: NDArray[np.float64]
    """(N, 3) true positions from the first to the last pose compared, in the world and unit of the estimated ones."""
    metres_per_unit: float
    """Scale of the alignment."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """An estimated trajectory beside the true one."""

    error: TrajectoryError
    truth: TrueTrajectory


def absolute_errors(estimated: NDArray[np.float64], true: NDArray[np.float64], alignment: Sim3) -> NDArray[np.float64]:
    """(N,) distances of estimated positions (N, 3), once they are aligned, from the true ones (N, 3).

    Their root mean square is the absolute trajectory error (Sturm et al. 2012).
    """
    return np.asarray(np.linalg.norm(alignment.apply(estimated) - true, axis=1), dtype=np.float64)


def root_mean_square(values: NDArray[np.float64]) -> float:
    """The square root of the mean of the squares."""
    return float(np.sqrt(np.mean(values**2)))


def compare_with_truth(
    trajectory: Sequence[StampedPose], truth: Mapping[int, NDArray[np.float64]]
) -> Comparison | None:
    """Compare with true poses T_world_camera (4, 4) by stamp in nanoseconds.

    None where the two have too little in common to align: fewer than three stamps, no motion.
    """
    common = [pose for pose in trajectory if pose.stamp_ns in truth]
    if len(common) < 3:
        return None
    estimated = np.array([pose.T_world_camera[:3, 3] for pose in common])
    true = np.array([truth[pose.stamp_ns][:3, 3] for pose in common])
    alignment = umeyama(estimated, true)
    if alignment is None:
        return None
    first, last = common[0].stamp_ns, common[-1].stamp_ns
    path = np.array([truth[stamp][:3, 3] for stamp in sorted(truth) if first <= stamp <= last])
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    rmse = root_mean_square(absolute_errors(estimated, true, alignment))
    scale = float(alignment.scale)
    error = TrajectoryError(rmse, 100 * rmse / length if length > 0 else 0.0, length, len(common), scale)
    return Comparison(error, TrueTrajectory(alignment.inverse().apply(path), scale))
