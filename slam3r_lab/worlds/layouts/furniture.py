"""Furniture: each function draws one piece, about the origin on the floor, its back towards +y, sizes in metres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from slam3r_lab.worlds.parts import (
    Part,
    Role,
    box,
    cylinder,
    ellipsoid,
    rotation_x,
    rotation_y,
    rotation_z,
    turned,
    wedge,
)

from .site import Compound, Random, Top


def _legs(random: Random, width: float, depth: float, height: float, material: int) -> list[Part]:
    thick, inset = random.uniform(0.03, 0.08), random.uniform(0.0, 0.08)
    role = Role.METAL if random.random() < 0.3 else Role.WOOD
    is_round = random.random() < 0.4
    legs = []
    for x in (-1, 1):
        for y in (-1, 1):
            centre = (x * (width / 2 - thick / 2 - inset), y * (depth / 2 - thick / 2 - inset), height / 2)
            if is_round:
                legs.append(cylinder(centre, thick, height, role, material))
            else:
                legs.append(box(centre, (thick, thick, height), role, material))
    return legs


def table(random: Random) -> Compound:
    """A table or desk, round or not."""
    width, depth = random.uniform(0.6, 2.0), random.uniform(0.5, 1.0)
    height, thick = random.uniform(0.4, 0.95), random.uniform(0.02, 0.06)
    material = int(random.integers(4))
    if random.random() < 0.2:
        plate = cylinder((0, 0, height - thick / 2), depth, thick, Role.WOOD, material)
        pole = cylinder((0, 0, height / 2), random.uniform(0.05, 0.12), height, Role.METAL)
        foot = cylinder((0, 0, 0.015), 0.5 * depth, 0.03, Role.METAL)
        half = 0.33 * depth
        return Compound([plate, pole, foot], (depth, depth), [Top(np.array([0, 0, height]), (half, half), 0.6)], False)
    plate = box((0, 0, height - thick / 2), (width, depth, thick), Role.WOOD, material)
    parts = [plate, *_legs(random, width, depth, height - thick, material)]
    if random.random() < 0.3:
        side = random.uniform(0.3, 0.45)
        parts.append(
            box((width / 2 - side / 2 - 0.03, 0, 0.35 * height), (side, 0.9 * depth, 0.6 * height), Role.WOOD, material)
        )
    return Compound(parts, (width, depth), [Top(np.array([0, 0, height]), (width / 2, depth / 2), 0.6)])


def chair(random: Random) -> Compound:
    """A chair with a slanted back."""
    width, depth, seat = random.uniform(0.38, 0.5), random.uniform(0.38, 0.5), random.uniform(0.4, 0.5)
    material, back = int(random.integers(4)), random.uniform(0.3, 0.6)
    role = Role.FABRIC if random.random() < 0.5 else Role.WOOD
    parts = [box((0, 0, seat), (width, depth, 0.04), role, material), *_legs(random, width, depth, seat, material)]
    lean = rotation_x(-random.uniform(0.0, 0.25))
    if random.random() < 0.4:
        count = int(random.integers(3, 6))
        for x in np.linspace(-width / 2 + 0.03, width / 2 - 0.03, count):
            slat = box((float(x), depth / 2 - 0.02, seat + back / 2), (0.03, 0.02, back), Role.WOOD, material)
            parts.append(turned(slat, lean))
        parts.append(box((0, depth / 2 + 0.02, seat + back), (width, 0.03, 0.06), Role.WOOD, material))
    else:
        panel = box((0, depth / 2 - 0.02, seat + back / 2 + 0.05), (width, 0.03, back), role, material)
        parts.append(turned(panel, lean))
    return Compound(parts, (width, depth + 0.1), [Top(np.array([0, 0, seat + 0.02]), (0.12, 0.12), 0.4)], False)


def shelf(random: Random) -> Compound:
    """A bookcase, open to the front."""
    width, depth, height = random.uniform(0.5, 1.4), random.uniform(0.22, 0.45), random.uniform(0.7, 2.2)
    thick, material = random.uniform(0.015, 0.035), int(random.integers(4))
    boards = max(2, round(height / random.uniform(0.28, 0.45)))
    parts = [
        box((side * (width / 2 - thick / 2), 0, height / 2), (thick, depth, height), Role.WOOD, material)
        for side in (-1, 1)
    ]
    if random.random() < 0.6:
        parts.append(box((0, depth / 2 - 0.005, height / 2), (width, 0.01, height), Role.WOOD, material + 1))
    tops = []
    levels = np.linspace(0.05, height - thick / 2, boards + 1)
    for index, level in enumerate(levels):
        parts.append(box((0, 0, float(level)), (width - 2 * thick, depth, thick), Role.WOOD, material))
        if index == boards:
            tops.append(Top(np.array([0, 0, float(level) + thick / 2]), (width / 2, depth / 2), 0.4))
            continue
        room = float(levels[index + 1] - level - thick)
        if random.random() < 0.6:
            share = random.uniform(0.3, 1.0)
            long, high = share * (width - 2 * thick), room * random.uniform(0.6, 0.95)
            x = random.uniform(-1, 1) * (width - 2 * thick - long) / 2
            row = box((x, 0.02, float(level) + thick / 2 + high / 2), (long, depth - 0.08, high), Role.BOOKS, index)
            parts.append(row)
        elif room > 0.15:
            tops.append(Top(np.array([0, 0, float(level) + thick / 2]), (width / 2 - 0.05, depth / 2 - 0.03), room))
    return Compound(parts, (width, depth), tops)


def cupboard(random: Random) -> Compound:
    """A cupboard, chest of drawers or fridge: fronts with gaps and knobs."""
    width, depth, height = random.uniform(0.4, 1.6), random.uniform(0.35, 0.7), random.uniform(0.5, 2.2)
    material = int(random.integers(4))
    role = Role.WOOD if random.random() < 0.7 else Role.PLAIN
    parts = [box((0, 0.01, height / 2), (width, depth - 0.02, height), role, material)]
    columns, rows = max(1, round(width / random.uniform(0.4, 0.8))), max(1, round(height / random.uniform(0.2, 1.1)))
    front = -depth / 2 + 0.01
    for column in range(columns):
        for row in range(rows):
            x, z = (column + 0.5) * width / columns - width / 2, (row + 0.5) * height / rows
            size = (width / columns - 0.015, 0.02, height / rows - 0.015)
            parts.append(box((x, front, z), size, role, material))
            knob_x = x + (0.35 * width / columns if rows < 3 else 0.0)
            parts.append(ellipsoid((knob_x, front - 0.025, z), (0.03, 0.03, 0.03), Role.METAL))
    return Compound(parts, (width, depth), [Top(np.array([0, 0, height]), (width / 2, depth / 2), 0.5)])


def sofa(random: Random) -> Compound:
    """A sofa or armchair with cushions."""
    width, depth, seat = random.uniform(0.8, 2.3), random.uniform(0.75, 1.0), random.uniform(0.35, 0.45)
    back, arm, material = random.uniform(0.3, 0.5), random.uniform(0.12, 0.25), int(random.integers(4))
    parts = [
        box((0, 0, seat / 2), (width, depth, seat), Role.FABRIC, material),
        box((0, depth / 2 - 0.12, seat + back / 2), (width, 0.24, back), Role.FABRIC, material),
    ]
    parts += [
        box((side * (width / 2 - arm / 2), 0, seat + 0.1), (arm, depth, 0.25), Role.FABRIC, material)
        for side in (-1, 1)
    ]
    for _ in range(int(random.integers(0, 4))):
        x = random.uniform(-1, 1) * max(0.05, width / 2 - arm - 0.2)
        cushion = ellipsoid((x, depth / 2 - 0.32, seat + 0.2), (0.45, 0.16, 0.42), Role.FABRIC, material + 1)
        parts.append(turned(cushion, rotation_x(random.uniform(-0.5, 0.1)) @ rotation_z(random.uniform(-0.4, 0.4))))
    return Compound(parts, (width, depth))


def bed(random: Random) -> Compound:
    """A bed with pillows."""
    width, depth, height = random.uniform(0.9, 1.8), random.uniform(1.9, 2.1), random.uniform(0.25, 0.5)
    material = int(random.integers(4))
    parts = [
        box((0, 0, height / 2), (width, depth, height), Role.WOOD, material),
        box((0, -0.02, height + 0.08), (0.96 * width, 0.96 * depth, 0.16), Role.FABRIC, material),
        box((0, -0.3, height + 0.17), (width, 0.65 * depth, 0.05), Role.FABRIC, material + 1),
        box((0, depth / 2 - 0.03, height + 0.25), (width, 0.05, 0.6), Role.WOOD, material),
    ]
    for x in (0.0,) if width < 1.3 else (-0.25 * width, 0.25 * width):
        parts.append(ellipsoid((x, depth / 2 - 0.35, height + 0.2), (0.6, 0.4, 0.2), Role.FABRIC, material + 2))
    return Compound(parts, (width, depth))


def standing_lamp(random: Random) -> Compound:
    """A thin pole with a shade."""
    height, shade = random.uniform(1.2, 1.8), random.uniform(0.2, 0.45)
    parts = [
        cylinder((0, 0, 0.015), 0.28, 0.03, Role.METAL),
        cylinder((0, 0, height / 2), 0.025, height, Role.METAL),
        cylinder((0, 0, height), shade, random.uniform(0.2, 0.35), Role.FABRIC, int(random.integers(4))),
    ]
    return Compound(parts, (max(0.3, shade), max(0.3, shade)))


def plant(random: Random) -> Compound:
    """A pot with leaves on stems."""
    pot, height = random.uniform(0.2, 0.45), random.uniform(0.2, 0.4)
    parts = [cylinder((0, 0, height / 2), pot, height, Role.PLAIN, int(random.integers(4)))]
    reach = random.uniform(0.15, 0.35)
    for _ in range(int(random.integers(4, 12))):
        x, y = random.normal(0, reach, 2).clip(-0.5, 0.5)
        z = height + random.uniform(0.1, 0.9)
        size = random.uniform(0.1, 0.4)
        leaf = ellipsoid((x, y, z), (size, size * random.uniform(0.2, 0.6), size * 0.3), Role.LEAVES)
        parts.append(turned(leaf, rotation_z(random.uniform(0, 6)) @ rotation_y(random.uniform(-0.8, 0.8))))
    parts.append(cylinder((0, 0, height + 0.3), 0.03, 0.6, Role.WOOD))
    return Compound(parts, (0.6, 0.6))


def pile(random: Random) -> Compound:
    """Boxes, a ball or a barrel on top of each other."""
    parts: list[Part] = []
    level, side = 0.0, random.uniform(0.3, 0.8)
    first = side
    for _ in range(int(random.integers(1, 5))):
        height = random.uniform(0.15, 0.5)
        size = (side, side * random.uniform(0.6, 1.0), height)
        role, material = (Role.ANYTHING if random.random() < 0.7 else Role.WOOD), int(random.integers(6))
        thing = (
            cylinder((0, 0, level + height / 2), size[1], height, role, material)
            if random.random() < 0.2
            else box((0, 0, level + height / 2), size, role, material)
        )
        parts.append(turned(thing, rotation_z(random.uniform(-0.5, 0.5))))
        level += height
        side *= random.uniform(0.6, 1.0)
    if random.random() < 0.3:
        parts.append(ellipsoid((0, 0, level + side / 3), (0.66 * side,) * 3, Role.ANYTHING, int(random.integers(6))))
    return Compound(parts, (1.15 * first, 1.15 * first), [], random.random() < 0.6)


def stairs(random: Random) -> Compound:
    """A few steps, or a ramp."""
    width, depth, rise = random.uniform(0.6, 1.2), random.uniform(0.24, 0.32), random.uniform(0.15, 0.22)
    count, material = int(random.integers(3, 7)), int(random.integers(4))
    length, height = count * depth, count * rise
    if random.random() < 0.4:
        ramp = turned(wedge((0, 0, height / 2), (length, width, height), Role.WOOD, material), rotation_z(-np.pi / 2))
        return Compound([ramp], (width, length))
    steps = [
        box((0, -length / 2 + (index + 0.5) * depth, (index + 1) * rise / 2), (width, depth, (index + 1) * rise),
            Role.WOOD, material)
        for index in range(count)
    ]  # fmt: skip
    return Compound(steps, (width, length))


def screen_desk(random: Random) -> Compound:
    """A desk with one or two screens, keyboard and mouse."""
    desk = table(random)
    while desk.footprint[0] < 0.9 or not desk.stands_at_walls:
        desk = table(random)
    level, depth = float(desk.tops[0].middle[2]), desk.footprint[1]
    parts = list(desk.parts)
    for x in (0.0,) if random.random() < 0.6 else (-0.32, 0.32):
        width, height = random.uniform(0.4, 0.6), random.uniform(0.25, 0.38)
        panel = box((x, depth / 4, level + 0.12 + height / 2), (width, 0.03, height), Role.PLAIN, 1)
        face = replace(panel, half=panel.half * [0.95, 0.2, 0.92], role=Role.POSTER, material=int(random.integers(5)))
        face = replace(face, centre=face.centre - np.array([0.0, 0.016, 0.0]))
        parts += [panel, face, cylinder((x, depth / 4 + 0.03, level + 0.1), 0.04, 0.2, Role.METAL)]
        parts.append(box((x, depth / 4, level + 0.01), (0.25, 0.2, 0.015), Role.METAL))
    parts.append(box((0, -depth / 5, level + 0.01), (0.42, 0.14, 0.02), Role.PLAIN, 2))
    parts.append(ellipsoid((0.32, -depth / 5, level + 0.01), (0.06, 0.1, 0.04), Role.PLAIN, 2))
    front = Top(np.array([0, -depth / 4, level]), (desk.footprint[0] / 2, depth / 6), 0.4)
    return Compound(parts, desk.footprint, [front])


def coat_stand(random: Random) -> Compound:
    """A thin pole with hooks and things hung on it."""
    height = random.uniform(1.5, 1.9)
    parts = [cylinder((0, 0, height / 2), 0.035, height, Role.WOOD), cylinder((0, 0, 0.02), 0.4, 0.04, Role.WOOD)]
    for turn in random.uniform(0, 2 * np.pi, int(random.integers(2, 6))):
        x, y = 0.16 * np.cos(turn), 0.16 * np.sin(turn)
        arm = turned(cylinder((x / 2, y / 2, height - 0.1), 0.02, 0.2, Role.WOOD), rotation_z(turn) @ rotation_y(1.1))
        parts.append(arm)
        if random.random() < 0.5:
            long = random.uniform(0.5, 0.9)
            cloth = ellipsoid((x, y, height - 0.1 - long / 2), (0.15, 0.35, long), Role.FABRIC, int(random.integers(4)))
            parts.append(turned(cloth, rotation_z(turn)))
    return Compound(parts, (0.5, 0.5))


Maker = Callable[[Random], Compound]
INDOORS: tuple[tuple[Maker, float], ...] = (
    (table, 3.0),
    (screen_desk, 1.5),
    (chair, 3.0),
    (shelf, 2.5),
    (cupboard, 2.5),
    (sofa, 1.3),
    (bed, 0.7),
    (standing_lamp, 0.8),
    (plant, 1.0),
    (pile, 1.8),
    (stairs, 0.4),
    (coat_stand, 0.4),
)


def choose(random: Random, makers: tuple[tuple[Maker, float], ...]) -> Compound:
    """One piece, by weight."""
    weights = np.array([weight for _, weight in makers])
    return makers[int(random.choice(len(makers), p=weights / weights.sum()))][0](random)
