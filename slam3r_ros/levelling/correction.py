"""The turn that makes a map upright."""

from __future__ import annotations

import numpy as np

from slam3r_ros.geometry.se3 import Array, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.levelling.tuning import TUNING
from slam3r_ros.loop_closure.correction import MapCorrection

_UP_WORLD = np.array([0.0, -1.0, 0.0])
"""What is up in the map's axes, in those of the world, which are a camera's: x right, y down, z forward."""


def levelling(up_world: Array) -> MapCorrection | None:
    """The correction that turns the world about its origin until the direction ``up_world`` (3,) points up on the map;
    by the shortest way, so that the heading stays. None where the map is upright already."""
    axis = np.cross(up_world, _UP_WORLD)
    sine, cosine = float(np.linalg.norm(axis)), float(up_world @ _UP_WORLD)
    angle = float(np.arctan2(sine, cosine))
    if angle < TUNING.least_turn_rad:
        return None
    axis = axis / sine if sine > 1e-9 else np.array([0.0, 0.0, 1.0])  # upside down: about the viewing direction
    rotation = rotation_from_vector(angle * axis)
    return MapCorrection(np.zeros(1, np.int64), Sim3(np.ones(1), rotation[None], np.zeros((1, 3))))
