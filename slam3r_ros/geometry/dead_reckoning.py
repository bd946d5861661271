"""Dead reckoning: a pose by the sum of all motions from frame to frame, which no correction of the map moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slam3r_ros.geometry.se3 import Array, invert_rigid


@dataclass(frozen=True, slots=True, eq=False)
class DeadReckoning:
    """Where a camera is by the motions that were measured since the start. It drifts, and never jumps."""

    T_start_camera: Array
    """(4, 4): takes points of the camera to where the camera was at the start; the length of each motion is in scene
    units as they were at its time."""
    interruptions: int
    """How often the motion from one frame to the next was not measured; it is left out of the sum."""

    @classmethod
    def begin(cls) -> DeadReckoning:
        """At the start."""
        return cls(np.eye(4), 0)

    def moved(self, T_before_now: Array) -> DeadReckoning:
        """After a motion: the pose (4, 4) of the camera now in the camera before."""
        return DeadReckoning(self.T_start_camera @ T_before_now, self.interruptions)

    def interrupted(self) -> DeadReckoning:
        """After a motion that was not measured."""
        return DeadReckoning(self.T_start_camera, self.interruptions + 1)

    def motion_to(self, later: DeadReckoning) -> Array | None:
        """(4, 4) the pose of a later camera in this one; None where part of the motion in between was not measured."""
        if self.interruptions != later.interruptions:
            return None
        return invert_rigid(self.T_start_camera) @ later.T_start_camera
