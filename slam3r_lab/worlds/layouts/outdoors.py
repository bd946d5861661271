"""A yard or street: ground, facades around, and nothing above."""

from __future__ import annotations

import numpy as np

from slam3r_lab.worlds.parts import Part, Role, Shape, box, rotation_z, wedge

from .site import Random, Site, rectangle

_GROUND = 160.0


def outdoors(random: Random) -> Site:
    """Open ground with facades on some of its sides."""
    size = np.array([random.uniform(8.0, 20.0), random.uniform(7.0, 16.0), random.uniform(4.0, 7.0)])
    site = Site(size, enclosed=False, floor_area=float(size[0] * size[1]) * 0.6)
    middle = (float(size[0]) / 2, float(size[1]) / 2)
    site.parts.append(box((*middle, -0.5), (_GROUND, _GROUND, 1.0), Role.GROUND))
    for side in range(4):
        if random.random() < 0.75:
            _facades(random, site, side)
    if random.random() < 0.5:
        _path(random, site)
    for _ in range(int(random.integers(0, 4))):
        _hill(random, site)
    return site


def _facades(random: Random, site: Site, side: int) -> None:
    """Houses side by side beyond one side of the place."""
    axis = side % 2
    length, place = float(site.size[axis]), 0.0 if side < 2 else float(site.size[1 - axis])
    along = -6.0
    back = random.uniform(0.2, 5.0)
    while along < length + 6.0:
        wide, deep, high = random.uniform(4.0, 10.0), random.uniform(4.0, 8.0), random.uniform(3.5, 14.0)
        distance = back + random.uniform(0.0, 0.8) + deep / 2
        across = place + (-distance if side < 2 else distance)
        x, y = (along + wide / 2, across) if axis == 0 else (across, along + wide / 2)
        size = (wide, deep, high) if axis == 0 else (deep, wide, high)
        material = int(random.integers(4))
        site.parts.append(box((x, y, high / 2), size, Role.FACADE, material))
        if random.random() < 0.5:
            _roof(random, site, (x, y, high), size)
        along += wide + (random.uniform(0.5, 4.0) if random.random() < 0.3 else 0.0)


def _roof(random: Random, site: Site, top: tuple[float, float, float], size: tuple[float, float, float]) -> None:
    rise = random.uniform(1.0, 3.0)
    material = int(random.integers(2))
    for turn, shift in ((0.0, 0.25), (np.pi, -0.25)):
        half = np.array([size[0] / 4, size[1] / 2, rise / 2])
        centre = np.array([top[0] + shift * size[0], top[1], top[2] + rise / 2])
        site.parts.append(Part(Shape.WEDGE, centre, half, rotation_z(turn), Role.GROUND, material))


def _path(random: Random, site: Site) -> None:
    """A paved strip."""
    yaw = random.uniform(-0.4, 0.4) + (np.pi / 2 if random.random() < 0.5 else 0.0)
    strip = box((0, 0, 0.01), (_GROUND / 3, random.uniform(1.2, 3.0), 0.02), Role.FLOOR, int(random.integers(2)))
    site.parts.append(strip.placed(np.array([*(random.uniform(0.3, 0.7, 2) * site.size[:2]), 0.0]), yaw))


def _hill(random: Random, site: Site) -> None:
    """A slope that rises out of the ground."""
    long, wide, high = random.uniform(1.5, 5.0), random.uniform(1.5, 4.0), random.uniform(0.2, 1.2)
    position, yaw = random.uniform(0.1, 0.9, 2) * site.size[:2], random.uniform(-np.pi, np.pi)
    part = wedge((0, 0, high / 2), (long, wide, high), Role.GROUND, 1)
    site.parts.append(part.placed(np.array([*position, 0.0]), yaw))
    site.block(rectangle(position, (long, wide), yaw))
