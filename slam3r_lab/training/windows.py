"""Samples for training: some frames of one clip as images and camera points, with the poses that relate them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .clips import Clips

Random = np.random.Generator

LARGEST_STRIDE, LARGEST_SPAN = 3, 12
"""Of the frames of one window, in frames of a clip (8 a second)."""
NEAREST_DEPTH = 0.05
"""Nearer points than this many metres count as behind a camera."""


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """B samples of V views each."""

    images: Tensor
    """(B, V, 3, H, W) float32 in [-1, 1]."""
    points_camera: Tensor
    """(B, V, H, W, 3) float32, each view in its own camera, metres."""
    T_world_camera: Tensor
    """(B, V, 4, 4) float32."""
    camera: Tensor
    """(B, V, 3) float32: focal length, column and row of the principal point, pixels."""
    valid: Tensor
    """(B, V, H, W) bool: where there is depth."""
    sky: Tensor
    """(B, V, H, W) bool: where there certainly is none; elsewhere outside `valid` it is not known."""

    def points_in(self, view: int) -> Tensor:
        """All points in the camera of one view: (B, V, H, W, 3), metres."""
        return transform_points(
            torch.linalg.inv(self.T_world_camera[:, view : view + 1]) @ self.T_world_camera, self.points_camera
        )

    def samples(self, chosen: NDArray[np.int64]) -> Views:
        """Some of the samples: (len(chosen), V) of everything."""
        return Views(*(getattr(self, part.name)[chosen] for part in fields(self)))

    def with_samples(self, chosen: NDArray[np.int64], other: Views) -> Views:
        """These views, with `other` in the place of some samples."""
        index = torch.from_numpy(chosen).to(self.images.device)
        return Views(
            *(getattr(self, part.name).index_copy(0, index, getattr(other, part.name)) for part in fields(self))
        )

    def reordered(self, order: list[int]) -> Views:
        """These views, then the same with the views of every sample in another order: (2 B, V) of everything."""
        parts = (getattr(self, part.name) for part in fields(self))
        return Views(*(torch.cat([part, part[:, order]]) for part in parts))


def transform_points(pose: Tensor, points: Tensor) -> Tensor:
    """Apply poses (B, V, 4, 4) to points (B, V, H, W, 3)."""
    flat = points.flatten(2, 3) @ pose[..., :3, :3].transpose(-1, -2) + pose[..., None, :3, 3]
    return flat.unflatten(2, points.shape[2:4])


def camera_points(depth: Tensor, camera: Tensor) -> Tensor:
    """Points (..., H, W, 3) of z-depths (..., H, W) seen by cameras (..., 3): focal length, principal point, pixels."""
    height, width = depth.shape[-2:]
    focal, column, row = (value[..., None, None] for value in camera.unbind(-1))
    x = (torch.arange(width, device=depth.device) - column) / focal
    y = (torch.arange(height, device=depth.device)[:, None] - row) / focal
    return torch.stack([x * depth, y * depth, depth], dim=-1)


def choose_frames(random: Random, frame_count: int, views: int, wide_share: float = 0.0) -> NDArray[np.int64]:
    """Indices (views,) of frames of one window, in random order: mostly evenly spaced, sometimes scattered.

    A share of `wide_share` is scattered over all frames, so that views need not see the same place.
    """
    kind = random.random()
    if kind < 0.7:
        stride = int(random.integers(1, max(1, min(LARGEST_STRIDE, LARGEST_SPAN // max(views - 1, 1))) + 1))
        chosen = stride * np.arange(views)
    else:
        span = frame_count if kind > 1 - wide_share else int(random.integers(views, max(views, LARGEST_SPAN) + 1))
        chosen = np.sort(random.choice(span, views, replace=False))
    start = random.integers(0, frame_count - int(chosen.max()))
    return random.permutation(chosen + start).astype(np.int64)


def load_views(
    clips: Clips, clip_indices: NDArray[np.int64], frame_indices: NDArray[np.int64], device: torch.device | str = "cpu"
) -> Views:
    """Views of frames (B, V) of clips (B,) on a device, without augmentation."""
    pick = (clip_indices[:, None], frame_indices)
    images = torch.from_numpy(clips.colour[pick]).to(device).permute(0, 1, 4, 2, 3).float() / 127.5 - 1
    depth = torch.from_numpy(clips.depth[pick]).to(device).float()
    camera = torch.from_numpy(clips.camera[clip_indices]).to(device)[:, None].expand(-1, frame_indices.shape[1], -1)
    pose = torch.from_numpy(clips.T_world_camera[pick]).to(device)
    valid = depth > 0
    empty_is_sky = torch.from_numpy(clips.empty_is_sky[clip_indices]).to(device)[:, None, None, None]
    return Views(images, camera_points(depth, camera), pose, camera, valid, ~valid & empty_is_sky)


def on_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """Values as float32 on a device."""
    return torch.from_numpy(np.array(values, np.float32)).to(device)


def normal(random: Random, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Standard normal numbers, drawn on the device, that depend on `random` alone (and on the kind of device)."""
    generator = torch.Generator(device).manual_seed(int(random.integers(2**62)))
    return torch.randn(shape, generator=generator, device=device)
