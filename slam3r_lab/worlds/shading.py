"""The colours of what rays meet: texture, lamps with soft shadows, highlights, and the sky."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .parts import FACES
from .ray_casting import NOTHING, RAYS, SHELL, Bundles, Hits, RayCaster, lengths
from .shapes import coordinates, faces, normals
from .world import World

_SHININESS = 24.0
_SHADOW_GAP = 0.01
"""What lies nearer than this to a surface, towards the lamp, casts no shadow on it, metres."""


class Shader:
    """Gives rays of one world their surface and colour."""

    def __init__(self, world: World, caster: RayCaster, device: torch.device) -> None:
        self._world, self._caster = world, caster
        self._textures = world.textures.to(device)
        solids, surfaces, lamps = world.solids, world.surfaces, world.lamps
        # Index 0 of these tables is the room itself, index 1 + p is part p.
        self._shape = torch.from_numpy(np.concatenate([[0], solids.shape])).to(device)
        self._shows_sky = torch.from_numpy(np.concatenate([[False], solids.shows_sky])).to(device)
        self._centre = _float(np.concatenate([world.size[None] / 2, solids.centre]), device)
        self._half = _float(np.concatenate([world.size[None] / 2, solids.half]), device)
        self._rotation = _float(np.concatenate([np.eye(3)[None], solids.rotation]), device)
        self._texture = torch.from_numpy(surfaces.texture).to(device)
        self._turned = torch.from_numpy(surfaces.turned).to(device)
        self._offset, self._tint = _float(surfaces.offset, device), _float(surfaces.tint, device)
        self._gloss = _float(surfaces.gloss, device)
        self._lamp_position, self._lamp_colour = _float(lamps.position, device), _float(lamps.colour, device)
        self._zenith, self._horizon = _float(world.sky.zenith, device), _float(world.sky.horizon, device)
        self._lamp_points = _lamp_points(world, device)

    def shade(
        self, bundles: Bundles, hits: Hits, pixel_angle: float, *, soft_shadows: bool = True
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Colours (N, 3), surfaces (N,) int64 and whether there is depth (N,) bool of all N = B RAYS rays.

        `pixel_angle` is the angle between neighbouring rays, radians; without `soft_shadows`, one point of each lamp
        casts them. The sky's surface is -1.
        """
        direction = bundles.direction.permute(0, 2, 1).reshape(-1, 3)
        part = hits.part.reshape(-1)
        distance = torch.where(part == NOTHING, 1.0, hits.distance.reshape(-1))
        points = bundles.origin.repeat_interleave(RAYS, 0) + distance[:, None] * direction
        entry = (part - SHELL).clamp(min=0)
        unit, half = self._own(points, entry), self._half[entry]
        face = faces(self._shape[entry], unit)
        normal = normals(self._shape[entry], face, unit, half)
        normal = torch.where((part == SHELL)[:, None], -normal, normal)
        normal = (self._rotation[entry] @ normal[:, :, None])[:, :, 0]
        surface = FACES * entry + face
        view = torch.nn.functional.normalize(direction, dim=1)
        footprint = self._footprint(distance * direction.norm(dim=1) * pixel_angle, view, normal)
        albedo = self._albedo(surface, *coordinates(self._shape[entry], face, unit, half), footprint)
        colour = self._light(points, normal, view, albedo, self._gloss[surface], soft_shadows)
        if self._world.enclosed and not bool(self._world.solids.shows_sky.any()):
            return colour.clamp(0.0, 1.0), surface, torch.ones_like(part, dtype=torch.bool)
        sees_sky = (part == NOTHING) | self._shows_sky[entry]
        colour = torch.where(sees_sky[:, None], self._sky(view, pixel_angle), colour)
        return colour.clamp(0.0, 1.0), torch.where(sees_sky, -1, surface), ~sees_sky

    def _own(self, points: Tensor, entry: Tensor) -> Tensor:
        """World points (N, 3) in the coordinates of their parts, where each has half size 1."""
        offset = (points - self._centre[entry])[:, None, :]
        return (offset @ self._rotation[entry])[:, 0] / self._half[entry]

    @staticmethod
    def _footprint(width: Tensor, view: Tensor, normal: Tensor) -> Tensor:
        slant = (view * normal).sum(1).abs().clamp(min=0.08)
        return 0.8 * width / slant.sqrt()

    def _albedo(self, surface: Tensor, u: Tensor, v: Tensor, footprint: Tensor) -> Tensor:
        turned, offset = self._turned[surface], self._offset[surface]
        across, along = torch.where(turned, v, u) + offset[:, 0], torch.where(turned, u, v) + offset[:, 1]
        return self._textures.sample(self._texture[surface], across, along, footprint) * self._tint[surface]

    def _light(self, points: Tensor, normal: Tensor, view: Tensor, albedo: Tensor, gloss: Tensor, soft: bool) -> Tensor:
        world = self._world
        above = world.ambient_from_above
        ambient = world.ambient * (1 - above + above * 0.5 * (1 + normal[:, 2])) if above else world.ambient
        light = torch.zeros_like(points) + torch.as_tensor(ambient, device=points.device).reshape(-1, 1)
        shine = torch.zeros_like(points)
        mirrored = view - 2 * (view * normal).sum(1, keepdim=True) * normal
        for lamp in range(len(self._lamp_position)):
            to_lamp = self._lamp_position[lamp] - points
            length = to_lamp.norm(dim=1).clamp(min=0.05)
            facing = ((to_lamp * normal).sum(1) / length).clamp(min=0.0)
            power = 1 / (float(world.lamps.near[lamp]) + float(world.lamps.falloff[lamp]) * length.square())
            if world.shadow_points:
                power = power * self._visible(lamp, points, facing > 0, soft)
            light += (facing * power)[:, None] * self._lamp_colour[lamp]
            highlight = ((mirrored * to_lamp).sum(1) / length).clamp(min=0.0) ** _SHININESS
            shine += (highlight * power * gloss)[:, None] * self._lamp_colour[lamp]
        return albedo * light + shine

    def _visible(self, lamp: int, points: Tensor, facing: Tensor, soft: bool) -> Tensor:
        """Share (N,) of the lamp's points that are seen from points (N, 3); bundles where none is `facing` are left
        out.
        """
        bundled = points.view(-1, RAYS, 3)
        wanted = facing.view(-1, RAYS).any(dim=1).nonzero()[:, 0]
        seen = torch.zeros(bundled.shape[:2], device=points.device)
        sources = self._lamp_points[lamp] if soft else self._lamp_points[lamp][:1]
        if len(wanted) == 0:
            return seen.view(-1)
        for source in sources:
            direction = (bundled[wanted] - source).transpose(1, 2).contiguous()
            length = lengths(direction)
            hits = self._caster.nearest(Bundles(source.expand(len(wanted), 3), direction), reach=1.0)
            seen[wanted] += (hits.distance * length > length - _SHADOW_GAP).float()
        return (seen / len(sources)).view(-1)

    def _sky(self, view: Tensor, pixel_angle: float) -> Tensor:
        up = view[:, 2].clamp(min=0.0)
        colour = torch.lerp(self._horizon, self._zenith, up.sqrt()[:, None])
        if self._world.sky.cloud_texture < 0:
            return colour
        height = 40.0 / (up + 0.12)
        texture = torch.full_like(up, self._world.sky.cloud_texture, dtype=torch.int64)
        clouds = self._textures.sample(texture, height * view[:, 0], height * view[:, 1], height * pixel_angle)
        cover = ((clouds.mean(1, keepdim=True) - 0.8) * 5).clamp(0.0, 1.0) * up.sqrt()[:, None]
        return torch.lerp(colour, torch.ones_like(colour), cover)


def _lamp_points(world: World, device: torch.device) -> list[Tensor]:
    """For every lamp, points (shadow points, 3) on a spiral around it."""
    lamps, count = world.lamps, max(1, world.shadow_points)
    turn = 2.399963 * np.arange(count)
    reach = np.sqrt((np.arange(count) + 0.5) / count) * (count > 1)
    disc = np.stack([reach * np.cos(turn), reach * np.sin(turn), 0.3 * reach * np.cos(2.1 * turn)], axis=1)
    return [
        _float(position + radius * disc, device) for position, radius in zip(lamps.position, lamps.radius, strict=True)
    ]


def _float(values: NDArray[np.floating[Any]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device)
