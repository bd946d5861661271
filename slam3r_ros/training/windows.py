"""Samples for training: some frames of one room as images and camera points, with the poses that relate them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .dataset_files import RenderedRooms

Random = np.random.Generator

LARGEST_STRIDE, LARGEST_SPAN = 3, 10
"""Of the frames of one window, in frames of the data set (8 a second)."""
WIDE_SHARE = 0.04
"""Share of training windows whose views are scattered over the whole path."""


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """B samples of V views each."""

    images: Tensor
    """(B, V, 3, H, W) float32 in [-1, 1]."""
    points_camera: Tensor
    """(B, V, H, W, 3) float32, each view in its own camera, metres."""
    T_world_camera: Tensor
    """(B, V, 4, 4) float32."""

    def points_in(self, view: int) -> Tensor:
        """All points in the camera of one view: (B, V, H, W, 3), metres."""
        return transform_points(
            torch.linalg.inv(self.T_world_camera[:, view : view + 1]) @ self.T_world_camera, self.points_camera
        )

    def reordered(self, order: list[int]) -> Views:
        """These views, then the same with the views of every sample in another order: (2 B, V) of everything."""
        parts = (self.images, self.points_camera, self.T_world_camera)
        return Views(*(torch.cat([part, part[:, order]]) for part in parts))


def transform_points(pose: Tensor, points: Tensor) -> Tensor:
    """Apply poses (B, V, 4, 4) to points (B, V, H, W, 3)."""
    flat = points.flatten(2, 3) @ pose[..., :3, :3].transpose(-1, -2) + pose[..., None, :3, 3]
    return flat.unflatten(2, points.shape[2:4])


def camera_points(depth: Tensor, focal: Tensor) -> Tensor:
    """Points (..., H, W, 3) of z-depths (..., H, W) with focal lengths (...), principal point in the middle of the
    image.
    """
    height, width = depth.shape[-2:]
    x = (torch.arange(width) - (width - 1) / 2) / focal[..., None, None]
    y = (torch.arange(height) - (height - 1) / 2)[:, None] / focal[..., None, None]
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
        span = frame_count if kind > 1 - wide_share else max(views, int(random.integers(views, LARGEST_SPAN + 1)))
        chosen = np.sort(random.choice(span, views, replace=False))
    start = random.integers(0, frame_count - int(chosen.max()))
    return random.permutation(chosen + start).astype(np.int64)


def load_views(rooms: RenderedRooms, room_indices: NDArray[np.int64], frame_indices: NDArray[np.int64]) -> Views:
    """Views of frames (B, V) of rooms (B,), without augmentation."""
    pick = (room_indices[:, None], frame_indices)
    images = torch.from_numpy(rooms.colour[pick]).permute(0, 1, 4, 2, 3).float() / 127.5 - 1
    depth = torch.from_numpy(rooms.depth[pick]).float()
    focal = torch.from_numpy(rooms.focal[room_indices])[:, None].expand(-1, frame_indices.shape[1])
    return Views(images, camera_points(depth, focal), torch.from_numpy(rooms.T_world_camera[pick]))


def random_views(random: Random, rooms: RenderedRooms, batch: int, views: int) -> Views:
    """A random augmented batch: mirrored or not, colours changed alike in all views of a sample, a little in each."""
    room_indices = random.integers(0, len(rooms), batch)
    frames = np.stack([choose_frames(random, rooms.colour.shape[1], views, WIDE_SHARE) for _ in range(batch)])
    return augment(random, load_views(rooms, room_indices, frames))


def augment(random: Random, views: Views) -> Views:
    """Mirror half of the samples and change the colours of all."""
    mirrored = torch.from_numpy(random.random(views.images.shape[0]) < 0.5)
    return change_colours(random, mirror(views, mirrored))


def mirror(views: Views, mirrored: Tensor) -> Views:
    """The mirror image (left for right) of the samples in `mirrored` (B,) bool: pixels, points and poses agree again
    afterwards.
    """
    flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
    choose = mirrored[:, None, None, None, None]
    points = torch.where(choose, views.points_camera.flip(3) * flip.diagonal()[:3], views.points_camera)
    images = torch.where(choose, views.images.flip(4), views.images)
    return Views(images, points, torch.where(choose[..., 0], flip @ views.T_world_camera @ flip, views.T_world_camera))


def change_colours(random: Random, views: Views) -> Views:
    """Random gain, contrast and brightness per sample, a small deviation per view, and noise."""
    batch, count = views.images.shape[:2]
    images = views.images
    gain = (
        random.uniform(0.85, 1.2, (batch, 1, 3))
        * random.uniform(0.94, 1.06, (batch, count, 1))
        * random.uniform(0.98, 1.02, (batch, count, 3))
    )
    offset = random.uniform(-0.1, 0.1, (batch, 1, 1)) + random.uniform(-0.03, 0.03, (batch, count, 1))
    scale, shift = (
        torch.from_numpy(np.broadcast_to(values, (batch, count, 3)).astype(np.float32).copy())[..., None, None]
        for values in (gain, offset)
    )
    noise_level = torch.from_numpy(random.uniform(0.0, 0.04, (batch, 1, 1, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(random.standard_normal(images.shape, dtype=np.float32)) * noise_level
    return Views((images * scale + shift + noise).clamp_(-1, 1), views.points_camera, views.T_world_camera)
