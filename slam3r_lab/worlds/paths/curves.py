"""Smooth curves through free space: cubic B-splines whose control points are found at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from slam3r_lab.worlds.parts import Array
from slam3r_lab.worlds.world import World

from .motion import Motion

Random = np.random.Generator
NextControl = Callable[[Random, World, Motion, list[Array]], "Array | None"]
"""A control point (5,) x, y, z, yaw, pitch that may follow those there are, or None when it does not fit."""

_SAMPLES_PER_SPAN = 24
_METRES_PER_RADIAN = 0.7
_SPLINE = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6.0


@dataclass(frozen=True, slots=True, eq=False)
class Ride:
    """When and how fast a camera moves."""

    seconds: Array
    """(F,) times of the frames, from 0."""
    speed: float
    """Mean speed, metres a second; of a rotation, degrees a second."""
    length: float
    """Metres of curve that are enough."""


class NoFreePathError(RuntimeError):
    """The world leaves no space for a camera path with the clearance asked for."""


def free_curve(random: Random, world: World, motion: Motion, length: float, following: NextControl) -> Array | None:
    """Samples (N, 5) of x, y, z, yaw, pitch along a curve at least `length` metres long, or None when it runs into a
    dead end. Raises NoFreePathError when there is no place to begin.
    """
    controls = [first_control(random, world, motion)]
    spans: list[Array] = []
    walked = 0.0
    while walked < length:
        for _ in range(60):
            candidate = following(random, world, motion, controls)
            if candidate is None:
                continue
            if len(controls) < 3:
                controls.append(candidate)
                break
            span = _spline_span(np.stack([*controls[-3:], candidate]))
            if world.clearance(span[:, :3]).min() > motion.clearance + 0.08:
                controls.append(candidate)
                spans.append(span)
                walked += float(np.linalg.norm(np.diff(span[:, :3], axis=0), axis=1).sum())
                break
        else:
            return None
    return np.concatenate(spans)


def first_control(random: Random, world: World, motion: Motion) -> Array:
    """A free place (5,) that looks about the middle; raises NoFreePathError when there is none."""
    margin = min(0.5, 0.4 * float(world.size[:2].min()))
    for _ in range(2000):
        position = np.array([*random.uniform(margin, world.size[:2] - margin), random.uniform(*motion.height)])
        if world.clearance(position[None])[0] > motion.clearance + 0.15:
            towards_middle = world.size[:2] / 2 - position[:2]
            yaw = np.arctan2(towards_middle[1], towards_middle[0]) + random.uniform(-0.8, 0.8)
            return np.array([*position, yaw, np.deg2rad(random.uniform(*motion.pitch))])
    raise NoFreePathError("no free place for a camera in this world: try another seed")


def looks_into_space(world: World, position: Array, yaw: float) -> bool:
    """True when nothing stands closer than 1.2 m along the viewing direction."""
    ahead = position + np.outer(np.linspace(0.2, 1.2, 6), [np.cos(yaw), np.sin(yaw), 0.0])
    return bool(world.clearance(ahead).min() > 0.0)


def _spline_span(controls: Array) -> Array:
    s = np.linspace(0, 1, _SAMPLES_PER_SPAN, endpoint=False)
    return np.asarray(np.stack([np.ones_like(s), s, s**2, s**3], axis=1) @ _SPLINE @ controls)


def walk_along(random: Random, dense: Array, speed: float, seconds: Array) -> Array:
    """Resample a curve (N, 5) at times (F,): about constant speed, a little faster and slower, and slower in turns."""
    change = np.diff(dense * np.array([1.0, 1.0, 1.0, _METRES_PER_RADIAN, _METRES_PER_RADIAN]), axis=0)
    travelled = np.concatenate([[0.0], np.cumsum(np.linalg.norm(change, axis=1))])
    phase, period = random.uniform(0, 2 * np.pi), random.uniform(2.0, 5.0)
    swing = 0.25 * period / (2 * np.pi) * (np.sin(2 * np.pi * seconds / period + phase) - np.sin(phase))
    where = speed * (seconds + swing)
    return np.stack([np.interp(where, travelled, column) for column in dense.T], axis=1)
