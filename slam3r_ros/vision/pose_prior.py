"""What L2W says of a frame, as a prior of its pose and scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3

TURN_DEVIATION = 0.3
"""Of L2W's orientation, radians, where it is doubted in full."""
POSITION_DEVIATION = 0.5
"""Of its position, in mean depths."""
SCALE_DEVIATION = 0.1
"""Of the logarithm of the scale; that of one frame errs by more, but those of a window have to agree."""
PRIOR_KERNEL = 1.0
"""Deviations from which on a disagreement pulls with constant force (Charbonnier's kernel), so that one that lasts is
not forgotten."""
FULL_DOUBT_SLOPE = 0.005
"""Median error of L2W's points on the plane of slopes with which it is doubted in full."""
LEAST_DOUBT = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class PosePrior:
    """L2W's answer for one frame."""

    T_camera_world: Array | None
    """(4, 4); None where it tells the scale only."""
    log_scale: float
    """Of the world's length of a unit of the frame's own pointmap."""
    doubt: float
    """Its deviations as a share of those above: 1 for trained networks of today, near 0 for exact ones."""

    def transformed(self, moved: Sim3) -> PosePrior:
        """The same in a world that has been moved."""
        T = None if self.T_camera_world is None else moved.apply_to_extrinsics(self.T_camera_world)
        return PosePrior(T, self.log_scale + float(np.log(moved.scale)), self.doubt)


def doubt_of(slope_error: float) -> float:
    """How far to doubt L2W's answer, whose points miss their pixels by this much (median, on the plane of slopes).

    What it is wrong by within a frame is seen; it is taken for a measure of what cannot be seen, a frame as a whole
    in the wrong place. That measure is a poor one: half the error seen, a sixteenth of the doubt.
    """
    return float(np.clip((slope_error / FULL_DOUBT_SLOPE) ** 4, LEAST_DOUBT, 1.0))


def pose_residuals(T_camera_world: Array, said: Array) -> Array:
    """(K, 6) turns in radians and shifts, in the cameras' axes, from poses (K, 4, 4) that were said to those here."""
    between = T_camera_world[:, :3, :3] @ said[:, :3, :3].transpose(0, 2, 1)
    offsets = T_camera_world[:, :3, 3] - np.einsum("kij,kj->ki", between, said[:, :3, 3])
    return np.concatenate([_turns(between), offsets], axis=1)


def pose_deviations(doubts: Array, depth: float) -> Array:
    """(K, 6) of `pose_residuals`, for doubts (K,) and the mean depth of what is seen."""
    return np.asarray(np.outer(doubts, np.repeat([TURN_DEVIATION, POSITION_DEVIATION * depth], 3)))


def prior_roots(squares: Array) -> Array:
    """Charbonnier's ``sqrt(1 + s / kernel^2)`` of squared residuals in deviations: 1 over it is the weight."""
    return np.asarray(np.sqrt(1 + squares / PRIOR_KERNEL**2))


def _turns(rotations: Array) -> Array:
    """(K, 3) axes times radians of rotations (K, 3, 3); short for those near half a turn."""
    odd = rotations - rotations.transpose(0, 2, 1)
    axes = 0.5 * np.stack([odd[:, 2, 1], odd[:, 0, 2], odd[:, 1, 0]], axis=1)
    sines, cosines = np.linalg.norm(axes, axis=1), (np.trace(rotations, axis1=1, axis2=2) - 1) / 2
    return np.asarray(axes * (np.arctan2(sines, cosines) / np.maximum(sines, 1e-12))[:, None])
