"""What bundle adjustment is given and what it estimates: the keyframes and landmarks of a sliding window.

A landmark is anchored: it lies on the ray on which one keyframe, its anchor, observes it, and the logarithm of its
depth there is its only unknown. Anchored inverse depths are known from Civera et al. (2008, "Inverse depth
parametrization for monocular SLAM") and DSO (Engel et al. 2018, "Direct sparse odometry"). The logarithm instead of the
inverse also keeps depths positive, and turns a change of scale into an addition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.vision.pose_prior import PosePrior


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """M observations: where keyframes see landmarks. A landmark is also observed by its anchor.

    They are sorted by landmark, and a keyframe observes a landmark at most once.
    """

    keyframe: NDArray[np.intp]
    """(M,) number of the keyframe that observes."""
    landmark: NDArray[np.intp]
    """(M,) number of the landmark that is observed, ascending."""
    normalized_xy: Array
    """(M, 2) normalized image coordinates x / z and y / z at which the landmark is observed."""
    pointmap_log_depths: Array
    """(M,) logarithms of the depths that the keyframe's own pointmap has there, in its own unit; NaN where it has
    none."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """The unknowns of K keyframes and N landmarks."""

    T_camera_world: Array
    """(K, 4, 4) rigid transforms that take world points to the keyframes' cameras."""
    log_scales: Array
    """(K,) logarithms of the scales of the keyframes' pointmaps: the world length of one unit of each."""
    log_depths: Array
    """(N,) logarithms of the landmarks' depths in their anchors, in world lengths."""

    def scaled(self, log_factor: float) -> Estimate:
        """The estimate with all world lengths multiplied by ``exp(log_factor)`` about the oldest keyframe's centre."""
        oldest = invert_rigid(self.T_camera_world[0])[:3, 3]
        factor = float(np.exp(log_factor))
        scaling = Sim3(factor, np.eye(3), (1 - factor) * oldest)
        poses = scaling.apply_to_extrinsics(self.T_camera_world)
        return Estimate(poses, self.log_scales + log_factor, self.log_depths + log_factor)


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Everything that is known of K keyframes and N landmarks, for one bundle adjustment."""

    observations: Observations
    """Where the keyframes observe the landmarks."""
    anchors: NDArray[np.intp]
    """(N,) number of the keyframe in which each landmark is anchored."""
    anchor_rays: Array
    """(N, 3) rays of the landmarks in their anchors: x / z, y / z and 1."""
    priors: tuple[PosePrior | None, ...]
    """What L2W says of the pose and scale of each of the K keyframes; None where it says nothing that counts."""
    fixed_keyframes: int
    """Number of the oldest keyframes whose poses are held fixed (the gauge)."""
    xy_sigma: float
    """Standard deviation of one normalized image coordinate of an observation."""
