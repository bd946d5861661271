"""Samples for L2W: scene frames with imperfect world points, keyframes with imperfect camera points, and the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .clips import Clips
from .losses import mean_distance
from .token_cache import PREDICTED_EVERY, TokenCache, points_and_poses
from .windows import Random, normal, on_device, transform_points

PREDICTED_SHARE = 0.8
"""Share of the frames whose camera points are I2P's own."""
REACH = 16
"""Scene frames lie up to this many frames of the data set away from the keyframes."""
SCALE_DEVIATION = 0.2
"""Standard deviation of the logarithm of the world's unit, which drifts in use."""
DRIFT_RAD, DRIFT_SHIFT, DRIFT_SCALE = 0.03, 0.05, 0.05
"""Standard deviations of each scene frame's own displacement at its strongest: of the angles about three axes, of the
shift along each, of the logarithm of the scale.
"""


@dataclass(frozen=True, slots=True, eq=False)
class RegistrationSample:
    """A batch of B samples with S scene frames and K keyframes. Lengths are world units: about the mean distance seen
    first.
    """

    scene_tokens: Tensor
    """(B, S, tokens, encoder width) float32."""
    scene_points: Tensor
    """(B, S, H, W, 3) float32, world, imperfect, invalid points zero."""
    keyframe_tokens: Tensor
    """(B, K, tokens, encoder width) float32."""
    keyframe_points: Tensor
    """(B, K, H, W, 3) float32, each in its own camera, mean valid distance 1, imperfect, invalid points zero."""
    true_scene: Tensor
    """(B, S, H, W, 3) float32, world."""
    true_keyframes: Tensor
    """(B, K, H, W, 3) float32, world."""
    points_camera: Tensor
    """(B, S + K, H, W, 3) float32, true, each view in its own camera, metres."""
    T_world_camera: Tensor
    """(B, S + K, 4, 4) float32, metres, in the clip's own coordinates."""
    camera: Tensor
    """(B, S + K, 3) float32, see `Views`."""
    valid: Tensor
    """(B, S + K, H, W) bool: where the truth is known."""
    sky: Tensor
    """(B, S + K, H, W) bool: where there certainly is nothing."""


