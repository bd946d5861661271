"""A wheeled robot: one height, turns gently, and its camera looks where it drives, or always to one side."""

from __future__ import annotations

import numpy as np

from slam3r_lab.worlds.parts import Array
from slam3r_lab.worlds.world import World

from .curves import Random, Ride, free_curve, walk_along
from .motion import Motion


def samples(random: Random, world: World, motion: Motion, ride: Ride) -> Array | None:
    """Samples (F, 5) x, y, z, yaw, pitch at the ride's times, or None for a dead end."""
    side = float(random.choice([0.0, 0.0, 0.0, 0.5, -0.5, 1.5, -1.5]))
    dense = free_curve(random, world, motion, ride.length, _next_control)
    if dense is None:
        return None
    dense[:, 3] += side
    return walk_along(random, dense, ride.speed, ride.seconds)


def _next_control(random: Random, world: World, motion: Motion, controls: list[Array]) -> Array | None:
    last, turn = controls[-1], np.deg2rad(motion.turn)
    yaw, step = last[3] + random.uniform(-turn, turn), random.uniform(0.3, 0.8)
    position = last[:3] + step * np.array([np.cos(yaw), np.sin(yaw), 0.0])
    if world.clearance(position[None])[0] < motion.clearance + 0.1:
        return None
    return np.array([*position, yaw, last[4]])
