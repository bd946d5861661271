"""From places and viewing directions to poses, with the shaking of what carries the camera."""

from __future__ import annotations

import numpy as np

from slam3r_lab.worlds.parts import Array


def shaken_poses(samples: Array, random: np.random.Generator, rate_hz: float, tremor: float) -> Array:
    """Poses T_world_camera (F, 4, 4), camera axes x right, y down, z forward, of samples (F, 5) x, y, z, yaw, pitch."""
    seconds = np.arange(len(samples)) / rate_hz
    shift = np.stack([_tremor(random, seconds, tremor * 0.006) for _ in range(3)], axis=1)
    yaw = samples[:, 3] + _tremor(random, seconds, tremor * 0.010)
    pitch = samples[:, 4] + _tremor(random, seconds, tremor * 0.010)
    roll = _tremor(random, seconds, tremor * 0.012)
    return poses_of(samples[:, :3] + shift, yaw, pitch, roll)


def poses_of(positions: Array, yaw: Array, pitch: Array, roll: Array) -> Array:
    """Poses T_world_camera (F, 4, 4) at positions (F, 3), angles (F,) in radians."""
    forward = np.stack([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)], axis=1)
    level_right = np.stack([np.sin(yaw), -np.cos(yaw), np.zeros_like(yaw)], axis=1)
    level_down = np.cross(forward, level_right)
    cosine, sine = np.cos(roll)[:, None], np.sin(roll)[:, None]
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, :3, 0] = cosine * level_right + sine * level_down
    poses[:, :3, 1] = -sine * level_right + cosine * level_down
    poses[:, :3, 2] = forward
    poses[:, :3, 3] = positions
    return poses


def _tremor(random: np.random.Generator, seconds: Array, amplitude: float) -> Array:
    total = np.zeros_like(seconds)
    for frequency in random.uniform(0.4, 2.5, 4):
        total += np.sin(2 * np.pi * (frequency * seconds + random.random())) / (0.5 + frequency)
    return np.asarray(amplitude * total)
