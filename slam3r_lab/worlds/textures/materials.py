"""Which patterns, colours and gloss the roles of `parts` may have, and the textures of one world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slam3r_lab.worlds.parts import Role

from . import patterns as p
from .atlas import TextureAtlas
from .noise import SIDE, noise
from .patterns import Painter, Palette, Pattern

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class RoleStyle:
    """What the surfaces of one role may look like."""

    patterns: tuple[Pattern, ...]
    palettes: tuple[Palette, ...]
    metres: Range
    """Side of the tile that repeats."""
    gloss: Range
    """Strength of highlights."""
    count: int
    """Different materials of this role in one world."""


_BROWN, _GREEN, _GREY, _BRICK = (0.62, 0.48, 0.36), (0.42, 0.58, 0.3), (0.5, 0.5, 0.5), (0.7, 0.42, 0.34)
_LIGHT = Palette((0.55, 0.95), _GREY, 0.06, (0.08, 0.3))
_PASTEL = Palette((0.5, 0.9), None, 0.12, (0.08, 0.3))
_RED = Palette((0.35, 0.6), _BRICK, 0.05, (0.15, 0.4))
_BROWNISH = Palette((0.2, 0.7), _BROWN, 0.04, (0.06, 0.25))
_DARK = Palette((0.06, 0.4), _GREY, 0.06, (0.05, 0.3))
_BRIGHT = Palette((0.25, 0.7), None, 0.4, (0.15, 0.5))
_PALE = Palette((0.7, 0.97), _GREY, 0.03, (0.03, 0.12))

STYLES: dict[Role, RoleStyle] = {
    Role.WALL: RoleStyle(
        (p.plain, p.plaster, p.plaster, p.bricks, p.tiles, p.stripes, p.planks, p.clouds, p.dots),
        (_LIGHT, _PASTEL, _PASTEL, _RED),
        (1.5, 3.0),
        (0.0, 0.1),
        4,
    ),
    Role.FLOOR: RoleStyle(
        (p.planks, p.planks, p.tiles, p.checks, p.speckle, p.marble, p.fabric, p.clouds, p.tartan),
        (_BROWNISH, _BROWNISH, _DARK, _LIGHT, _PASTEL),
        (1.2, 3.0),
        (0.0, 0.5),
        2,
    ),
    Role.CEILING: RoleStyle((p.plain, p.plaster, p.tiles, p.planks), (_PALE, _PALE, _LIGHT), (1.5, 3.0), (0, 0), 2),
    Role.WOOD: RoleStyle((p.wood, p.wood, p.planks, p.plain), (_BROWNISH, _BROWNISH, _LIGHT), (0.6, 2.0), (0, 0.4), 4),
    Role.FABRIC: RoleStyle(
        (p.fabric, p.fabric, p.tartan, p.stripes, p.clouds, p.dots), (_BRIGHT, _DARK, _PASTEL), (0.4, 1.2), (0, 0), 4
    ),
    Role.PLAIN: RoleStyle((p.plain, p.plaster), (_LIGHT, _DARK, _BRIGHT), (1.0, 2.0), (0.0, 0.6), 4),
    Role.METAL: RoleStyle((p.plain, p.wood), (_DARK, _LIGHT), (0.5, 1.5), (0.4, 1.0), 2),
    Role.ANYTHING: RoleStyle(
        (p.mosaic, p.clouds, p.checks, p.stripes, p.speckle, p.writing, p.dots, p.tartan, p.tiles, p.picture),
        (_BRIGHT, _BRIGHT, _PASTEL, _DARK),
        (0.3, 1.5),
        (0.0, 0.5),
        6,
    ),
    Role.BOOKS: RoleStyle((p.books,), (_BRIGHT, _DARK), (0.8, 1.5), (0.0, 0.2), 2),
    Role.POSTER: RoleStyle(
        (p.picture, p.picture, p.writing, p.mosaic), (_BRIGHT, _PASTEL, _LIGHT), (0.8, 1.3), (0.0, 0.4), 5
    ),
    Role.GROUND: RoleStyle(
        (p.lawn, p.lawn, p.tiles, p.bricks, p.speckle),
        (Palette((0.2, 0.5), _GREEN, 0.05, (0.1, 0.3)), _DARK, _BROWNISH, Palette((0.3, 0.6), _GREY, 0.04, (0.1, 0.3))),
        (1.5, 3.0),
        (0.0, 0.1),
        2,
    ),
    Role.FACADE: RoleStyle((p.facade, p.facade, p.bricks, p.plaster), (_PASTEL, _RED, _LIGHT), (6.0, 10.0), (0, 0), 4),
    Role.LEAVES: RoleStyle((p.leaves,), (Palette((0.15, 0.45), _GREEN, 0.05, (0.1, 0.3)),), (0.8, 1.6), (0, 0.1), 2),
    Role.SKY: RoleStyle((p.clouds,), (_PALE,), (30.0, 60.0), (0, 0), 1),
}


@dataclass(frozen=True, slots=True, eq=False)
class Materials:
    """The textures of one world, by role."""

    atlas: TextureAtlas
    first: dict[Role, int]
    """Texture number of each role's first material; its others follow."""
    gloss: dict[Role, tuple[float, ...]]
    """Of each role's materials."""

    def texture(self, role: Role, material: int) -> int:
        """Number of the texture of a role's material, for any number `material` from 0 up."""
        return self.first[role] + material % len(self.gloss[role])


def make_materials(random: np.random.Generator, device: torch.device, roles: frozenset[Role]) -> Materials:
    """Textures for these roles; each role's own are the same whichever others there are."""
    images: list[Tensor] = []
    metres: list[float] = []
    first: dict[Role, int] = {}
    gloss: dict[Role, tuple[float, ...]] = {}
    seeds = {role: int(random.integers(2**31)) for role in Role}
    for role in Role:
        if role not in roles:
            continue
        own, style = np.random.default_rng(seeds[role]), STYLES[role]
        first[role] = len(images)
        for _ in range(style.count):
            metres.append(float(own.uniform(*style.metres)))
            images.append(_paint(own, style, metres[-1], device))
        gloss[role] = tuple(float(value) for value in own.uniform(*style.gloss, style.count))
    extents = [(side, side) for side in metres]
    atlas = TextureAtlas.from_images(images, extents, [SIDE / side for side in metres], [True] * len(images))
    return Materials(atlas, first, gloss)


def _paint(random: np.random.Generator, style: RoleStyle, metres: float, device: torch.device) -> Tensor:
    pattern = style.patterns[int(random.integers(len(style.patterns)))]
    palette = style.palettes[int(random.integers(len(style.palettes)))]
    image = pattern(Painter(random, palette, metres, device))
    dirt = random.uniform(0.005, 0.06) * noise(random, device, roughness=random.uniform(0.4, 1.2))[0]
    return (image * (1 + dirt)[..., None]).clamp(0.0, 1.0)
