"""Trajectories that are predicted without the images."""

from __future__ import annotations

import numpy as np

from slam3r_lab.baselines.result import BaselineResult
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_ros.geometry.se3 import rigid
from slam3r_ros.types import StampedPose


def identity_motion(sequence: ImageSequence) -> BaselineResult:
    """The camera stands still: its position error is the spread of the true path."""
    return BaselineResult([StampedPose(frame.stamp_ns, np.eye(4)) for frame in sequence.frames], None, 0.0)


def constant_velocity(sequence: ImageSequence) -> BaselineResult:
    """The camera moves straight ahead, one unit a second, without turning; alignment finds the best line and speed."""
    first = sequence.frames[0].stamp_ns if sequence.frames else 0
    return BaselineResult(
        [
            StampedPose(frame.stamp_ns, rigid(np.eye(3), [0.0, 0.0, (frame.stamp_ns - first) * 1e-9]))
            for frame in sequence.frames
        ],
        None,
        0.0,
    )
