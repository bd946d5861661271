"""Turned and zoomed training views: pictures, points, poses and cameras still agree, and show what was there."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from slam3r_lab.training import turned_views
from slam3r_lab.training.turned_views import resample, turn_and_zoom
from slam3r_lab.training.windows import Views, camera_points

SIDE, FOCAL = 96, 80.0


def _views(samples: int = 1, views: int = 2) -> Views:
    """A plane that leans, painted with the place of each of its points, seen by cameras all in one place; the corner
    is sky.
    """
    camera = torch.tensor([FOCAL, (SIDE - 1) / 2, (SIDE - 1) / 2]).expand(samples, views, 3)
    rays = camera_points(torch.ones(samples, views, SIDE, SIDE), camera)
    points = rays * (3 / (1 + 0.3 * rays[..., :1] + 0.2 * rays[..., 1:2]))
    valid = torch.ones(samples, views, SIDE, SIDE, dtype=torch.bool)
    valid[..., : SIDE // 4, : SIDE // 4] = False
    points = points * valid[..., None]
    pose = torch.eye(4).expand(samples, views, 4, 4)
    return Views(_painted(points), points, pose, camera, valid, ~valid)


def _painted(points: Tensor) -> Tensor:
    """(B, V, 3, H, W) colours that change smoothly with the world's points."""
    return (0.3 * points).permute(0, 1, 4, 2, 3)


def _rotation(roll: float, pitch: float) -> Tensor:
    cos, sin = math.cos(roll), math.sin(roll)
    about_z = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    cos, sin = math.cos(pitch), math.sin(pitch)
    return about_z @ torch.tensor([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])


def test_a_turned_view_shows_the_same_world_from_the_same_place() -> None:
    views = _views()
    rotation = torch.stack([torch.eye(3), _rotation(0.1, 0.05)])[None]
    turned = resample(views, rotation, np.array([[1.25]]))
    assert turned.camera[..., 0].unique().item() == pytest.approx(1.25 * FOCAL)
    world = turned.points_in(0)
    leaning = world[..., 2] + 0.3 * world[..., 0] + 0.2 * world[..., 1]
    assert leaning[turned.valid] == pytest.approx(3.0, abs=0.03), "in the first camera, all lie on the plane"
    assert turned.valid.float().mean() > 0.8
    inner = turned.valid & (torch.nn.functional.avg_pool2d(turned.valid.float(), 5, 1, 2) > 0.99)
    difference = (turned.images - _painted(world)).abs().amax(2)
    assert difference[inner].max() < 0.02, "the picture is of the points"
    assert not torch.equal(turned.images[:, 0], turned.images[:, 1])


def test_sky_stays_sky_and_what_lies_past_the_old_image_is_not_known() -> None:
    turned = resample(_views(), _rotation(0.0, 0.3).expand(1, 2, 3, 3), np.array([[1.0]]))
    assert not (turned.valid & turned.sky).any()
    assert turned.sky.any()
    unknown = ~turned.valid & ~turned.sky
    assert 0.2 < unknown.float().mean() < 0.6
    assert not turned.points_camera[~turned.valid].any()
    untouched = resample(_views(), torch.eye(3).expand(1, 2, 3, 3), np.array([[1.0]]))
    assert torch.allclose(untouched.images, _views().images, atol=1e-4)
    assert torch.equal(untouched.sky, _views().sky)


def test_some_samples_are_turned_within_their_old_images_and_the_others_left(monkeypatch: pytest.MonkeyPatch) -> None:
    views = _views(samples=60, views=3)
    turned = turn_and_zoom(np.random.default_rng(3), views)
    changed = (turned.camera[:, 0, 0] != FOCAL).numpy()
    assert 0.4 < changed.mean() < 0.8
    assert torch.equal(turned.images[~changed], views.images[~changed])
    assert torch.equal(turned.T_world_camera[~changed], views.T_world_camera[~changed])
    unknown = ~turned.valid & ~turned.sky
    assert unknown.float().mean() < 0.005, "the images hardly look past the old ones"
    relative = turned.T_world_camera[:, 0, :3, :3].transpose(1, 2) @ turned.T_world_camera[:, 1, :3, :3]
    angles = ((relative.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1).acos()
    assert np.rad2deg(angles.numpy()[changed]).max() > 3
    monkeypatch.setattr(turned_views, "TURNED_SHARE", 0.0)
    assert turn_and_zoom(np.random.default_rng(3), views) is views
