"""Around a thing that it looks at, on a part of a circle, at changing height."""

from __future__ import annotations

import numpy as np

from slam3r_lab.worlds.parts import Array
from slam3r_lab.worlds.world import World

from .curves import Random, Ride
from .motion import Motion

_TRIES = 200


def samples(random: Random, world: World, motion: Motion, ride: Ride) -> Array | None:
    """Samples (F, 5) x, y, z, yaw, pitch at the ride's times, or None where no circle fits."""
    seconds, speed = ride.seconds, ride.speed
    for _ in range(_TRIES):
        middle = _thing(random, world)
        radius, height = random.uniform(0.7, 2.5), random.uniform(*motion.height)
        start, sign = random.uniform(-np.pi, np.pi), random.choice([-1.0, 1.0])
        ease = 0.15 * np.sin(2 * np.pi * seconds / random.uniform(3.0, 8.0))
        angle = start + sign * (speed * seconds + ease) / radius
        swing = np.sin(2 * np.pi * seconds / random.uniform(4.0, 10.0) + random.uniform(0, 6))
        reach = radius * (1 + 0.1 * swing)
        x, y = middle[0] + reach * np.cos(angle), middle[1] + reach * np.sin(angle)
        z = height + random.uniform(0.0, 0.3) * swing
        position = np.stack([x, y, z], axis=1)
        if world.clearance(position).min() < motion.clearance + 0.05:
            continue
        pitch = np.clip(np.arctan2(middle[2] - z, reach), *np.deg2rad(motion.pitch))
        return np.column_stack([position, angle + np.pi, pitch])
    return None


def _thing(random: Random, world: World) -> Array:
    """The middle of a part in the space, or a place between the parts."""
    centre = world.solids.centre
    inside = centre[(centre > 0.3).all(axis=1) & (centre < world.size - 0.3).all(axis=1)]
    if len(inside) and random.random() < 0.8:
        return np.asarray(inside[random.integers(len(inside))])
    return np.asarray(random.uniform(0.2, 0.8, 3) * np.minimum(world.size, [np.inf, np.inf, 2.0]))
