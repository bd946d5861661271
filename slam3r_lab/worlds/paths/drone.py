"""A drone: flies in three dimensions, looks down ahead, and leans into its turns."""

from __future__ import annotations

import numpy as np

from slam3r_lab.worlds.parts import Array
from slam3r_lab.worlds.world import World

from .curves import Random, Ride, free_curve, walk_along
from .motion import Motion


def samples(random: Random, world: World, motion: Motion, ride: Ride) -> Array | None:
    """Samples (F, 5) x, y, z, yaw, pitch at the ride's times, or None for a dead end."""
    dense = free_curve(random, world, motion, ride.length, _next_control)
    return None if dense is None else walk_along(random, dense, ride.speed, ride.seconds)


def _next_control(random: Random, world: World, motion: Motion, controls: list[Array]) -> Array | None:
    last, turn = controls[-1], np.deg2rad(motion.turn)
    heading = last[3] + random.normal(0, 0.8)
    step, climb = random.uniform(0.5, 1.2), random.uniform(-0.5, 0.5)
    height = np.clip(last[2] + climb, motion.height[0], min(motion.height[1], world.size[2] - motion.clearance))
    position = np.array([last[0] + step * np.cos(heading), last[1] + step * np.sin(heading), height])
    if world.clearance(position[None])[0] < motion.clearance + 0.1:
        return None
    pitch = np.clip(last[4] + random.normal(0, 0.15), *np.deg2rad(motion.pitch))
    return np.array([*position, last[3] + random.uniform(-turn, turn), pitch])
