"""Patterns that repeat without a seam: functions of random numbers, a palette and how many metres a tile covers.

Each returns colours (SIDE, SIDE, 3), about [0, 1], not clipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .noise import SIDE, grid, noise, per_cell, unit

Pattern = Callable[["Painter"], Tensor]


@dataclass(frozen=True, slots=True)
class Palette:
    """Which colours a material may have."""

    brightness: tuple[float, float]
    """Range of the mean of the three channels, 0 to 1."""
    hue: tuple[float, float, float] | None
    """Colour of that brightness 0.5 that the tint is about; None for any."""
    tint: float
    """Largest deviation of a channel."""
    contrast: tuple[float, float]
    """Range of the difference in brightness of two colours of one pattern."""


@dataclass(frozen=True, slots=True, eq=False)
class Painter:
    """What a pattern draws with."""

    random: np.random.Generator
    palette: Palette
    metres: float
    """Side of the tile."""
    device: torch.device

    def number(self, low: float, high: float) -> float:
        """A random number."""
        return float(self.random.uniform(low, high))

    def count(self, low: float, high: float, even: bool = False) -> int:
        """How many cells of between `low` and `high` metres fit into the tile; at least 1."""
        cells = max(1, round(self.metres / self.number(low, high)))
        return cells + cells % 2 if even else cells

    def noise(self, roughness: float, lowest: float = 1.0, highest: float = SIDE / 2, stretch: float = 1.0) -> Tensor:
        """See `noise`."""
        return noise(self.random, self.device, roughness=roughness, lowest=lowest, highest=highest, stretch=stretch)[0]

    def colours(self, count: int = 2) -> Tensor:
        """Colours (count, 3) of the palette, neighbours apart by its contrast."""
        palette, random = self.palette, self.random
        low, high = palette.brightness
        brightness = [random.uniform(low, high)]
        base = np.array(palette.hue or (0.5, 0.5, 0.5)) / 0.5
        for _ in range(count - 1):
            step = random.uniform(*palette.contrast) * random.choice([-1, 1])
            following = brightness[-1] + step
            brightness.append(following if 0.05 < following < 1.0 else brightness[-1] - step)
        tints = random.uniform(-palette.tint, palette.tint, (count, 3))
        tints -= tints.mean(axis=1, keepdims=True)
        if palette.hue is not None or random.random() < 0.5:
            tints = 0.75 * tints[:1] + 0.25 * tints
        colours = np.array(brightness)[:, None] * base + tints
        return torch.from_numpy(colours.clip(0.02, 1.0).astype(np.float32)).to(self.device)


def _mix(weight: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return torch.lerp(second, first, weight[..., None])


def _board(painter: Painter, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Row and column (int64) of each texel on a board, and where it lies in its cell (0 to 1 down and along)."""
    u, v = grid(painter.device)
    row, column = (v * rows).floor(), (u * columns).floor()
    return row.long(), column.long(), v * rows - row, u * columns - column


def plain(painter: Painter) -> Tensor:
    """One colour, hardly uneven."""
    return painter.colours(1)[0] * (1 + painter.number(0.005, 0.04) * painter.noise(0.8))[..., None]


def plaster(painter: Painter) -> Tensor:
    """Rough paint: fine grain and broad stains."""
    grain = painter.number(0.03, 0.12) * painter.noise(painter.number(0.1, 0.7), lowest=8)
    stains = painter.number(0.0, 0.06) * painter.noise(1.5)
    return painter.colours(1)[0] * (1 + grain + stains)[..., None]


def clouds(painter: Painter) -> Tensor:
    """Noise of many scales between two colours, spots of a third."""
    first, second, third = painter.colours(3)
    image = _mix(unit(painter.noise(painter.number(0.5, 1.3))), first, second)
    return _mix((painter.noise(0.6, lowest=6) > painter.number(0.8, 2.0)).float(), third, image)


def speckle(painter: Painter) -> Tensor:
    """Terrazzo or granite: spots of two colours on a third."""
    ground, first, second = painter.colours(3)
    scale = painter.number(8, 40)
    image = _mix((painter.noise(0.0, scale / 2, scale) > painter.number(0.6, 1.3)).float(), first, ground)
    return _mix((painter.noise(0.0, scale, 2 * scale) > painter.number(0.8, 1.5)).float(), second, image)


def marble(painter: Painter) -> Tensor:
    """Veins bent by noise."""
    u, v = grid(painter.device)
    along = int(painter.random.integers(0, 3)) * u + int(painter.random.integers(1, 4)) * v
    veins = torch.sin(2 * torch.pi * (along + painter.number(0.2, 0.6) * painter.noise(1.4))).abs()
    first, second = painter.colours()
    return _mix(veins ** painter.number(0.3, 1.0), first, second)


