"""What stands outdoors: each function draws one thing about the origin on the ground, sizes in metres."""

from __future__ import annotations

import numpy as np

from slam3r_lab.worlds.parts import Role, box, cylinder, ellipsoid, rotation_x, rotation_y, turned, wedge

from .furniture import Maker, pile, plant, stairs, table
from .site import Compound, Random


def tree(random: Random) -> Compound:
    """A trunk and clumps of leaves."""
    height, thick = random.uniform(1.5, 3.5), random.uniform(0.12, 0.4)
    parts = [cylinder((0, 0, height / 2), thick, height, Role.WOOD)]
    for _ in range(int(random.integers(4, 10))):
        x, y = random.normal(0, 0.7, 2)
        size = random.uniform(0.8, 2.0)
        parts.append(
            ellipsoid((x, y, height + random.uniform(0.0, 1.5)), (size, size, 0.7 * size), Role.LEAVES,
                      int(random.integers(2)))
        )  # fmt: skip
    return Compound(parts, (thick + 0.2, thick + 0.2))


def post(random: Random) -> Compound:
    """A street lamp or a sign."""
    height = random.uniform(2.0, 4.5)
    parts = [cylinder((0, 0, height / 2), random.uniform(0.05, 0.14), height, Role.METAL)]
    if random.random() < 0.5:
        sign = box((0, -0.06, height - 0.3), (random.uniform(0.4, 0.9), 0.02, random.uniform(0.3, 0.7)), Role.POSTER,
                   int(random.integers(5)))  # fmt: skip
        parts.append(sign)
    else:
        parts.append(box((0, -0.4, height), (0.15, 0.9, 0.08), Role.METAL))
    return Compound(parts, (0.3, 0.3))


def fence(random: Random) -> Compound:
    """A row of thin bars between rails."""
    length, height, gap = random.uniform(1.5, 4.0), random.uniform(0.8, 1.3), random.uniform(0.12, 0.25)
    role = Role.METAL if random.random() < 0.5 else Role.WOOD
    bars = [
        cylinder((float(x), 0, height / 2), 0.025, height, role) for x in np.arange(-length / 2, length / 2 + 0.01, gap)
    ]
    rails = [box((0, 0, level * height), (length, 0.03, 0.04), role) for level in (0.15, 0.9)]
    return Compound([*bars, *rails], (length, 0.15))


def car(random: Random) -> Compound:
    """A car: two boxes, slanted windows and four wheels."""
    length, width = random.uniform(3.6, 4.6), random.uniform(1.6, 1.8)
    paint = int(random.integers(4))
    cabin = 0.5 * length
    parts = [
        box((0, 0, 0.6), (length, width, 0.55), Role.PLAIN, paint),
        box((-0.1, 0, 1.1), (cabin, 0.9 * width, 0.5), Role.METAL),
        box((-0.1, 0, 1.37), (0.95 * cabin, 0.88 * width, 0.05), Role.PLAIN, paint),
        wedge((cabin / 2 + 0.15, 0, 1.1), (0.5, 0.88 * width, 0.48), Role.METAL),
    ]
    wheel = rotation_x(np.pi / 2)
    for x in (-0.3 * length, 0.3 * length):
        for y in (-1, 1):
            tyre = cylinder((x, y * (width / 2 - 0.08), 0.32), 0.64, 0.2, Role.PLAIN, 1)
            parts.append(turned(tyre, wheel))
    return Compound(parts, (length, width))


def bench(random: Random) -> Compound:
    """A bench of slats."""
    length = random.uniform(1.2, 2.0)
    slats = [box((0, y, 0.45), (length, 0.09, 0.03), Role.WOOD) for y in (-0.2, -0.08, 0.04, 0.16)]
    back = [box((0, 0.26, z), (length, 0.03, 0.1), Role.WOOD) for z in (0.65, 0.8)]
    legs = [box((x * 0.4 * length, 0.02, 0.22), (0.06, 0.45, 0.44), Role.METAL) for x in (-1, 1)]
    return Compound([*slats, *back, *legs], (length, 0.6))


def wall_piece(random: Random) -> Compound:
    """A low wall."""
    length, height = random.uniform(1.0, 4.0), random.uniform(0.4, 1.8)
    return Compound(
        [box((0, 0, height / 2), (length, 0.25, height), Role.WALL, int(random.integers(4)))], (length, 0.25)
    )


def boulder(random: Random) -> Compound:
    """A stone."""
    size = random.uniform(0.3, 1.2)
    stone = ellipsoid((0, 0, 0.2 * size), (size, 0.8 * size, 0.7 * size), Role.GROUND, 1)
    return Compound([turned(stone, rotation_y(random.uniform(-0.3, 0.3)))], (size, 0.8 * size))


OUTDOORS: tuple[tuple[Maker, float], ...] = (
    (tree, 3.0),
    (post, 1.5),
    (fence, 1.5),
    (car, 1.5),
    (bench, 1.0),
    (wall_piece, 1.5),
    (boulder, 1.0),
    (pile, 1.0),
    (plant, 1.0),
    (table, 0.5),
    (stairs, 0.7),
)