def choose_registration_frames(random: Random, frame_count: int, scene: int, keyframes: int) -> NDArray[np.int64]:
    """Indices (1 + scene + keyframes,): the world's origin, the scene frames, then the keyframes.

    Keyframes are at distances of PREDICTED_EVERY; scene frames lie around them, mostly before; all are frames whose own
    pointmaps are kept. The origin lies anywhere.
    """
    stride = PREDICTED_EVERY
    first = stride * int(random.integers(0, (frame_count - 1) // stride - keyframes + 2))
    key = first + stride * np.arange(keyframes)
    near = np.setdiff1d(np.arange(max(0, first - REACH), min(frame_count, first + REACH // 2), stride), key)
    if len(near) < scene or random.random() < 0.1:
        near = np.setdiff1d(np.arange(0, frame_count, stride), key)
    return np.concatenate([[random.integers(0, frame_count)], random.choice(near, scene, replace=False), key]).astype(
        np.int64
    )


def registration_batch(
    random: Random,
    clips: Clips,
    cache: TokenCache,
    clip_indices: NDArray[np.int64],
    scene: int,
    keyframes: int,
    device: torch.device | str = "cpu",
) -> RegistrationSample:
    """A random sample of each of some clips (B,), on a device."""
    count = clips.frame_count
    frames = np.stack([choose_registration_frames(random, count, scene, keyframes) for _ in clip_indices])
    views = points_and_poses(clips, cache, clip_indices, frames, device)
    scale = _world_scale(random, clips, cache, clip_indices, frames[:, 0]).to(device)
    to_world = torch.linalg.inv(views.T_world_camera[:, :1]) @ views.T_world_camera[:, 1:]
    true_camera = views.points_camera[:, 1:]
    true_world = transform_points(to_world, true_camera) * scale
    tokens = torch.from_numpy(cache.tokens[clip_indices[:, None], frames[:, 1:]]).to(device).float()
    camera = _imperfect_camera_points(random, cache, clip_indices, frames[:, 1:], true_camera, views.valid[:, 1:])
    valid = camera.abs().sum(-1) > 0
    scene_world = transform_points(to_world[:, :scene], camera[:, :scene]) * scale
    scene_world = _drift(random, scene_world, valid[:, :scene])
    key_camera = camera[:, scene:].flatten(0, 1)[:, None]
    key_camera = (key_camera / mean_distance(key_camera, valid[:, scene:].flatten(0, 1)[:, None])).view_as(
        camera[:, scene:]
    )
    return RegistrationSample(
        scene_tokens=tokens[:, :scene],
        scene_points=scene_world,
        keyframe_tokens=tokens[:, scene:],
        keyframe_points=key_camera,
        true_scene=true_world[:, :scene],
        true_keyframes=true_world[:, scene:],
        points_camera=true_camera,
        T_world_camera=views.T_world_camera[:, 1:],
        camera=views.camera[:, 1:],
        valid=views.valid[:, 1:],
        sky=views.sky[:, 1:],
    )


def _world_scale(
    random: Random, clips: Clips, cache: TokenCache, clip_indices: NDArray[np.int64], origin: NDArray[np.int64]
) -> Tensor:
    """(B, 1, 1, 1, 1): world units for a metre, such that a window around the origin has mean distance about 1."""
    stride = random.integers(1, 4, len(origin))[:, None]
    window = (origin[:, None] + stride * np.arange(-2, 3)).clip(0, clips.frame_count - 1)
    window = np.concatenate([origin[:, None], window], axis=1)
    views = points_and_poses(clips, cache, clip_indices, window)
    points = transform_points(
        torch.linalg.inv(views.T_world_camera[:, :1]) @ views.T_world_camera, views.points_camera[:, :, ::4, ::4]
    )
    mean = mean_distance(points[:, 1:], views.valid[:, 1:, ::4, ::4])
    deviation = on_device(np.exp(random.normal(0, SCALE_DEVIATION, (len(origin), 1, 1, 1, 1))), mean.device)
    return deviation / mean


def _imperfect_camera_points(
    random: Random,
    cache: TokenCache,
    clip_indices: NDArray[np.int64],
    frames: NDArray[np.int64],
    true: Tensor,
    known: Tensor,
) -> Tensor:
    """Camera points (B, V, H, W, 3), metres: I2P's own (at the true mean distance) or the truth with smooth errors;
    invalid points zero. `known` (B, V, H, W) says where there is a truth.
    """
    batch, count, height, width, _ = true.shape
    result = _smooth_errors(random, true.flatten(0, 1)).view_as(true)
    own = random.random((batch, count)) < PREDICTED_SHARE
    for sample, view in zip(*np.nonzero(own), strict=True):
        kept = cache.points_camera[clip_indices[sample], frames[sample, view] // PREDICTED_EVERY]
        predicted = torch.from_numpy(kept).to(true.device).float()
        both = (predicted.abs().sum(-1) > 0) & known[sample, view]
        if int(both.sum()) > height * width // 4:
            lengths = true[sample, view][both].norm(dim=-1).mean(), predicted[both].norm(dim=-1).mean()
            result[sample, view] = predicted * (lengths[0] / lengths[1].clamp(min=1e-6))
    return result


def _smooth_errors(random: Random, points: Tensor) -> Tensor:
    """Points (N, H, W, 3) nearer or farther by a smooth random factor and a little noise; patches of some views are
    zeroed.
    """
    count, height, width, _ = points.shape
    device = points.device
    amplitude = random.uniform(0.0, 0.10, (count, 1, 1, 1)) * (random.random((count, 1, 1, 1)) < 0.7)
    coarse = on_device(random.standard_normal((count, 1, 6, 6)) * amplitude, device)
    smooth = functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)[:, 0]
    fine = normal(random, (count, height, width), device) * 0.01
    coarse = normal(random, (count, 1, 8, 8), device)
    hole = functional.interpolate(coarse, size=(height, width), mode="bilinear")[:, 0]
    limit = np.where(random.random(count) < 0.4, random.uniform(0.5, 1.5, count), 9.0)
    kept = hole < on_device(limit, device)[:, None, None]
    return points * (1 + smooth + fine)[..., None] * kept[..., None]


def _drift(random: Random, points: Tensor, valid: Tensor) -> Tensor:
    """World points (B, S, H, W, 3) each view moved by its own small similarity about the middle of its `valid` points
    (B, S, H, W); the others are zero.
    """
    batch, count = points.shape[:2]
    strength = random.uniform(0.0, 1.0, (batch, 1, 1))
    rotation, shift, scale = (
        on_device(values, points.device)[:, :, None, None]
        for values in (
            random.normal(0, DRIFT_RAD, (batch, count, 3)) * strength,
            random.normal(0, DRIFT_SHIFT, (batch, count, 3)) * strength,
            np.exp(random.normal(0, DRIFT_SCALE, (batch, count, 1)) * strength),
        )
    )
    weight = valid[..., None].to(points.dtype)
    middle = (points * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp(min=1.0)
    offset = points - middle
    turned = offset + torch.linalg.cross(rotation.expand_as(offset), offset)
    return (middle + turned * scale + shift) * weight
