"""Places with walls around: rooms of many shapes, corridors, flats of several rooms, halls and attics."""

from __future__ import annotations

import itertools

import numpy as np

from slam3r_lab.worlds.parts import Array, Part, Role, Shape, box, cylinder, rotation_x, rotation_z

from .site import Random, Site, WallSegment, rectangle


def room(random: Random) -> Site:
    """One room: oblong, with a corner taken away, with a slanted corner, or with a pillar or beams."""
    site = _four_walls(random, (2.8, 8.0), (2.6, 6.5), (2.3, 3.4))
    kind = random.random()
    if kind < 0.3:
        _fill_corner(random, site)
    elif kind < 0.45:
        _slant_corner(random, site)
    elif kind < 0.6:
        _pillar(random, site)
    if random.random() < 0.25:
        _beams(random, site)
    return site


def corridor(random: Random) -> Site:
    """A long, narrow room with alcoves."""
    site = _four_walls(random, (7.0, 18.0), (1.5, 2.8), (2.3, 3.2))
    for _ in range(int(random.integers(0, 5))):
        wide, deep = random.uniform(0.4, 1.5), random.uniform(0.1, 0.35)
        x = random.uniform(wide / 2, site.size[0] - wide / 2)
        y = deep / 2 if random.random() < 0.5 else site.size[1] - deep / 2
        _fill(site, np.array([x, y]), (wide, deep), site.size[2], int(random.integers(4)))
    if random.random() < 0.4:
        _pipes(random, site)
    return site


def flat(random: Random) -> Site:
    """Two to four rooms with open doors."""
    site = _four_walls(random, (6.0, 12.0), (4.5, 9.0), (2.3, 3.0))
    x = random.uniform(0.35, 0.65) * site.size[0]
    material = int(random.integers(4))
    _partition(random, site, 0, float(x), 0.0, float(site.size[1]), material)
    if random.random() < 0.7:
        _partition(random, site, 1, float(random.uniform(0.4, 0.6) * site.size[1]), 0.0, float(x), material)
    if random.random() < 0.4:
        y = float(random.uniform(0.4, 0.6) * site.size[1])
        _partition(random, site, 1, y, float(x), float(site.size[0]), material + 1)
    return site


def hall(random: Random) -> Site:
    """A large, high room with rows of pillars."""
    site = _four_walls(random, (9.0, 18.0), (7.0, 13.0), (3.2, 6.0))
    if random.random() < 0.7:
        gap, thick, round_ones = random.uniform(2.5, 4.5), random.uniform(0.2, 0.6), random.random() < 0.5
        for x in np.arange(gap, site.size[0] - 1.0, gap):
            for y in (0.25 * site.size[1], 0.75 * site.size[1]):
                _add_pillar(site, np.array([x, y]), thick, round_ones)
    _beams(random, site)
    if random.random() < 0.5:
        _pipes(random, site)
    return site


def attic(random: Random) -> Site:
    """A room under one or two slanted roofs."""
    site = _four_walls(random, (3.5, 8.0), (3.5, 6.0), (2.4, 3.5))
    length, width, height = (float(value) for value in site.size)
    for side in (0, 1)[: int(random.integers(1, 3))]:
        deep, drop = random.uniform(0.25, 0.5) * width, random.uniform(0.35, 0.65) * height
        y = deep / 2 if side == 0 else width - deep / 2
        turn = rotation_z(np.pi / 2 if side == 0 else -np.pi / 2) @ rotation_x(np.pi)
        half = np.array([deep / 2, length / 2, drop / 2])
        site.parts.append(Part(Shape.WEDGE, np.array([length / 2, y, height - drop / 2]), half, turn, Role.CEILING, 1))
    _beams(random, site)
    return site


def _four_walls(
    random: Random, length: tuple[float, float], width: tuple[float, float], height: tuple[float, float]
) -> Site:
    size = np.array([random.uniform(*length), random.uniform(*width), random.uniform(*height)])
    x, y, z = (float(value) for value in size)
    corners = [np.array(corner) for corner in ((0.0, 0.0), (x, 0.0), (x, y), (0.0, y))]
    walls = [WallSegment(corners[index], corners[(index + 1) % 4], z) for index in range(4)]
    site = Site(size, enclosed=True, walls=walls, floor_area=x * y)
    if random.random() < 0.5:
        _skirting(random, site)
    return site


def _fill(site: Site, middle: Array, size: tuple[float, float], height: float, material: int, yaw: float = 0.0) -> None:
    """A solid block from the floor up."""
    part = box((0, 0, height / 2), (*size, height), Role.WALL, material)
    site.parts.append(part.placed(np.array([*middle, 0.0]), yaw))
    site.block(rectangle(middle, size, yaw))
    site.floor_area -= size[0] * size[1]


def _fill_corner(random: Random, site: Site) -> None:
    """Take a corner away, so that the room is L-shaped."""
    size = random.uniform(0.2, 0.5, 2) * site.size[:2]
    corner = random.integers(0, 2, 2)
    middle = np.where(corner == 0, size / 2, site.size[:2] - size / 2)
    _fill(site, middle, (float(size[0]), float(size[1])), float(site.size[2]), int(random.integers(4)))


