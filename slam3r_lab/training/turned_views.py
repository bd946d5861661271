"""Other views from where a training view was taken: the camera turned a little and zoomed, by resampling its image.

Without it, windows of a world always show it from the same directions, through the same lens, and small networks learn
the worlds by heart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional

from .windows import NEAREST_DEPTH, Random, Views, camera_points, on_device

TURNED_SHARE = 0.6
"""Of the samples."""
LARGEST_ZOOM = 1.4
OWN_SHARE = 0.4
"""Of a view's rotation that is not the same in all views of its sample."""


def turn_and_zoom(random: Random, views: Views) -> Views:
    """Rotate and zoom a share of the samples: one zoom for all views of a sample, rotations partly their own, as far as
    the new images lie within the old ones. Images, points, poses and cameras agree again afterwards.
    """
    samples = np.flatnonzero(random.random(len(views.images)) < TURNED_SHARE)
    if not len(samples):
        return views
    zoom = random.uniform(1.0, LARGEST_ZOOM, (len(samples), 1))
    old_focal = views.camera[samples, :1, 0].double().cpu().numpy()
    rotation = _rotations(random, zoom, old_focal / views.images.shape[-1], views.images.shape[1])
    turned = resample(views.samples(samples), rotation, zoom)
    return views.with_samples(samples, turned)


def _rotations(random: Random, zoom: NDArray[np.float64], focal: NDArray[np.float64], count: int) -> Tensor:
    """Rotations (B, count, 3, 3) from new to old cameras for zooms (B, 1) of images with focal lengths (B, 1) in image
    sides: the margin that the zoom leaves is shared between turning about the optical axis and the other two.
    """
    margin = np.arctan(0.5 / focal) - np.arctan(0.5 / (focal * zoom))
    roll_share = random.uniform(0, 1, (len(zoom), 1))
    limits = np.stack([margin * (1 - roll_share)] * 2 + [(zoom - 1) * roll_share], axis=-1)
    common, own = random.uniform(-1, 1, (len(zoom), 1, 3)), random.uniform(-1, 1, (len(zoom), count, 3))
    angles = limits * ((1 - OWN_SHARE) * common + OWN_SHARE * own)
    matrices = Rotation.from_rotvec(angles.reshape(-1, 3)).as_matrix()
    return torch.from_numpy(matrices.reshape(len(zoom), count, 3, 3).astype(np.float32))


def resample(views: Views, T_old_new: Tensor, zoom: NDArray[np.float64]) -> Views:
    """The views as cameras see them that are turned by `T_old_new` (B, V, 3, 3) and zoomed (B, 1). Where they look
    past the old images, the picture goes on with its border and nothing is known.
    """
    height, width = views.images.shape[-2:]
    device = views.images.device
    rotation = T_old_new.to(device)
    camera = views.camera.clone()
    camera[..., 0] *= on_device(zoom, device)
    camera[..., 1], camera[..., 2] = (width - 1) / 2, (height - 1) / 2
    rays = camera_points(torch.ones(*camera.shape[:2], height, width, device=device), camera)
    seen = rays.flatten(2, 3) @ rotation.transpose(-1, -2)
    seen = (seen / seen[..., 2:].clamp(min=NEAREST_DEPTH)).unflatten(2, (height, width))
    focal, column, row = (value[..., None, None] for value in views.camera.unbind(-1))
    places = torch.stack(
        [
            2 * (focal * seen[..., 0] + column) / (width - 1) - 1,
            2 * (focal * seen[..., 1] + row) / (height - 1) - 1,
        ],
        dim=-1,
    )
    inside = (places.abs() <= 1).all(-1)
    images = _sampled(views.images, places, "bilinear")
    old = _sampled(views.points_camera.permute(0, 1, 4, 2, 3), places, "nearest")
    known = _sampled(torch.stack([views.valid, views.sky], 2).float(), places, "nearest") > 0.5
    depth = torch.einsum("bvc,bvchw->bvhw", rotation[..., 2], old)
    valid = known[:, :, 0] & inside & (depth > NEAREST_DEPTH)
    pose = views.T_world_camera.clone()
    pose[..., :3, :3] = pose[..., :3, :3] @ rotation
    points = camera_points(torch.where(valid, depth, 0.0), camera)
    return replace(
        views, images=images, points_camera=points, T_world_camera=pose, camera=camera, valid=valid,
        sky=known[:, :, 1] & inside,
    )  # fmt: skip


def _sampled(values: Tensor, places: Tensor, mode: str) -> Tensor:
    """Values (B, V, C, H, W) at places (B, V, H, W, 2), -1 to 1 from the middle of the first to that of the last."""
    flat = functional.grid_sample(
        values.flatten(0, 1), places.flatten(0, 1), mode=mode, padding_mode="border", align_corners=True
    )
    return flat.unflatten(0, values.shape[:2])
