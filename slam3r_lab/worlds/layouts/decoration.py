"""What hangs on walls and from ceilings, and the small things that stand about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slam3r_lab.worlds.parts import (
    Array,
    Part,
    Role,
    box,
    cylinder,
    ellipsoid,
    rotation_x,
    rotation_y,
    rotation_z,
    turned,
)

from .site import Random, Site, Top, WallSegment


def hang_on_walls(random: Random, site: Site, per_metre: float) -> None:
    """Posters, pictures, boards, clocks, shelves, radiators, doors, windows and curtains."""
    for wall in site.walls:
        if wall.length < 0.7:
            continue
        for _ in range(random.poisson(per_metre * wall.length)):
            kind = random.random()
            if kind < 0.55:
                _picture(random, site, wall)
            elif kind < 0.67:
                _window(random, site, wall)
            elif kind < 0.79:
                _door(random, site, wall)
            elif kind < 0.89:
                _radiator(random, site, wall)
            else:
                _wall_shelf(random, site, wall)


def _fix(site: Site, wall: WallSegment, along: float, parts: list[Part]) -> None:
    """Add parts, drawn about the origin with their backs at y = 0, `along` metres from the wall's start."""
    position = wall.start + along * wall.along
    site.parts.extend(part.placed(np.array([*position, 0.0]), wall.yaw) for part in parts)


def _place_along(random: Random, wall: WallSegment, width: float) -> float:
    return float(random.uniform(width / 2, max(width / 2 + 0.01, wall.length - width / 2)))


def _picture(random: Random, site: Site, wall: WallSegment) -> None:
    width, height = min(random.uniform(0.25, 1.4), 0.8 * wall.length), random.uniform(0.25, 1.0)
    level = random.uniform(0.9, 1.9)
    level = min(level, wall.height - height / 2 - 0.05)
    thick, material = random.uniform(0.008, 0.03), int(random.integers(5))
    parts = [box((0, -thick / 2, level), (width, thick, height), Role.POSTER, material)]
    if random.random() < 0.5:
        bar, role = random.uniform(0.015, 0.05), Role.WOOD
        depth = thick + 0.01
        for side in (-1, 1):
            parts.append(box((side * width / 2, -depth / 2, level), (bar, depth, height + bar), role, 1))
            parts.append(box((0, -depth / 2, level + side * height / 2), (width, depth, bar), role, 1))
    _fix(site, wall, _place_along(random, wall, width), parts)


def _window(random: Random, site: Site, wall: WallSegment) -> None:
    width, height = min(random.uniform(0.7, 1.8), 0.7 * wall.length), random.uniform(0.8, 1.4)
    level = min(random.uniform(1.3, 1.7), wall.height - height / 2 - 0.1)
    pane = replace(box((0, -0.01, level), (width, 0.02, height), Role.PLAIN), shows_sky=True)
    parts = [pane]
    frame = int(random.integers(4))
    for x in (-width / 2, 0.0, width / 2):
        parts.append(box((x, -0.03, level), (0.06, 0.06, height + 0.06), Role.PLAIN, frame))
    for z in (-height / 2, height / 2):
        parts.append(box((0, -0.03, level + z), (width, 0.06, 0.06), Role.PLAIN, frame))
    parts.append(box((0, -0.08, level - height / 2 - 0.04), (width + 0.1, 0.16, 0.03), Role.WOOD))
    if random.random() < 0.5:
        material = int(random.integers(4))
        for side in (-1, 1):
            cloth = (0.35, 0.05, height + 0.5)
            parts.append(box((side * (width / 2 + 0.15), -0.12, level), cloth, Role.FABRIC, material))
        rail = cylinder((0, -0.12, level + height / 2 + 0.27), 0.025, width + 0.8, Role.METAL)
        parts.append(turned(rail, rotation_y(np.pi / 2)))
    _fix(site, wall, _place_along(random, wall, width), parts)


def _door(random: Random, site: Site, wall: WallSegment) -> None:
    width, height = min(random.uniform(0.75, 1.0), 0.9 * wall.length), min(random.uniform(1.95, 2.1), wall.height - 0.1)
    material = int(random.integers(4))
    role = Role.WOOD if random.random() < 0.6 else Role.PLAIN
    parts = [box((0, -0.01, height / 2), (width, 0.02, height), role, material)]
    for side in (-1, 1):
        parts.append(box((side * width / 2, -0.025, height / 2), (0.08, 0.05, height), role, material + 1))
    parts.append(box((0, -0.025, height), (width + 0.08, 0.05, 0.08), role, material + 1))
    handle = turned(cylinder((0.4 * width, -0.06, 1.0), 0.02, 0.12, Role.METAL), rotation_y(np.pi / 2))
    parts.append(handle)
    _fix(site, wall, _place_along(random, wall, width), parts)


