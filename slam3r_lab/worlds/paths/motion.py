"""Ways of moving a camera, as ranges."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Motion:
    """One way of moving a camera."""

    kind: str
    """hand, robot, drone, orbit or rotation: see the file of that name."""
    height: Range
    """Of the camera above the floor, metres."""
    pitch: Range
    """Angle of the optical axis above the horizon, degrees."""
    speed: Range
    """Mean speed, metres a second; of a rotation, degrees a second."""
    turn: float
    """Largest change of the viewing direction from one waypoint to the next (about one metre), degrees."""
    clearance: float
    """Least distance from the camera to anything, metres."""
    tremor: float = 1.0
    """Strength of the shaking, 1 for a hand."""


HAND = Motion("hand", (1.1, 1.7), (-22.0, 6.0), (0.3, 0.7), 35.0, 0.5)
"""The path of the first embedded weights and of the demo's video."""
NEAR_HAND = Motion("hand", (0.5, 1.9), (-40.0, 20.0), (0.2, 1.0), 50.0, 0.3)
ROBOT = Motion("robot", (0.2, 1.2), (-12.0, 15.0), (0.2, 1.0), 50.0, 0.3, tremor=0.25)
DRONE = Motion("drone", (0.8, 3.5), (-50.0, 5.0), (0.5, 1.6), 45.0, 0.5, tremor=0.5)
ORBIT = Motion("orbit", (0.4, 2.0), (-45.0, 25.0), (0.2, 0.8), 35.0, 0.3)
ROTATION = Motion("rotation", (0.8, 1.8), (-25.0, 15.0), (8.0, 40.0), 35.0, 0.25)
TURNING_HAND = Motion("hand", (0.8, 1.9), (-35.0, 15.0), (0.1, 0.35), 110.0, 0.3)
"""Somebody who looks around and hardly walks."""
