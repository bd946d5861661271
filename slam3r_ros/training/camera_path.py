"""Smooth, hand-like camera paths through a room: a cubic B-spline through free space, a slowly turning gaze and a
little tremor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .room_family import RoomFamily
from .rooms import Room

Array = NDArray[np.float64]

_SAMPLES_PER_SPAN = 24
_METRES_PER_RADIAN = 0.7
_SPLINE = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6.0


@dataclass(frozen=True, slots=True)
class PathSettings:
    """How a path is sampled."""

    frame_count: int
    rate_hz: float


class NoFreePathError(RuntimeError):
    """The room leaves no space for a camera path with the clearance asked for."""


def camera_path(room: Room, seed: int, settings: PathSettings, family: RoomFamily | None = None) -> Array:
    """Poses T_world_camera (frame_count, 4, 4), metres, camera axes x right, y down, z forward. Deterministic by
    `seed`.

    Raises NoFreePathError when the room has no such path.
    """
    family = family or RoomFamily()
    random = np.random.default_rng([seed, 3])
    speed = random.uniform(*family.camera_speed)
    length = 1.35 * speed * settings.frame_count / settings.rate_hz + 0.5
    for _ in range(40):
        dense = _free_curve(random, room, family, length)
        if dense is None:
            continue
        samples = _walk_along(random, dense, speed, settings)
        poses = _poses(samples, random, settings.rate_hz)
        if room.clearance(poses[:, :3, 3]).min() >= family.clearance:
            return poses
    raise NoFreePathError(
        f"no camera path of {length:.1f} m with {family.clearance} m of clearance found in this room: "
        "try another seed or fewer boxes"
    )


def _free_curve(random: np.random.Generator, room: Room, family: RoomFamily, length: float) -> Array | None:
    """Samples (N, 5) of x, y, z, yaw, pitch along a curve at least `length` metres long, or None when it runs into a
    dead end.
    """
    controls = [_first_control(random, room, family)]
    spans: list[Array] = []
    walked = 0.0
    while walked < length:
        for _ in range(60):
            candidate = _next_control(random, room, family, controls[-1])
            if candidate is None:
                continue
            if len(controls) < 3:
                controls.append(candidate)
                break
            span = _spline_span(np.stack([*controls[-3:], candidate]))
            if room.clearance(span[:, :3]).min() > family.clearance + 0.08:
                controls.append(candidate)
                spans.append(span)
                walked += float(np.linalg.norm(np.diff(span[:, :3], axis=0), axis=1).sum())
                break
        else:
            return None
    return np.concatenate(spans)


def _first_control(random: np.random.Generator, room: Room, family: RoomFamily) -> Array:
    for _ in range(2000):
        position = np.array([*random.uniform(0.5, room.size[:2] - 0.5), random.uniform(*family.camera_height)])
        if room.clearance(position[None])[0] > family.clearance + 0.15:
            towards_middle = room.size[:2] / 2 - position[:2]
            yaw = np.arctan2(towards_middle[1], towards_middle[0]) + random.uniform(-0.8, 0.8)
            return np.array([*position, yaw, np.deg2rad(random.uniform(*family.camera_pitch))])
    raise NoFreePathError("no free place for a camera in this room: try another seed or fewer boxes")


def _next_control(random: np.random.Generator, room: Room, family: RoomFamily, last: Array) -> Array | None:
    heading, step = random.uniform(-np.pi, np.pi), random.uniform(0.5, 1.3)
    height = np.clip(last[2] + random.uniform(-0.25, 0.25), *family.camera_height)
    position = np.array([last[0] + step * np.cos(heading), last[1] + step * np.sin(heading), height])
    if room.clearance(position[None])[0] < family.clearance + 0.1:
        return None
    turn = np.deg2rad(family.turn_of_gaze)
    for _ in range(8):
        yaw = last[3] + random.uniform(-turn, turn)
        if _looks_into_the_room(room, position, yaw):
            return np.array([*position, yaw, np.deg2rad(random.uniform(*family.camera_pitch))])
    return None


def _looks_into_the_room(room: Room, position: Array, yaw: float) -> bool:
    """True when nothing stands closer than 1.2 m along the viewing direction."""
    ahead = position + np.outer(np.linspace(0.2, 1.2, 6), [np.cos(yaw), np.sin(yaw), 0.0])
    return bool(room.clearance(ahead).min() > 0.0)


def _spline_span(controls: Array) -> Array:
    s = np.linspace(0, 1, _SAMPLES_PER_SPAN, endpoint=False)
    return np.stack([np.ones_like(s), s, s**2, s**3], axis=1) @ _SPLINE @ controls


def _walk_along(random: np.random.Generator, dense: Array, speed: float, settings: PathSettings) -> Array:
    """Resample the curve in time: about constant speed, a little faster and slower, and slower in turns."""
    change = np.diff(dense * np.array([1.0, 1.0, 1.0, _METRES_PER_RADIAN, _METRES_PER_RADIAN]), axis=0)
    travelled = np.concatenate([[0.0], np.cumsum(np.linalg.norm(change, axis=1))])
    seconds = np.arange(settings.frame_count) / settings.rate_hz
    phase, period = random.uniform(0, 2 * np.pi), random.uniform(2.0, 5.0)
    swing = 0.25 * period / (2 * np.pi) * (np.sin(2 * np.pi * seconds / period + phase) - np.sin(phase))
    where = speed * (seconds + swing)
    return np.stack([np.interp(where, travelled, column) for column in dense.T], axis=1)


def _tremor(random: np.random.Generator, seconds: Array, amplitude: float) -> Array:
    total = np.zeros_like(seconds)
    for frequency in random.uniform(0.4, 2.5, 4):
        total += np.sin(2 * np.pi * (frequency * seconds + random.random())) / (0.5 + frequency)
    return amplitude * total


def _poses(samples: Array, random: np.random.Generator, rate_hz: float) -> Array:
    seconds = np.arange(len(samples)) / rate_hz
    shift = np.stack([_tremor(random, seconds, 0.006) for _ in range(3)], axis=1)
    yaw = samples[:, 3] + _tremor(random, seconds, 0.010)
    pitch = samples[:, 4] + _tremor(random, seconds, 0.010)
    roll = _tremor(random, seconds, 0.012)
    forward = np.stack([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)], axis=1)
    level_right = np.stack([np.sin(yaw), -np.cos(yaw), np.zeros_like(yaw)], axis=1)
    level_down = np.cross(forward, level_right)
    cosine, sine = np.cos(roll)[:, None], np.sin(roll)[:, None]
    poses = np.tile(np.eye(4), (len(samples), 1, 1))
    poses[:, :3, 0] = cosine * level_right + sine * level_down
    poses[:, :3, 1] = -sine * level_right + cosine * level_down
    poses[:, :3, 2] = forward
    poses[:, :3, 3] = samples[:, :3] + shift
    return poses
