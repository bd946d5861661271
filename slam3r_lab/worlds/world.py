"""One world: its parts, what they are covered with, its light and its sky. Numbers only; `ray_casting` looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .parts import Array, Part, Shape, bounding_radius
from .textures.atlas import TextureAtlas


@dataclass(frozen=True, slots=True, eq=False)
class Lamps:
    """L sources of light. A lamp at distance d lights what it shines on squarely by power / (near + falloff d^2)."""

    position: Array
    """(L, 3) metres, world."""
    colour: Array
    """(L, 3) power times colour."""
    near: Array
    """(L,)"""
    falloff: Array
    """(L,) 1 / m^2; 0 for the sun."""
    radius: Array
    """(L,) metres: how far the points lie that cast soft shadows; 0 for hard ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Sky:
    """What is seen where nothing is."""

    zenith: Array
    """(3,) RGB in [0, 1]."""
    horizon: Array
    """(3,) RGB in [0, 1]."""
    cloud_texture: int
    """Texture of the clouds; -1 for none."""


@dataclass(frozen=True, slots=True, eq=False)
class Solids:
    """P parts as arrays."""

    shape: NDArray[np.int64]
    """(P,) see `Shape`."""
    centre: Array
    """(P, 3) metres, world."""
    half: Array
    """(P, 3) metres, along each part's own axes."""
    rotation: Array
    """(P, 3, 3) own axes to world."""
    shows_sky: NDArray[np.bool_]
    """(P,)"""

    def __len__(self) -> int:
        return len(self.shape)

    @classmethod
    def of(cls, parts: Sequence[Part]) -> Solids:
        """The parts in their order."""
        return cls(
            np.array([int(part.shape) for part in parts], np.int64),
            np.array([part.centre for part in parts]).reshape(-1, 3),
            np.array([part.half for part in parts]).reshape(-1, 3),
            np.array([part.rotation for part in parts]).reshape(-1, 3, 3),
            np.array([part.shows_sky for part in parts], bool),
        )

    def radius(self) -> Array:
        """(P,) radius of the sphere about its centre that holds each part, metres."""
        return np.array([bounding_radius(shape, half) for shape, half in zip(self.shape, self.half, strict=True)])

    def distance(self, positions: Array) -> Array:
        """(N, P) distance from positions (N, 3) to each part, metres, negative inside.

        Exact outside boxes, upright or not, and cylinders of round section; never too large for the others.
        """
        own = np.einsum("npi,pij->npj", positions[:, None] - self.centre, self.rotation)
        beyond = np.abs(own) - self.half
        distance = np.linalg.norm(np.maximum(beyond, 0.0), axis=2) + np.minimum(beyond.max(axis=2), 0.0)
        for shape, function in ((Shape.CYLINDER, _to_cylinder), (Shape.ELLIPSOID, _to_ellipsoid)):
            chosen = self.shape == shape
            if chosen.any():
                distance[:, chosen] = function(own[:, chosen], self.half[chosen])
        chosen = self.shape == Shape.WEDGE
        if chosen.any():
            distance[:, chosen] = np.maximum(distance[:, chosen], _to_slope(own[:, chosen], self.half[chosen]))
        return distance


def _to_cylinder(own: Array, half: Array) -> Array:
    radial = np.linalg.norm(own[..., :2] / half[:, :2], axis=2)
    beyond = np.stack([(radial - 1) * half[:, :2].min(axis=1), np.abs(own[..., 2]) - half[:, 2]], axis=2)
    return np.asarray(np.linalg.norm(np.maximum(beyond, 0.0), axis=2) + np.minimum(beyond.max(axis=2), 0.0))


def _to_ellipsoid(own: Array, half: Array) -> Array:
    return np.asarray((np.linalg.norm(own / half, axis=2) - 1) * half.min(axis=1))


def _to_slope(own: Array, half: Array) -> Array:
    """Signed distance to the slope's plane x / half_x + z / half_z = 0."""
    normal = 1 / half[:, [0, 2]]
    return np.asarray((own[..., [0, 2]] * normal).sum(axis=2) / np.linalg.norm(normal, axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """What the S = 6 (1 + P) surfaces are covered with: six of the enclosing room, then six of every part."""

    texture: NDArray[np.int64]
    """(S,) index into the atlas."""
    offset: NDArray[np.float32]
    """(S, 2) added to the surface's coordinates, metres."""
    turned: NDArray[np.bool_]
    """(S,) the texture's u runs along the surface's v."""
    tint: NDArray[np.float32]
    """(S, 3) factor on the texture's colours."""
    gloss: NDArray[np.float32]
    """(S,) strength of highlights, 0 to 1."""

    @classmethod
    def plain(cls, textures: NDArray[np.int64]) -> Surfaces:
        """Surfaces that show these textures (S,) as they are, without highlights."""
        count = len(textures)
        return cls(
            textures,
            np.zeros((count, 2), np.float32),
            np.zeros(count, bool),
            np.ones((count, 3), np.float32),
            np.zeros(count, np.float32),
        )


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """World coordinates: z up, the origin in a corner of the floor of the space that cameras may be in, metres."""

    size: Array
    """(3,) extent of that space along x, y and z."""
    enclosed: bool
    """Whether walls, floor and ceiling stand around that space; otherwise the sky is seen beyond the parts."""
    solids: Solids
    surfaces: Surfaces
    textures: TextureAtlas
    lamps: Lamps
    ambient: float
    """Light that comes from everywhere, 0 to 1."""
    ambient_from_above: float
    """Share of it that only surfaces facing up receive, 0 to 1."""
    sky: Sky
    field_of_view: float
    """Angle of view across the centre square of the camera used in this world, degrees."""
    shadow_points: int
    """Points of each lamp that cast shadows; 0 for no shadows."""

    def clearance(self, positions: Array) -> Array:
        """(N,) distance from world positions (N, 3) to the nearest part or bound, metres; negative inside a part or
        outside the space.
        """
        nearest = np.minimum(positions, self.size - positions).min(axis=1)
        if len(self.solids):
            nearest = np.minimum(nearest, self.solids.distance(positions).min(axis=1))
        return np.asarray(nearest)