def _radiator(random: Random, site: Site, wall: WallSegment) -> None:
    width, height = min(random.uniform(0.5, 1.3), 0.7 * wall.length), random.uniform(0.4, 0.6)
    count = max(3, round(width / random.uniform(0.05, 0.09)))
    ribs = [
        box((float(x), -0.07, 0.15 + height / 2), (0.6 * width / count, 0.08, height), Role.PLAIN, 3)
        for x in np.linspace(-width / 2, width / 2, count)
    ]
    _fix(site, wall, _place_along(random, wall, width), ribs)


def _wall_shelf(random: Random, site: Site, wall: WallSegment) -> None:
    width, depth = min(random.uniform(0.4, 1.2), 0.8 * wall.length), random.uniform(0.15, 0.3)
    level = random.uniform(1.2, 1.8)
    along = _place_along(random, wall, width)
    _fix(site, wall, along, [box((0, -depth / 2, level), (width, depth, 0.025), Role.WOOD, 2)])
    middle = wall.start + along * wall.along + depth / 2 * wall.inward
    top = Top(np.array([*middle, level + 0.0125]), (width / 2 - 0.05, depth / 2 - 0.04), 0.35, wall.yaw)
    site.tops.append(top)


def scatter_things(random: Random, site: Site, share: float) -> None:
    """Small things on tables, shelves and the floor."""
    for top in site.tops:
        area = 4 * top.half[0] * top.half[1]
        for _ in range(random.poisson(share * min(6.0, area / 0.06))):
            _small_thing(random, site, top)
    floor = Top(np.array([*(site.size[:2] / 2), 0.0]), (float(site.size[0]) / 2, float(site.size[1]) / 2), 0.5)
    for _ in range(random.poisson(4 * share)):
        _small_thing(random, site, floor, scale=1.8)


def _small_thing(random: Random, site: Site, top: Top, scale: float = 1.0) -> None:
    size = scale * random.uniform(0.04, 0.28, 3)
    size[2] = min(size[2], 0.9 * top.room)
    x, y = (random.uniform(-1, 1) * max(0.0, half - size[:2].max() / 2) for half in top.half)
    cosine, sine = np.cos(top.yaw), np.sin(top.yaw)
    centre = top.middle + np.array([cosine * x - sine * y, sine * x + cosine * y, size[2] / 2])
    place = (float(centre[0]), float(centre[1]), float(centre[2]))
    full = (float(size[0]), float(size[1]), float(size[2]))
    role = (Role.ANYTHING, Role.ANYTHING, Role.PLAIN, Role.WOOD, Role.METAL)[int(random.integers(5))]
    material, kind = int(random.integers(6)), random.random()
    if kind < 0.55:
        thing = box(place, full, role, material)
    elif kind < 0.85:
        thing = cylinder(place, 0.6 * full[0], full[2], role, material)
    else:
        ball = min(full[0], 2 * full[2], top.room)
        thing = ellipsoid((place[0], place[1], float(top.middle[2]) + ball / 2), (ball,) * 3, role, material)
    site.parts.append(turned(thing, rotation_z(random.uniform(-np.pi, np.pi))))


def hang_from_ceiling(random: Random, site: Site, lamps: Array) -> None:
    """A shade on a thin cord, or a flat lamp, around each of the lamps (L, 3) of an enclosed place."""
    height = float(site.size[2])
    for x, y, z in lamps:
        if random.random() < 0.5:
            shade = random.uniform(0.2, 0.45)
            site.parts.append(cylinder((x, y, (height + z) / 2 + 0.1), 0.012, height - z, Role.METAL))
            site.parts.append(
                ellipsoid((x, y, min(z + 0.3, height - 0.05)), (shade, shade, 0.2), Role.PLAIN, int(random.integers(4)))
            )
        else:
            site.parts.append(box((x, y, height - 0.02), (0.9, 0.25, 0.04), Role.PLAIN, 0))


def lean_things(random: Random, site: Site, count: int) -> None:
    """Thin poles and boards that lean against walls."""
    for _ in range(count):
        wall = site.walls[int(random.integers(len(site.walls)))]
        if wall.length < 1.0:
            continue
        long, tilt = random.uniform(0.8, 1.8), random.uniform(0.1, 0.4)
        lean = rotation_x(-tilt)
        level, away = long / 2 * np.cos(tilt) + 0.02, long / 2 * np.sin(tilt) + 0.04
        if random.random() < 0.5:
            part = cylinder((0, -away, level), 0.03, long, Role.WOOD, 1)
        else:
            part = box(
                (0, -away, level), (random.uniform(0.1, 0.6), 0.02, long), Role.ANYTHING, int(random.integers(6))
            )
        _fix(site, wall, _place_along(random, wall, 0.6), [turned(part, lean)])
