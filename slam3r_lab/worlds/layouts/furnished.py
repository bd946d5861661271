"""A furnished place from a seed: the plan, what stands in it, its materials and its light."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from slam3r_lab.worlds.family import Furnishing, WorldFamily
from slam3r_lab.worlds.parts import FACES, Part, Role
from slam3r_lab.worlds.textures.materials import Materials, make_materials
from slam3r_lab.worlds.world import Lamps, Sky, Solids, Surfaces, World

from .decoration import hang_from_ceiling, hang_on_walls, lean_things, scatter_things
from .furniture import INDOORS, choose
from .outdoors import outdoors
from .rooms import attic, corridor, flat, hall, room
from .site import Random, Site
from .street import OUTDOORS

PLACES: dict[str, Callable[[Random], Site]] = {
    "room": room,
    "corridor": corridor,
    "flat": flat,
    "hall": hall,
    "attic": attic,
    "outdoors": outdoors,
}
_MOST_PARTS = 300
"""A place with more than these is furnished enough."""
_SHELL_ROLES = (Role.WALL, Role.WALL, Role.WALL, Role.WALL, Role.FLOOR, Role.CEILING)


def build_furnished(seed: int, kind: str, family: WorldFamily, device: torch.device) -> World:
    """The place of this seed and kind, one of PLACES; its textures are computed on `device`."""
    random = np.random.default_rng([seed, 1])
    ranges = family.furnishing
    site = PLACES[kind](random)
    _furnish(random, site, random.uniform(*ranges.density) * (0.5 if kind in ("corridor", "outdoors") else 1.0))
    if site.walls:
        hang_on_walls(random, site, random.uniform(*ranges.posters))
        lean_things(random, site, int(random.integers(0, 4)))
    scatter_things(random, site, random.uniform(*ranges.clutter))
    ambient = random.uniform(*ranges.ambient)
    lamps = _ceiling_lamps(random, site, ranges, ambient) if site.enclosed else _sun(random, ambient)
    if site.enclosed:
        hang_from_ceiling(random, site, lamps.position)
    roles = frozenset(part.role for part in site.parts) | frozenset(_SHELL_ROLES) | {Role.SKY}
    materials = make_materials(np.random.default_rng([seed, 2]), device, roles)
    return World(
        size=site.size,
        enclosed=site.enclosed,
        solids=Solids.of(site.parts),
        surfaces=_cover(np.random.default_rng([seed, 4]), site.parts, materials),
        textures=materials.atlas,
        lamps=lamps,
        ambient=float(ambient),
        ambient_from_above=0.35 if site.enclosed else 0.6,
        sky=_sky(random, materials),
        field_of_view=float(random.uniform(*family.field_of_view)),
        shadow_points=ranges.shadow_points,
    )


def _furnish(random: Random, site: Site, share: float) -> None:
    """Place furniture until it covers this share of the floor, mostly at walls."""
    makers = INDOORS if site.enclosed else OUTDOORS
    for _ in range(400):
        if site.covered_area > share * site.floor_area or len(site.parts) > _MOST_PARTS:
            return
        compound = choose(random, makers)
        long_walls = [wall for wall in site.walls if wall.length > compound.footprint[0]]
        if compound.stands_at_walls and long_walls and random.random() < 0.8:
            wall = long_walls[int(random.integers(len(long_walls)))]
            along = random.uniform(compound.footprint[0] / 2, wall.length - compound.footprint[0] / 2)
            away = compound.footprint[1] / 2 + random.uniform(0.04, 0.12)
            yaw = wall.yaw + (random.uniform(-0.1, 0.1) if random.random() < 0.3 else 0.0)
            site.try_to_place(compound, wall.start + along * wall.along + away * wall.inward, yaw)
        else:
            yaw = random.uniform(-np.pi, np.pi) if random.random() < 0.6 else 0.5 * np.pi * random.integers(4)
            site.try_to_place(compound, random.uniform(0.3, site.size[:2] - 0.3), float(yaw))


def _ceiling_lamps(random: Random, site: Site, ranges: Furnishing, ambient: float) -> Lamps:
    """Lamps below the ceiling, more of them in large places."""
    area = float(site.size[0] * site.size[1])
    count = int(random.integers(ranges.lamps[0], ranges.lamps[1] + 1)) + (area > 40) + (area > 80)
    x, y = (random.uniform(0.15, 0.85, count) * extent for extent in site.size[:2])
    z = site.size[2] - random.uniform(0.25, 0.7, count)
    warmth = random.uniform(-0.15, 0.15, (count, 1)) * np.array([1.0, 0.2, -1.0])
    power = 1.6 * (1 - ambient) * random.uniform(0.6, 1.2, count) / np.sqrt(count)
    falloff = random.uniform(0.04, 0.15, count)
    return Lamps(
        np.stack([x, y, z], axis=1),
        power[:, None] * (1 + warmth),
        np.full(count, 0.6),
        falloff,
        random.uniform(0.02, 0.2, count),
    )


def _sun(random: Random, ambient: float) -> Lamps:
    """The sun, low or high, or behind clouds."""
    height, turn = random.uniform(0.3, 1.3), random.uniform(-np.pi, np.pi)
    direction = np.array([np.cos(height) * np.cos(turn), np.cos(height) * np.sin(turn), np.sin(height)])
    colour = np.array([1.0, 0.96, 0.88]) * random.uniform(0.3, 1.1) * (1.2 - ambient)
    return Lamps(200.0 * direction[None], colour[None], np.ones(1), np.zeros(1), random.uniform(0.5, 3.0, 1))


def _sky(random: Random, materials: Materials) -> Sky:
    blue = random.uniform(0.0, 1.0)
    zenith = (1 - blue) * np.array([0.7, 0.72, 0.76]) + blue * np.array([0.3, 0.5, 0.85])
    return Sky(zenith, np.array([0.85, 0.88, 0.9]), materials.texture(Role.SKY, 0))


def _cover(random: Random, parts: list[Part], materials: Materials) -> Surfaces:
    """Give every surface its texture: shifted at random, a little lighter or darker, alike on one part."""
    wall, floor, ceiling = (int(random.integers(4)) for _ in range(3))
    by_face = [wall, wall, wall if random.random() < 0.6 else wall + 1, wall, floor, ceiling]
    owners = [(role, number) for role, number in zip(_SHELL_ROLES, by_face, strict=True)]
    owners += [(part.role, part.material) for part in parts for _ in range(FACES)]
    texture = np.array([materials.texture(role, number) for role, number in owners], np.int64)
    gloss = np.array([materials.gloss[role][number % len(materials.gloss[role])] for role, number in owners])
    count = 1 + len(parts)
    offset = np.repeat(random.uniform(0.0, 3.0, (count, 2)), FACES, axis=0)
    turned = np.repeat(random.random(count) < 0.5, FACES)
    lightness = random.uniform(0.85, 1.15, (count, 1)) * (1 + random.uniform(-0.06, 0.06, (count, 3)))
    for index, part in enumerate(parts, start=1):
        if part.role in (Role.POSTER, Role.BOOKS, Role.FACADE):
            turned[FACES * index : FACES * (index + 1)] = False
        if part.role in (Role.WALL, Role.CEILING, Role.GROUND):
            lightness[index] = 1.0
    return Surfaces(
        texture,
        offset.astype(np.float32),
        turned,
        np.repeat(lightness, FACES, axis=0).astype(np.float32),
        gloss.astype(np.float32),
    )
