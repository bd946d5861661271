"""Plain rooms with a few boxes: every face has a texture of its own, and one lamp lights it without shadows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .family import WorldFamily
from .parts import FACES, Array, Part, Role, Shape, rotation_z
from .textures.atlas import TextureAtlas
from .textures.face_patterns import ANY_SURFACE, BOX, CEILING, FLOOR, WALL, bake_texture
from .world import Lamps, Sky, Solids, Surfaces, World

_ROOM_STYLES = (WALL, WALL, WALL, WALL, FLOOR, CEILING)


def build_box_room(seed: int, family: WorldFamily, texels_per_metre: float) -> World:
    """The room of this seed; its geometry does not depend on `texels_per_metre`."""
    ranges = family.boxes
    random = np.random.default_rng([seed, 1])
    size = np.array(
        [random.uniform(*ranges.room_length), random.uniform(*ranges.room_width), random.uniform(*ranges.room_height)]
    )
    parts = _place_boxes(random, size, family)
    lamp = np.array([random.uniform(0.25, 0.75) * size[0], random.uniform(0.25, 0.75) * size[1], size[2] - 0.2])
    ambient, field_of_view = random.uniform(0.35, 0.65), random.uniform(*family.field_of_view)
    textures = _bake_all(seed, size, [part.half for part in parts], texels_per_metre, family)
    return World(
        size=size,
        enclosed=True,
        solids=Solids.of(parts),
        surfaces=Surfaces.plain(np.arange(FACES * (1 + len(parts)))),
        textures=textures,
        lamps=Lamps(
            lamp[None], np.full((1, 3), 1.1 * (1 - ambient)), np.array([0.6]), np.array([0.09]), np.array([0.0])
        ),
        ambient=float(ambient),
        ambient_from_above=0.0,
        sky=Sky(np.ones(3), np.ones(3), -1),
        field_of_view=float(field_of_view),
        shadow_points=0,
    )


def _place_boxes(random: np.random.Generator, size: Array, family: WorldFamily) -> list[Part]:
    """Boxes on the floor, mostly near the walls, not touching each other."""
    ranges = family.boxes
    wanted = int(random.integers(ranges.box_count[0], ranges.box_count[1] + 1))
    placed: list[Part] = []
    for _ in range(60 * wanted):
        if len(placed) == wanted:
            break
        full = np.array([*random.uniform(*ranges.box_footprint, 2), random.uniform(*ranges.box_height)])
        yaw = float(random.uniform(-np.pi / 4, np.pi / 4)) if random.random() < ranges.share_of_rotated_boxes else 0.0
        radius = float(np.hypot(full[0], full[1])) / 2
        reach = radius if yaw else 0.0
        margin = np.maximum(full[:2] / 2, reach) + 0.03
        position = random.uniform(margin, size[:2] - margin)
        if random.random() < 0.75:
            axis, side = int(random.integers(2)), int(random.integers(2))
            gap = random.uniform(0.0, 0.25)
            position[axis] = margin[axis] + gap if side == 0 else size[axis] - margin[axis] - gap
        apart = (
            np.hypot(*(position - other.centre[:2])) > radius + np.hypot(*other.half[:2]) + 0.05 for other in placed
        )
        if all(apart):
            centre = np.array([*position, full[2] / 2])
            placed.append(Part(Shape.BOX, centre, full / 2, rotation_z(yaw), Role.ANYTHING))
    return placed


def face_extents(size: Array) -> list[tuple[float, float]]:
    """Width and height, metres, of the six faces of a box of this size (3,), in the order of FACES."""
    length, width, height = (float(value) for value in size)
    return [(width, height)] * 2 + [(length, height)] * 2 + [(length, width)] * 2


def _bake_all(
    seed: int, size: Array, halves: list[Array], texels_per_metre: float, family: WorldFamily
) -> TextureAtlas:
    images: list[NDArray[np.float32]] = []
    extents: list[tuple[float, float]] = []
    for box, full in enumerate([size, *(2 * half for half in halves)]):
        for face, (width, height) in enumerate(face_extents(full)):
            style = _ROOM_STYLES[face] if box == 0 else BOX
            random = np.random.default_rng([seed, 2, box, face if box == 0 else 0])
            posters = int(random.integers(1, 4)) if box == 0 and face < 4 else 0
            style = style if family.boxes.styles_by_surface else ANY_SURFACE
            images.append(bake_texture(random, style, width, height, texels_per_metre, posters))
            extents.append((width, height))
    count = len(images)
    return TextureAtlas.from_images(
        [torch.from_numpy(image) for image in images], extents, [texels_per_metre] * count, [False] * count
    )
