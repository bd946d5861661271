"""The world as a drifting L2W sees it: the true camera path, with turns and scale that grow along it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_lab.oracle.settings import OracleSettings
from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid, rotation_from_vector


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where a drifting network believes a view to be."""

    scale: float
    """Length there of a metre seen in this view."""
    T_world_camera: Array
    """(4, 4) units of that world."""

    def to_world(self, points_camera: Array) -> Array:
        """(..., 3) metres in the view's camera to (..., 3) in that world."""
        pose = self.T_world_camera
        return self.scale * (points_camera @ pose[:3, :3].T) + pose[:3, 3]


def drifting_path(poses: Sequence[NDArray[np.float64] | None], settings: OracleSettings) -> list[Placement | None]:
    """The placement of each true pose T_world_camera (4, 4), metres; None where there is none.

    In each metre of the path the scale grows by ``scale_drift``, and the camera turns ``pose_drift`` radians too far
    about an axis that the seed chooses. Without drift these are the true poses.
    """
    axis = np.random.default_rng([settings.seed, 7]).standard_normal(3)
    axis /= np.linalg.norm(axis)
    placements: list[Placement | None] = []
    true_last: Array | None = None
    last = Placement(1.0, np.eye(4))
    for pose in poses:
        if pose is None:
            placements.append(None)
            continue
        if true_last is None:
            last = Placement(1.0, np.asarray(pose, dtype=np.float64))
        else:
            last = _moved(last, invert_rigid(true_last) @ pose, axis, settings)
        placements.append(last)
        true_last = pose
    return placements


def _moved(last: Placement, motion: Array, axis: Array, settings: OracleSettings) -> Placement:
    """The next placement after a true motion T_last_next."""
    length = float(np.linalg.norm(motion[:3, 3]))
    turn = rotation_from_vector(axis * settings.pose_drift * length)
    believed = rigid(turn @ motion[:3, :3], last.scale * (turn @ motion[:3, 3]))
    return Placement(last.scale * (1 + settings.scale_drift) ** length, last.T_world_camera @ believed)
