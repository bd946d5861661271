"""One room from a seed: the box we stand in, the boxes in it, a lamp and a texture for every face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .room_family import RoomFamily
from .texture_atlas import TextureAtlas
from .textures import ANY_SURFACE, BOX, CEILING, FLOOR, WALL, bake_texture

_ROOM_STYLES = (WALL, WALL, WALL, WALL, FLOOR, CEILING)
FACES = 6
"""Faces of a box in the order -x, +x, -y, +y, -z, +z of its own axes."""


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """A room in world coordinates: x along its length, y along its width, z up, origin in a corner of the floor,
    metres.

    Surfaces are numbered: 0 to 5 the faces of the room itself, then six for every box.
    """

    size: NDArray[np.float64]
    """(3,) length, width, height, metres."""
    box_centre: NDArray[np.float64]
    """(B, 3) metres, world."""
    box_half_size: NDArray[np.float64]
    """(B, 3) metres, in the box's own axes."""
    box_yaw: NDArray[np.float64]
    """(B,) rotation about z, radians."""
    lamp: NDArray[np.float64]
    """(3,) position, metres, world."""
    ambient: float
    """Share of the light that comes from everywhere, 0 to 1."""
    field_of_view: float
    """Angle of view across the centre square of the camera used in this room, degrees."""
    textures: TextureAtlas

    def clearance(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance (N,) from world positions (N, 3) to the nearest wall, floor, ceiling or box, metres; negative inside
        a box or outside the room.
        """
        nearest = np.minimum(positions, self.size - positions).min(axis=1)
        for centre, half, yaw in zip(self.box_centre, self.box_half_size, self.box_yaw, strict=True):
            beyond = np.abs(_to_box_axes(positions - centre, float(yaw))) - half
            outside = np.linalg.norm(np.maximum(beyond, 0.0), axis=1)
            nearest = np.minimum(nearest, outside + np.minimum(beyond.max(axis=1), 0.0))
        return nearest


def _to_box_axes(vectors: NDArray[np.float64], yaw: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(yaw), np.sin(yaw)
    return np.stack(
        [cosine * vectors[:, 0] + sine * vectors[:, 1], -sine * vectors[:, 0] + cosine * vectors[:, 1], vectors[:, 2]],
        axis=1,
    )


def face_extents(size: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Width and height, metres, of the six faces of a box of this size (3,), in the order of FACES."""
    length, width, height = (float(value) for value in size)
    return [(width, height)] * 2 + [(length, height)] * 2 + [(length, width)] * 2


def build_room(seed: int, family: RoomFamily | None = None, texels_per_metre: float = 64.0) -> Room:
    """The room of this seed. The same arguments give the same room; geometry does not depend on `texels_per_metre`."""
    family = family or RoomFamily()
    random = np.random.default_rng([seed, 1])
    size = np.array(
        [random.uniform(*family.room_length), random.uniform(*family.room_width), random.uniform(*family.room_height)]
    )
    centre, half, yaw = _place_boxes(random, size, family)
    lamp = np.array([random.uniform(0.25, 0.75) * size[0], random.uniform(0.25, 0.75) * size[1], size[2] - 0.2])
    ambient, field_of_view = random.uniform(0.35, 0.65), random.uniform(*family.field_of_view)
    textures = _bake_all(seed, size, half, texels_per_metre, family)
    return Room(size, centre, half, yaw, lamp, float(ambient), float(field_of_view), textures)


def _place_boxes(
    random: np.random.Generator, size: NDArray[np.float64], family: RoomFamily
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Boxes on the floor, mostly near the walls, not touching each other."""
    wanted = int(random.integers(family.box_count[0], family.box_count[1] + 1))
    placed: list[tuple[NDArray[np.float64], NDArray[np.float64], float]] = []
    for _ in range(60 * wanted):
        if len(placed) == wanted:
            break
        full = np.array([*random.uniform(*family.box_footprint, 2), random.uniform(*family.box_height)])
        yaw = float(random.uniform(-np.pi / 4, np.pi / 4)) if random.random() < family.share_of_rotated_boxes else 0.0
        radius = float(np.hypot(full[0], full[1])) / 2
        reach = radius if yaw else 0.0
        margin = np.maximum(full[:2] / 2, reach) + 0.03
        position = random.uniform(margin, size[:2] - margin)
        if random.random() < 0.75:
            axis, side = int(random.integers(2)), int(random.integers(2))
            gap = random.uniform(0.0, 0.25)
            position[axis] = margin[axis] + gap if side == 0 else size[axis] - margin[axis] - gap
        if all(np.hypot(*(position - other[:2])) > radius + np.hypot(*half[:2]) + 0.05 for other, half, _ in placed):
            placed.append((np.array([*position, full[2] / 2]), full / 2, yaw))
    centres, halves, yaws = zip(*placed, strict=True)
    return np.stack(centres), np.stack(halves), np.array(yaws)


def _bake_all(
    seed: int, size: NDArray[np.float64], halves: NDArray[np.float64], texels_per_metre: float, family: RoomFamily
) -> TextureAtlas:
    images: list[NDArray[np.float32]] = []
    extents: list[tuple[float, float]] = []
    for box, full in enumerate([size, *(2 * halves)]):
        for face, (width, height) in enumerate(face_extents(full)):
            style = _ROOM_STYLES[face] if box == 0 else BOX
            random = np.random.default_rng([seed, 2, box, face if box == 0 else 0])
            posters = int(random.integers(1, 4)) if box == 0 and face < 4 else 0
            style = style if family.styles_by_surface else ANY_SURFACE
            images.append(bake_texture(random, style, width, height, texels_per_metre, posters))
            extents.append((width, height))
    return TextureAtlas.from_images(images, extents, texels_per_metre)
