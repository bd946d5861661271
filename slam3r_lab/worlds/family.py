"""Families of worlds: every range that worlds, paths and cameras are drawn from, as one value, and those with a name.

`narrow` are plain rooms with a few boxes, the family of the first embedded weights and of the demo's video; `rooms` are
furnished rooms seen by a hand-held camera; `turns` are such rooms in which the camera turns where it stands; `wide` is
everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .effects import EffectRanges
from .paths.motion import DRONE, HAND, NEAR_HAND, ORBIT, ROBOT, ROTATION, TURNING_HAND, Motion

Range = tuple[float, float]


class FamilyError(ValueError):
    """A family of worlds that has no such name; the message lists those there are."""


@dataclass(frozen=True, slots=True)
class BoxRooms:
    """Plain rooms with a few boxes on the floor."""

    room_length: Range = (4.0, 7.0)
    """Extent along world x, metres."""
    room_width: Range = (4.0, 6.0)
    """Extent along world y, metres."""
    room_height: Range = (2.5, 3.0)
    """Extent along world z (up), metres."""
    box_count: tuple[int, int] = (4, 8)
    """Number of boxes, both ends included."""
    box_footprint: Range = (0.35, 1.2)
    """Side of a box on the floor, metres."""
    box_height: Range = (0.35, 2.0)
    """Height of a box, metres."""
    share_of_rotated_boxes: float = 0.5
    """Probability that a box does not stand parallel to the walls."""
    styles_by_surface: bool = True
    """Walls, floor, ceiling and boxes each have patterns and colours of their own kind; otherwise any may have any."""


@dataclass(frozen=True, slots=True)
class Furnishing:
    """How full furnished places are."""

    density: Range = (0.12, 0.4)
    """Share of the floor that furniture is meant to cover."""
    clutter: Range = (0.1, 0.8)
    """Small things on tables and shelves: share of the places that have one."""
    posters: Range = (0.1, 0.5)
    """Things on the walls for a metre of wall."""
    lamps: tuple[int, int] = (1, 3)
    """Number of lamps, both ends included."""
    ambient: Range = (0.3, 0.7)
    """Light that comes from everywhere."""
    shadow_points: int = 2
    """Points of each lamp that cast shadows; 0 for no shadows."""


@dataclass(frozen=True, slots=True)
class WorldFamily:
    """What worlds are drawn from."""

    name: str
    places: tuple[tuple[str, float], ...]
    """Kinds of place and their weights: boxes, room, corridor, flat, hall, attic, outdoors."""
    motions: tuple[tuple[Motion, float], ...]
    """Ways of moving the camera and their weights."""
    field_of_view: Range
    """Angle of view across the centre square of the image, degrees."""
    boxes: BoxRooms = field(default_factory=BoxRooms)
    furnishing: Furnishing = field(default_factory=Furnishing)
    effects: EffectRanges | None = None
    """What the camera does to its images; None for nothing."""


NARROW = WorldFamily("narrow", (("boxes", 1.0),), ((HAND, 1.0),), (50.0, 65.0))
ROOMS = WorldFamily(
    "rooms",
    (("boxes", 0.1), ("room", 0.6), ("flat", 0.15), ("attic", 0.15)),
    ((HAND, 0.4), (NEAR_HAND, 0.35), (ORBIT, 0.15), (ROBOT, 0.1)),
    (50.0, 75.0),
    effects=EffectRanges().weakened(0.5),
)
WIDE = WorldFamily(
    "wide",
    (
        ("boxes", 0.04),
        ("room", 0.4),
        ("corridor", 0.1),
        ("flat", 0.16),
        ("hall", 0.08),
        ("attic", 0.08),
        ("outdoors", 0.14),
    ),
    ((HAND, 0.2), (NEAR_HAND, 0.32), (ORBIT, 0.12), (ROBOT, 0.16), (DRONE, 0.14), (ROTATION, 0.06)),
    (45.0, 100.0),
    effects=EffectRanges(),
)
TURNS = WorldFamily(
    "turns",
    (("boxes", 0.1), ("room", 0.6), ("flat", 0.15), ("attic", 0.15)),
    ((ROTATION, 0.6), (TURNING_HAND, 0.4)),
    (45.0, 80.0),
    effects=EffectRanges().weakened(0.7),
)
"""Rooms in which the camera turns where it stands, or nearly: little parallax, so that a length has to be known."""
FAMILIES = {family.name: family for family in (NARROW, ROOMS, WIDE, TURNS)}


def family_of(name: str) -> WorldFamily:
    """The family of this name; raises FamilyError for another one."""
    if name not in FAMILIES:
        raise FamilyError(f"family of worlds '{name}' is unknown; choose one of {', '.join(FAMILIES)}")
    return FAMILIES[name]
