"""A place that fills up: what stands in it, which floor is taken, where things can be put on and hung."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from slam3r_lab.worlds.parts import Array, Part

Random = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Compound:
    """Parts that belong together, around the origin on the floor, their back towards +y."""

    parts: list[Part]
    footprint: tuple[float, float]
    """Extent along x and y, metres."""
    tops: list[Top] = field(default_factory=list)
    """Where small things may stand."""
    stands_at_walls: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Top:
    """A level rectangle that small things may stand on."""

    middle: Array
    """(3,) metres."""
    half: tuple[float, float]
    """Along x and y of the compound or, once it is placed, of axes turned by `yaw`."""
    room: float
    """Free height above it, metres."""
    yaw: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class WallSegment:
    """A straight stretch of wall that things may stand at and hang on."""

    start: Array
    """(2,) metres, on the wall."""
    end: Array
    """(2,) metres; the room lies to the left on the way from start to end."""
    height: float

    @property
    def length(self) -> float:
        """Metres."""
        return float(np.linalg.norm(self.end - self.start))

    @property
    def along(self) -> Array:
        """(2,) unit vector from start to end."""
        return np.asarray((self.end - self.start) / self.length)

    @property
    def inward(self) -> Array:
        """(2,) unit vector into the room."""
        along = self.along
        return np.array([-along[1], along[0]])

    @property
    def yaw(self) -> float:
        """Turn of a compound whose back is at this wall, radians."""
        inward = self.inward
        return float(np.arctan2(inward[0], -inward[1]))


@dataclass(slots=True, eq=False)
class Site:
    """A place that fills up."""

    size: Array
    """(3,) metres: the space for cameras, from the origin."""
    enclosed: bool
    parts: list[Part] = field(default_factory=list)
    walls: list[WallSegment] = field(default_factory=list)
    tops: list[Top] = field(default_factory=list)
    taken: list[Array] = field(default_factory=list)
    """(4, 2) corners of each occupied rectangle of floor."""
    floor_area: float = 0.0
    covered_area: float = 0.0

    def block(self, corners: Array) -> None:
        """Keep furniture off a rectangle (4, 2) of floor."""
        self.taken.append(corners)

    def try_to_place(self, compound: Compound, position: Array, yaw: float, margin: float = 0.03) -> bool:
        """Add a compound at `position` (2,) on the floor, turned by `yaw`, if its place is free and in bounds."""
        corners = rectangle(position, compound.footprint, yaw, margin)
        if (corners < 0).any() or (corners > self.size[:2]).any():
            return False
        if any(overlap(corners, other) for other in self.taken):
            return False
        self.taken.append(corners)
        self.covered_area += compound.footprint[0] * compound.footprint[1]
        self.add(compound, np.array([*position, 0.0]), yaw)
        return True

    def add(self, compound: Compound, position: Array, yaw: float) -> None:
        """Add a compound at `position` (3,) whatever is there."""
        self.parts.extend(part.placed(position, yaw) for part in compound.parts)
        cosine, sine = np.cos(yaw), np.sin(yaw)
        for top in compound.tops:
            x, y, z = top.middle
            middle = position + np.array([cosine * x - sine * y, sine * x + cosine * y, z])
            self.tops.append(Top(middle, top.half, top.room, top.yaw + yaw))


def rectangle(position: Array, size: tuple[float, float], yaw: float, margin: float = 0.0) -> Array:
    """Corners (4, 2) of a rectangle of `size` about `position` (2,), turned by `yaw`, in order."""
    half = np.array(size) / 2 + margin
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    cosine, sine = np.cos(yaw), np.sin(yaw)
    return np.asarray(corners @ np.array([[cosine, sine], [-sine, cosine]]) + position)


def overlap(first: Array, second: Array) -> bool:
    """Whether two rectangles, corners (4, 2) in order, share any place (separating axes)."""
    for corners in (first, second):
        for axis in (corners[1] - corners[0], corners[2] - corners[1]):
            one, other = first @ axis, second @ axis
            if one.max() <= other.min() or other.max() <= one.min():
                return False
    return True
