"""Samples for training: some frames of one clip as images and camera points, with the poses that relate them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .clips import Clips

Random = np.random.Generator

LARGEST_STRIDE, LARGEST_SPAN = 3, 12
"""Of the frames of one window, in frames of a clip (8 a second)."""
MIXED_SHARE, GAMMA_DEVIATION = 0.5, 0.2
"""Share of the samples whose channels are mixed; standard deviation of gamma's logarithm."""
WIDE_SHARE = 0.04
"""Share of training windows whose views are scattered over the whole clip."""


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


def random_views(random: Random, clips: Clips, batch: int, views: int, device: torch.device | str = "cpu") -> Views:
    """A random augmented batch: mirrored or not, colours changed alike in all views of a sample, a little in each."""
    clip_indices = clips.draw(random, batch)
    frames = np.stack([choose_frames(random, clips.frame_count, views, WIDE_SHARE) for _ in range(batch)])
    return augment(random, load_views(clips, clip_indices, frames, device))


def augment(random: Random, views: Views) -> Views:
    """Mirror half of the samples and change the colours of all."""
    return change_colours(random, mirror(views, random.random(views.images.shape[0]) < 0.5))


def mirror(views: Views, mirrored: NDArray[np.bool_]) -> Views:
    """The mirror image (left for right) of the samples in `mirrored` (B,): pixels, points, poses and cameras agree
    again afterwards.
    """
    device, width = views.images.device, views.images.shape[-1]
    flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], device=device))
    choose = torch.from_numpy(mirrored).to(device)[:, None, None, None, None]
    turned_camera = torch.stack([views.camera[..., 0], width - 1 - views.camera[..., 1], views.camera[..., 2]], dim=-1)
    return Views(
        images=torch.where(choose, views.images.flip(4), views.images),
        points_camera=torch.where(choose, views.points_camera.flip(3) * flip.diagonal()[:3], views.points_camera),
        T_world_camera=torch.where(choose[..., 0], flip @ views.T_world_camera @ flip, views.T_world_camera),
        camera=torch.where(choose[..., 0, 0], turned_camera, views.camera),
        valid=torch.where(choose[..., 0], views.valid.flip(3), views.valid),
        sky=torch.where(choose[..., 0], views.sky.flip(3), views.sky),
    )


def change_colours(random: Random, views: Views) -> Views:
    """Random mixtures of the channels, gamma, gain, contrast and brightness per sample, a small deviation of the last
    three per view, and noise.
    """
    batch, count = views.images.shape[:2]
    gamma = on_device(np.exp(random.normal(0, GAMMA_DEVIATION, (batch, 1, 1, 1, 1))), views.images.device)
    images = 2 * ((_mixed_channels(random, views.images) + 1) / 2).clamp_(min=1e-3).pow(gamma) - 1
    gain = (
        random.uniform(0.85, 1.2, (batch, 1, 3))
        * random.uniform(0.94, 1.06, (batch, count, 1))
        * random.uniform(0.98, 1.02, (batch, count, 3))
    )
    offset = random.uniform(-0.1, 0.1, (batch, 1, 1)) + random.uniform(-0.03, 0.03, (batch, count, 1))
    scale, shift = (
        on_device(np.broadcast_to(values, (batch, count, 3)), images.device)[..., None, None]
        for values in (gain, offset)
    )
    noise_level = on_device(random.uniform(0.0, 0.04, (batch, 1, 1, 1, 1)), images.device)
    noise = normal(random, images.shape, images.device) * noise_level
    return replace(views, images=(images * scale + shift + noise).clamp_(-1, 1))


def _mixed_channels(random: Random, images: Tensor) -> Tensor:
    """Images (B, V, 3, H, W) in some samples of which the channels change places or become grey, by some amount."""
    matrices = np.tile(np.eye(3), (len(images), 1, 1))
    for sample in np.flatnonzero(random.random(len(images)) < MIXED_SHARE):
        other = np.full((3, 3), 1 / 3) if random.random() < 0.3 else np.eye(3)[random.permutation(3)]
        matrices[sample] += random.random() * (other - matrices[sample])
    return torch.einsum("bij,bvjhw->bvihw", on_device(matrices, images.device), images)


def on_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """Values as float32 on a device."""
    return torch.from_numpy(np.array(values, np.float32)).to(device)


def normal(random: Random, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Standard normal numbers, drawn on the device, that depend on `random` alone (and on the kind of device)."""
    generator = torch.Generator(device).manual_seed(int(random.integers(2**62)))
    return torch.randn(shape, generator=generator, device=device)
