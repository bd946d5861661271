"""A hand: walks through free space with a slowly turning gaze that is not bound to where it goes."""

from __future__ import annotations

import numpy as np

from slam3r_lab.worlds.parts import Array
from slam3r_lab.worlds.world import World

from .curves import Random, Ride, free_curve, looks_into_space, walk_along
from .motion import Motion


def samples(random: Random, world: World, motion: Motion, ride: Ride) -> Array | None:
    """Samples (F, 5) x, y, z, yaw, pitch at the ride's times, or None for a dead end."""
    dense = free_curve(random, world, motion, ride.length, _next_control)
    return None if dense is None else walk_along(random, dense, ride.speed, ride.seconds)


def _next_control(random: Random, world: World, motion: Motion, controls: list[Array]) -> Array | None:
    last = controls[-1]
    heading, step = random.uniform(-np.pi, np.pi), random.uniform(0.5, 1.3)
    height = np.clip(last[2] + random.uniform(-0.25, 0.25), *motion.height)
    position = np.array([last[0] + step * np.cos(heading), last[1] + step * np.sin(heading), height])
    if world.clearance(position[None])[0] < motion.clearance + 0.1:
        return None
    turn = np.deg2rad(motion.turn)
    for _ in range(8):
        yaw = last[3] + random.uniform(-turn, turn)
        if looks_into_space(world, position, yaw):
            return np.array([*position, yaw, np.deg2rad(random.uniform(*motion.pitch))])
    return None