def bricks(painter: Painter) -> Tensor:
    """Courses of bricks, every other one shifted by half a brick, with joints of another colour."""
    rows, columns = painter.count(0.07, 0.2, even=True), painter.count(0.2, 0.5)
    shift = 0.5 * (torch.arange(rows, device=painter.device) % 2)
    u, v = grid(painter.device)
    row = (v * rows).floor().long()
    along = u * columns + shift[row]
    column = along.floor().long()
    joint = painter.number(0.008, 0.02) / painter.metres
    inside = ((along - column) > joint * columns) & (v * rows - row > joint * rows)
    brick, joint_colour = painter.colours()
    brightness = 1 + painter.number(0.1, 0.6) * (per_cell(painter.random, row, column, rows, columns) - 0.5)
    brightness = brightness + painter.number(0.03, 0.15) * painter.noise(0.3, lowest=6)
    return _mix(inside.float(), brick * brightness[..., None], joint_colour)


def tiles(painter: Painter) -> Tensor:
    """Square or oblong tiles, alike or of two colours, with joints."""
    rows = painter.count(0.1, 0.5)
    columns = rows if painter.random.random() < 0.6 else painter.count(0.1, 0.6)
    row, column, down, along = _board(painter, rows, columns)
    joint = painter.number(0.003, 0.015) / painter.metres
    inside = ((along > joint * columns) & (down > joint * rows)).float()
    first, second, joint_colour = painter.colours(3)
    spread = painter.number(0.1, 1.0)
    cells = _mix(spread * per_cell(painter.random, row, column, rows, columns), first, second)
    return _mix(inside, cells * (1 + 0.04 * painter.noise(0.8))[..., None], joint_colour)


def checks(painter: Painter) -> Tensor:
    """A board of two colours."""
    cells = painter.count(0.08, 0.5, even=True)
    row, column, _, _ = _board(painter, cells, cells)
    first, second = painter.colours()
    shade = 0.8 + 0.4 * per_cell(painter.random, row, column, cells, cells)
    return _mix(((row + column) % 2).float(), first, second) * shade[..., None]


