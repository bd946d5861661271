"""Where rays enter and leave the shapes of `parts`, what face they enter by, and the normal and coordinates there."""

from __future__ import annotations

import torch
from torch import Tensor

from .parts import Shape

_TINY = 1e-9


def spans(shape: Shape, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave a shape: two tensors (M, R), in lengths of the direction; enter > leave for a miss.

    origin (M, 3, 1) and direction (M, 3, R) in the parts' own coordinates, where each shape has half size 1.
    """
    if shape == Shape.ELLIPSOID:
        return _quadratic(origin, direction)
    if shape == Shape.CYLINDER:
        enter, leave = _quadratic(origin[:, :2], direction[:, :2])
        low, high = _slab(origin[:, 2:], direction[:, 2:])
    else:
        enter, leave = _slab(origin, direction)
        if shape == Shape.BOX:
            return enter, leave
        low, high = _half_space(origin[:, 0] + origin[:, 2], direction[:, 0] + direction[:, 2])
    return torch.maximum(enter, low), torch.minimum(leave, high)


def _slab(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    inverse = 1.0 / torch.where(direction.abs() < _TINY, _TINY, direction)
    middle, reach = inverse * -origin, inverse.abs()
    return (middle - reach).amax(dim=1), (middle + reach).amin(dim=1)


def _quadratic(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """|origin + t direction| = 1."""
    a = direction.square().sum(dim=1).clamp(min=_TINY**2)
    half_b = (origin * direction).sum(dim=1)
    nearest = -half_b / a
    closest = (origin + nearest[:, None] * direction).square().sum(dim=1)
    reach = torch.where(closest < 1, ((1 - closest).clamp(min=0) / a).sqrt(), -torch.inf)
    return nearest - reach, nearest + reach


def _half_space(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """origin + t direction <= 0."""
    where = -origin / torch.where(direction.abs() < _TINY, _TINY, direction)
    return torch.where(direction < 0, where, -torch.inf), torch.where(direction < 0, torch.inf, where)


def faces(shape: Tensor, unit: Tensor) -> Tensor:
    """Face (N,) int64 of surface points `unit` (N, 3) in own coordinates of half size 1, for shapes (N,)."""
    magnitude = unit.abs()
    axis = magnitude.argmax(dim=1)
    positive = unit.gather(1, axis[:, None])[:, 0] > 0
    face = 2 * axis + positive.long()
    on_cap = magnitude[:, 2] >= unit[:, :2].norm(dim=1)
    face = torch.where(shape == Shape.CYLINDER, torch.where(on_cap, 4 + (unit[:, 2] > 0).long(), 0), face)
    on_slope = (unit[:, 0] + unit[:, 2]).abs() < 1 - magnitude.amax(dim=1)
    face = torch.where((shape == Shape.WEDGE) & (on_slope | (face == 1) | (face == 5)), 1, face)
    return torch.where(shape == Shape.ELLIPSOID, 0, face)


def normals(shape: Tensor, face: Tensor, unit: Tensor, half: Tensor) -> Tensor:
    """Outward unit normals (N, 3) in own axes at surface points `unit` (N, 3) of parts with half sizes (N, 3)."""
    axis = torch.div(face, 2, rounding_mode="floor")
    flat = torch.nn.functional.one_hot(axis, 3).to(unit.dtype) * ((face % 2).to(unit.dtype) * 2 - 1)[:, None]
    curved = unit / half
    tube = curved * torch.tensor([1.0, 1.0, 0.0], device=unit.device)
    slope = torch.tensor([1.0, 0.0, 1.0], device=unit.device) / half
    normal = torch.where(((shape == Shape.CYLINDER) & (face == 0))[:, None], tube, flat)
    normal = torch.where((shape == Shape.ELLIPSOID)[:, None], curved, normal)
    normal = torch.where(((shape == Shape.WEDGE) & (face == 1))[:, None], slope, normal)
    return torch.nn.functional.normalize(normal, dim=1)


def coordinates(shape: Tensor, face: Tensor, unit: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates u, v (N,) on the surface, metres, from the part's lowest corner; round shapes are unrolled."""
    axis = torch.div(face, 2, rounding_mode="floor")
    x, y, z = ((unit + 1) * half).unbind(1)
    u, v = torch.where(axis == 0, y, x), torch.where(axis == 2, y, z)
    unrolled = (torch.atan2(unit[:, 1], unit[:, 0]) + torch.pi) * half[:, :2].mean(dim=1)
    round_side = (shape == Shape.ELLIPSOID) | ((shape == Shape.CYLINDER) & (face == 0))
    down_slope = (unit[:, 0] + 1) * torch.hypot(half[:, 0], half[:, 2])
    on_slope = (shape == Shape.WEDGE) & (face == 1)
    u = torch.where(round_side, unrolled, torch.where(on_slope, y, u))
    return u, torch.where(round_side, z, torch.where(on_slope, down_slope, v))
