"""The camera path of a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from slam3r_lab.worlds.family import NARROW, WorldFamily
from slam3r_lab.worlds.parts import Array
from slam3r_lab.worlds.world import World

from . import drone, hand, orbit, robot, rotation
from .curves import NoFreePathError, Random, Ride
from .motion import Motion
from .poses import shaken_poses

_SAMPLERS: dict[str, Callable[[Random, World, Motion, Ride], Array | None]] = {
    "hand": hand.samples,
    "robot": robot.samples,
    "drone": drone.samples,
    "orbit": orbit.samples,
    "rotation": rotation.samples,
}
_TRIES = 40
_MOTIONS_TRIED = 4


@dataclass(frozen=True, slots=True)
class PathSettings:
    """How a path is sampled."""

    frame_count: int
    rate_hz: float


def camera_path(world: World, seed: int, settings: PathSettings, family: WorldFamily = NARROW) -> Array:
    """Poses T_world_camera (frame_count, 4, 4), metres, camera axes x right, y down, z forward. Deterministic by
    `seed`.

    Raises NoFreePathError when the world has no such path.
    """
    random = np.random.default_rng([seed, 3])
    several = len(family.motions) > 1
    for _ in range(_MOTIONS_TRIED if several else 1):
        motion = _motion(random, world, family)
        try:
            poses = _path(random, world, motion, settings, _TRIES // (_MOTIONS_TRIED if several else 1))
        except NoFreePathError:
            continue
        if poses is not None:
            return poses
    raise NoFreePathError(
        f"no camera path of {settings.frame_count / settings.rate_hz:.1f} s with {motion.clearance} m of clearance "
        "found in this world: try another seed"
    )


def _path(random: Random, world: World, motion: Motion, settings: PathSettings, tries: int) -> Array | None:
    speed = random.uniform(*motion.speed)
    length = 1.35 * speed * settings.frame_count / settings.rate_hz + 0.5
    ride = Ride(np.arange(settings.frame_count) / settings.rate_hz, speed, length)
    for _ in range(tries):
        samples = _SAMPLERS[motion.kind](random, world, motion, ride)
        if samples is None:
            continue
        poses = shaken_poses(samples, random, settings.rate_hz, motion.tremor)
        if world.clearance(poses[:, :3, 3]).min() >= motion.clearance:
            return poses
    return None


def _motion(random: Random, world: World, family: WorldFamily) -> Motion:
    """One of the family's motions, at heights that the world has room for."""
    motions = [motion for motion, _ in family.motions]
    motion = motions[0]
    if len(motions) > 1:
        weights = np.array([weight for _, weight in family.motions])
        motion = motions[int(random.choice(len(motions), p=weights / weights.sum()))]
    highest = float(world.size[2]) - motion.clearance - 0.2
    low, high = motion.height
    return replace(motion, height=(min(low, highest), min(high, highest)))
