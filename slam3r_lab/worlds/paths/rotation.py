"""A camera that turns where it is: no parallax to speak of."""

from __future__ import annotations

import numpy as np

from slam3r_lab.worlds.parts import Array
from slam3r_lab.worlds.world import World

from .curves import Random, Ride, first_control
from .motion import Motion


def samples(random: Random, world: World, motion: Motion, ride: Ride) -> Array | None:
    """Samples (F, 5) x, y, z, yaw, pitch at the ride's times; the speed in degrees a second."""
    seconds = ride.seconds
    x, y, z, yaw, pitch = first_control(random, world, motion)
    sway = np.sin(2 * np.pi * seconds / random.uniform(4.0, 12.0) + random.uniform(0, 6))
    turning = yaw + random.choice([-1.0, 1.0]) * np.deg2rad(ride.speed) * seconds
    tilt = np.clip(pitch + 0.15 * sway, *np.deg2rad(motion.pitch))
    offset = random.uniform(0.0, 0.05)  # the lens is not on the axis
    return np.column_stack(
        [x + offset * np.cos(turning), y + offset * np.sin(turning), np.full_like(seconds, z), turning, tilt]
    )