def _slant_corner(random: Random, site: Site) -> None:
    cut = random.uniform(0.8, 1.8)
    corner = random.integers(0, 2, 2) * site.size[:2]
    _fill(site, corner, (cut, cut), float(site.size[2]), int(random.integers(4)), np.pi / 4 + random.uniform(-0.3, 0.3))


def _pillar(random: Random, site: Site) -> None:
    position = random.uniform(0.25, 0.75, 2) * site.size[:2]
    _add_pillar(site, position, float(random.uniform(0.15, 0.5)), bool(random.random() < 0.5))


def _add_pillar(site: Site, position: Array, thick: float, is_round: bool) -> None:
    height = float(site.size[2])
    if is_round:
        part = cylinder((position[0], position[1], height / 2), thick, height, Role.WALL, 1)
    else:
        part = box((position[0], position[1], height / 2), (thick, thick, height), Role.WALL, 1)
    site.parts.append(part)
    site.block(rectangle(position, (thick, thick), 0.0, 0.1))


def _beams(random: Random, site: Site) -> None:
    thick, gap = random.uniform(0.08, 0.25), random.uniform(0.8, 2.0)
    length, width, height = (float(value) for value in site.size)
    role = Role.WOOD if random.random() < 0.7 else Role.CEILING
    for x in np.arange(gap / 2, length, gap):
        site.parts.append(box((float(x), width / 2, height - thick / 2), (0.7 * thick, width, thick), role))


def _pipes(random: Random, site: Site) -> None:
    length, width, height = (float(value) for value in site.size)
    turn = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    for _ in range(int(random.integers(1, 4))):
        thick = random.uniform(0.03, 0.2)
        y = random.uniform(0.05, 0.3) if random.random() < 0.5 else width - random.uniform(0.05, 0.3)
        centre = np.array([length / 2, y, height - random.uniform(0.1, 0.4)])
        half = np.array([thick, thick, length]) / 2
        site.parts.append(Part(Shape.CYLINDER, centre, half, turn, Role.METAL))


def _skirting(random: Random, site: Site) -> None:
    height, role, material = random.uniform(0.05, 0.15), Role.WOOD, int(random.integers(4))
    for wall in site.walls:
        middle = (wall.start + wall.end) / 2 + 0.006 * wall.inward
        part = box((0, 0, height / 2), (wall.length, 0.012, height), role, material)
        site.parts.append(part.placed(np.array([*middle, 0.0]), wall.yaw))


def _partition(random: Random, site: Site, axis: int, place: float, start: float, end: float, material: int) -> None:
    """A wall across `axis` at `place`, from `start` to `end` along the other axis, with one or two doorways."""
    thick, height = random.uniform(0.08, 0.2), float(site.size[2])
    doors = 1 if end - start < 4.5 or random.random() < 0.6 else 2
    door_height = min(height - 0.05, random.uniform(1.95, 2.3)) if random.random() < 0.85 else height
    edges = np.linspace(start, end, doors + 1)
    for low, high in itertools.pairwise(edges):
        wide = min(random.uniform(1.2, 2.4), 0.6 * (high - low))
        middle = random.uniform(low + wide / 2 + 0.1, high - wide / 2 - 0.1)
        left, right = middle - wide / 2, middle + wide / 2
        for begin, finish, bottom in ((low, left, 0.0), (right, high, 0.0), (left, right, door_height)):
            if finish - begin > 0.02 and height - bottom > 0.02:
                _wall_piece(site, axis, place, (float(begin), float(finish)), (bottom, height), (thick, material))
        clear = _along(axis, place, float(middle)), _extent(axis, 1.6, float(wide))
        site.block(rectangle(clear[0], clear[1], 0.0))


def _wall_piece(
    site: Site,
    axis: int,
    place: float,
    span: tuple[float, float],
    levels: tuple[float, float],
    made: tuple[float, int],
) -> None:
    thick, material = made
    middle = _along(axis, place, (span[0] + span[1]) / 2)
    size = _extent(axis, thick, span[1] - span[0])
    centre = (float(middle[0]), float(middle[1]), (levels[0] + levels[1]) / 2)
    site.parts.append(box(centre, (*size, levels[1] - levels[0]), Role.WALL, material))
    if levels[0] == 0.0:
        site.block(rectangle(middle, size, 0.0))
        start, end = _along(axis, place, span[0]), _along(axis, place, span[1])
        across = np.array([1.0, 0.0]) if axis == 0 else np.array([0.0, 1.0])
        for sign in (-1, 1):
            shift = sign * thick / 2 * across
            ends = (start + shift, end + shift) if (sign == -1) == (axis == 0) else (end + shift, start + shift)
            site.walls.append(WallSegment(*ends, levels[1]))


def _along(axis: int, place: float, along: float) -> Array:
    return np.array([place, along]) if axis == 0 else np.array([along, place])


def _extent(axis: int, across: float, along: float) -> tuple[float, float]:
    return (across, along) if axis == 0 else (along, across)