def stripes(painter: Painter) -> Tensor:
    """Stripes of random brightness, upright or slanted, straight or waved."""
    u, v = grid(painter.device)
    width = painter.count(0.03, 0.3)
    slant = int(painter.random.choice([0, 0, 1, -1])) * max(1, width // 2)
    wave = painter.number(0.0, 1.0) * (painter.random.random() < 0.4) * painter.noise(2.0, highest=6)
    index = (width * u + slant * v + wave).floor().long()
    first, second = painter.colours()
    return _mix(per_cell(painter.random, torch.zeros_like(index), index, 1, width), first, second)


def planks(painter: Painter) -> Tensor:
    """Boards along u with grain, each of its own shade, with dark joints."""
    rows = painter.count(0.06, 0.22)
    row, _, down, _ = _board(painter, rows, 1)
    u, _ = grid(painter.device)
    shift = torch.from_numpy(painter.random.random(rows).astype(np.float32)).to(painter.device)[row]
    length = max(1, round(painter.metres / 1.2))
    along = (u + shift) * length
    column = along.floor().long()
    grain = _grain(painter)
    board = per_cell(painter.random, row, column, rows, length)
    first, second = painter.colours()
    joint = (down * painter.metres / rows > painter.number(0.002, 0.008)) & (along - column > 0.004)
    image = _mix(unit(1.2 * (board - 0.5) + 0.8 * grain, 1.2), first, second)
    return image * torch.where(joint, 1.0, painter.number(0.3, 0.7))[..., None]


def _grain(painter: Painter) -> Tensor:
    rings = torch.sin(2 * torch.pi * 6 * unit(painter.noise(1.6, highest=24, stretch=8), 2.0))
    return 0.6 * painter.noise(0.4, stretch=16) + painter.number(0.0, 0.6) * rings


def wood(painter: Painter) -> Tensor:
    """One board's grain, along u."""
    first, second = painter.colours()
    return _mix(unit(_grain(painter), painter.number(1.0, 2.5)), first, second)


def fabric(painter: Painter) -> Tensor:
    """A weave, with uneven yarn."""
    u, v = grid(painter.device)
    threads = int(painter.random.integers(24, 80))
    weave = torch.sin(2 * torch.pi * threads * u) * torch.sin(2 * torch.pi * threads * v)
    first, second = painter.colours()
    image = _mix(unit(weave + 0.6 * painter.noise(0.2, lowest=10), 2.0), first, second)
    return image * (1 + painter.number(0.0, 0.12) * painter.noise(1.3))[..., None]


def tartan(painter: Painter) -> Tensor:
    """Crossing stripes of several colours."""
    cells = painter.count(0.1, 0.4) * 4
    row, column, _, _ = _board(painter, cells, cells)
    zero = torch.zeros_like(row)
    colours = painter.colours(4)
    pick_u = (per_cell(painter.random, zero, column, 1, cells) * 4).long()
    pick_v = (per_cell(painter.random, zero, row, 1, cells) * 4).long()
    return 0.5 * (colours[pick_u] + colours[pick_v])


def mosaic(painter: Painter) -> Tensor:
    """Irregular patches: two noises cut into levels, every combination with a colour of its own."""
    levels = int(painter.random.integers(3, 6))
    lowest = painter.number(1, 4)
    first, second = (
        (unit(painter.noise(painter.number(0.8, 1.5), lowest=lowest)) * levels * 0.999).long() for _ in range(2)
    )
    return painter.colours(levels * levels)[first * levels + second]


def dots(painter: Painter) -> Tensor:
    """Round dots on a board."""
    cells = painter.count(0.05, 0.3)
    row, column, down, along = _board(painter, cells, cells)
    size = painter.number(0.2, 0.45) * (0.7 + 0.3 * per_cell(painter.random, row, column, cells, cells))
    first, second = painter.colours()
    return _mix((torch.hypot(down - 0.5, along - 0.5) < size).float(), first, second)


def picture(painter: Painter) -> Tensor:
    """Colours with the spectrum of photographs, and some discs and rectangles."""
    channels = noise(painter.random, painter.device, roughness=painter.number(0.6, 1.1), count=3)
    common = channels.mean(dim=0)
    image = torch.stack([unit(0.7 * common * 1.7 + 0.5 * channel, 1.6) for channel in channels], dim=-1)
    image = image * painter.colours(1)[0] / painter.palette.brightness[1] * 1.3
    u, v = grid(painter.device)
    for colour in painter.colours(int(painter.random.integers(1, 9))):
        middle, size = painter.random.random(2), painter.random.uniform(0.03, 0.2, 2)
        across, down = ((u - middle[0]) / size[0]).abs(), ((v - middle[1]) / size[1]).abs()
        inside = (torch.hypot(across, down) if painter.random.random() < 0.5 else torch.maximum(across, down)) < 1
        image = torch.where(inside[..., None], colour, image)
    return image


def writing(painter: Painter) -> Tensor:
    """Lines of dark marks on a light page or the reverse, with a headline and perhaps a picture."""
    rows = int(painter.random.integers(8, 28))
    columns = int(rows * painter.number(1.5, 4))
    row, column, down, along = _board(painter, rows, columns)
    dark = per_cell(painter.random, row, column, rows, columns) < painter.number(0.55, 0.9)
    strokes = painter.noise(0.0, lowest=30) > -0.5
    line = (down > 0.3) & (down < 0.8) & (along > 0.1)
    u, v = grid(painter.device)
    page = (u > 0.08) & (u < 0.92) & (v > 0.06) & (v < 0.94)
    ink, paper = painter.colours()
    image = _mix((dark & strokes & line & page).float(), ink, paper)
    if painter.random.random() < 0.6:
        left, top = painter.number(0.1, 0.4), painter.number(0.1, 0.5)
        inside = (u > left) & (u < left + 0.45) & (v > top) & (v < top + 0.35)
        image = torch.where(inside[..., None], picture(painter), image)
    return image


def books(painter: Painter) -> Tensor:
    """Backs of books, side by side."""
    edges = np.cumsum(painter.random.uniform(0.015, 0.05, 400)) / painter.metres
    edges = edges[edges < 1]
    u, v = grid(painter.device)
    index = torch.searchsorted(torch.from_numpy(edges.astype(np.float32)).to(painter.device), u[0])
    colours = painter.colours(len(edges) + 1)[index]
    shading = 0.8 + 0.2 * per_cell(painter.random, (v * 12).long(), index[None].expand(SIDE, -1), 12, len(edges) + 1)
    return colours[None] * shading[..., None]


def lawn(painter: Painter) -> Tensor:
    """Grass, gravel or asphalt: noise of all scales."""
    fine, broad = painter.noise(painter.number(0.0, 0.4), lowest=16), painter.noise(1.2)
    first, second = painter.colours()
    return _mix(unit(0.8 * fine + 0.6 * broad, 1.6), first, second)


def facade(painter: Painter) -> Tensor:
    """Windows with frames in rows on a wall."""
    rows, columns = painter.count(2.6, 3.6), painter.count(1.5, 3.5)
    row, column, down, along = _board(painter, rows, columns)
    width, height = painter.number(0.25, 0.42), painter.number(0.25, 0.4)
    across, up = (along - 0.5).abs() / width, (down - 0.5).abs() / height
    frame, pane = torch.maximum(across, up) < 1.12, torch.maximum(across, up) < 1
    bar = (across < 0.06) | (up < 0.05)
    wall, frame_colour, glass = painter.colours(3)
    image = (plaster(painter) if painter.random.random() < 0.5 else bricks(painter)) * 0.5 + 0.5 * wall
    image = torch.where(frame[..., None], frame_colour, image)
    shade = 0.25 + 0.5 * per_cell(painter.random, row, column, rows, columns) + 0.2 * (0.5 - down)
    return torch.where((pane & ~bar)[..., None], glass * shade[..., None], image)


def leaves(painter: Painter) -> Tensor:
    """Light and dark leaves."""
    first, second = painter.colours()
    image = _mix(unit(painter.noise(0.1, lowest=12), 1.0), first, second)
    return image * (0.35 + 0.65 * unit(painter.noise(0.4, lowest=6)))[..., None]
