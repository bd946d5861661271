"""Random windows for training, turned, mirrored and recoloured, so that networks do not learn the worlds by heart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .clips import Clips
from .turned_views import turn_and_zoom
from .windows import Random, Views, choose_frames, load_views, normal, on_device

MIXED_SHARE, GAMMA_DEVIATION = 0.5, 0.2
"""Share of the samples whose channels are mixed; standard deviation of gamma's logarithm."""
WIDE_SHARE = 0.04
"""Share of training windows whose views are scattered over the whole clip."""


def random_views(random: Random, clips: Clips, batch: int, views: int, device: torch.device | str = "cpu") -> Views:
    """A random augmented batch: turned and zoomed or not, mirrored or not, colours changed alike in all views of a
    sample, a little in each.
    """
    clip_indices = clips.draw(random, batch)
    frames = np.stack([choose_frames(random, clips.frame_count, views, WIDE_SHARE) for _ in range(batch)])
    return augmented(random, load_views(clips, clip_indices, frames, device))


def augmented(random: Random, views: Views) -> Views:
    """Rotate and zoom some samples, mirror half of them and change the colours of all."""
    mirrored = mirror(turn_and_zoom(random, views), random.random(views.images.shape[0]) < 0.5)
    return change_colours(random, mirrored)


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
