"""The solid parts that worlds are built of: four convex shapes, each an affine image of one around the origin.

A part's own coordinates are divided by its half sizes, so that every shape lies within [-1, 1] on each axis there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, IntEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FACES = 6
"""Faces of a part: -x, +x, -y, +y, -z, +z of its own axes (cylinder: side 0, caps 4 and 5; ellipsoid: 0; wedge: its
slope is face 1).
"""


class Shape(IntEnum):
    """The shapes of parts; see `spans` for what each is."""

    BOX = 0
    """|x|, |y|, |z| <= 1."""
    CYLINDER = 1
    """x^2 + y^2 <= 1, |z| <= 1."""
    ELLIPSOID = 2
    """x^2 + y^2 + z^2 <= 1."""
    WEDGE = 3
    """The half of the box with x + z <= 0: a ramp that falls towards +x."""


class Role(Enum):
    """What a surface is made of; each role has patterns and colours of its own."""

    WALL = "wall"
    FLOOR = "floor"
    CEILING = "ceiling"
    WOOD = "wood"
    FABRIC = "fabric"
    PLAIN = "plain"
    METAL = "metal"
    ANYTHING = "anything"
    BOOKS = "books"
    POSTER = "poster"
    GROUND = "ground"
    FACADE = "facade"
    LEAVES = "leaves"
    SKY = "sky"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One solid part."""

    shape: Shape
    centre: Array
    """(3,) metres."""
    half: Array
    """(3,) half sizes along the part's own axes, metres."""
    rotation: Array
    """(3, 3) own axes to the axes that `centre` is in."""
    role: Role
    material: int = 0
    """Parts of one role and equal numbers have the same texture."""
    shows_sky: bool = False
    """A window: the sky is seen, and there is no depth."""

    def placed(self, position: Array, yaw: float) -> Part:
        """This part turned by `yaw` about the origin's z axis, then moved to `position` (3,)."""
        turn = rotation_z(yaw)
        return replace(self, centre=turn @ self.centre + position, rotation=turn @ self.rotation)

    @property
    def radius(self) -> float:
        """Of the sphere about the centre that holds the part, metres."""
        return bounding_radius(self.shape, self.half)


def bounding_radius(shape: int, half: Array) -> float:
    """Radius of the sphere about the centre of a part that holds it, metres."""
    if shape == Shape.ELLIPSOID:
        return float(half.max())
    if shape == Shape.CYLINDER:
        return float(np.hypot(max(half[0], half[1]), half[2]))
    return float(np.linalg.norm(half))


def rotation_z(angle: float) -> Array:
    """(3, 3) rotation about z, radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def rotation_x(angle: float) -> Array:
    """(3, 3) rotation about x, radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])


def rotation_y(angle: float) -> Array:
    """(3, 3) rotation about y, radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])


_UPRIGHT = np.eye(3)


def box(centre: tuple[float, float, float], size: tuple[float, float, float], role: Role, material: int = 0) -> Part:
    """A box of full `size` about `centre`, metres."""
    return Part(Shape.BOX, np.array(centre, float), np.array(size, float) / 2, _UPRIGHT, role, material)


def cylinder(centre: tuple[float, float, float], diameter: float, height: float, role: Role, material: int = 0) -> Part:
    """An upright cylinder about `centre`, metres."""
    half = np.array([diameter, diameter, height]) / 2
    return Part(Shape.CYLINDER, np.array(centre, float), half, _UPRIGHT, role, material)


def ellipsoid(
    centre: tuple[float, float, float], size: tuple[float, float, float], role: Role, material: int = 0
) -> Part:
    """An ellipsoid of full `size` about `centre`, metres."""
    return Part(Shape.ELLIPSOID, np.array(centre, float), np.array(size, float) / 2, _UPRIGHT, role, material)


def wedge(centre: tuple[float, float, float], size: tuple[float, float, float], role: Role, material: int = 0) -> Part:
    """A ramp that falls towards +x, in a box of full `size` about `centre`, metres."""
    return Part(Shape.WEDGE, np.array(centre, float), np.array(size, float) / 2, _UPRIGHT, role, material)


def turned(part: Part, rotation: Array) -> Part:
    """`part` turned about its own centre by a rotation (3, 3)."""
    return replace(part, rotation=rotation @ part.rotation)
