"""L2W's pose and scale of a frame as a prior of motion-only and sliding-window bundle adjustment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slam3r_ros.geometry.se3 import Array, vector_from_rotation
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.vision.tuning import TUNING


@dataclass(frozen=True, slots=True, eq=False)
class PosePrior:
    """The pose and the scale that L2W gives a frame, and how far they are to be believed."""

    T_camera_world: Array | None
    """(4, 4) pose of the frame, or None where L2W gives the scale only."""
    log_scale: float
    """Logarithm of the length in the world of one unit of the frame's own pointmap."""
    sigma_factor: float
    """Factor of the prior's nominal standard deviations (`VisionTuning.prior_rotation_sigma` and so on): 1 for the
    trained networks of today, near 0 for exact ones."""

    def transformed(self, world_change: Sim3) -> PosePrior:
        """The same prior in a world to which a similarity has been applied."""
        T = None if self.T_camera_world is None else world_change.apply_to_extrinsics(self.T_camera_world)
        return PosePrior(T, self.log_scale + float(np.log(world_change.scale)), self.sigma_factor)


def sigma_factor_of(reprojection_error: float) -> float:
    """The `PosePrior.sigma_factor` of an L2W pointmap with that median error, in normalized image coordinates.

    The error shows what L2W is wrong by within a frame; it stands for what cannot be seen, a frame that is in the wrong
    place as a whole. It is a poor measure of that, hence the fourth power: half the error is a sixteenth of the factor.
    """
    return float(np.clip((reprojection_error / TUNING.full_sigma_error) ** 4, TUNING.min_sigma_factor, 1.0))


def pose_residuals(T_camera_world: Array, prior_T_camera_world: Array) -> Array:
    """(K, 6) rotation vectors and translations, in the cameras' axes, from prior poses (K, 4, 4) to poses (K, 4, 4)."""
    between = T_camera_world[:, :3, :3] @ prior_T_camera_world[:, :3, :3].transpose(0, 2, 1)
    offsets = T_camera_world[:, :3, 3] - np.einsum("kij,kj->ki", between, prior_T_camera_world[:, :3, 3])
    return np.concatenate([vector_from_rotation(between), offsets], axis=1)


def pose_sigmas(sigma_factors: Array, mean_depth: float) -> Array:
    """(K, 6) standard deviations of `pose_residuals`, for sigma factors (K,) and the mean depth of the landmarks."""
    nominal = np.repeat([TUNING.prior_rotation_sigma, TUNING.prior_position_sigma * mean_depth], 3)
    return np.asarray(np.outer(sigma_factors, nominal))
