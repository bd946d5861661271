"""Textures of plain rooms: one image for each face, a function of metric coordinates that does not repeat.

All randomness comes from the `numpy.random.Generator` passed in, so the same seed gives the same texture at any
resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Coordinates = NDArray[np.float32]

_SIZE_OF_CELL_TABLE = 61


def value_noise(random: np.random.Generator, u: Coordinates, v: Coordinates, cell_u: float, cell_v: float) -> Image:
    """Smooth noise in [0, 1], shape (len(v), len(u)): random lattice values with smoothstep interpolation, cells
    `cell_u` x `cell_v` metres.
    """
    weights_u, weights_v = _lattice_weights(u, cell_u), _lattice_weights(v, cell_v)
    lattice = random.random((weights_v.shape[1], weights_u.shape[1]), dtype=np.float32)
    return np.asarray(weights_v @ lattice @ weights_u.T, np.float32)


def fractal_noise(
    random: np.random.Generator, u: Coordinates, v: Coordinates, largest_cell: float, octaves: int
) -> Image:
    """Sum of `octaves` value noises, each of half the cell and 0.7 times the amplitude of the one before, stretched to
    [0, 1], (len(v), len(u)).
    """
    total = np.zeros((len(v), len(u)), np.float32)
    norm = 0.0
    for octave in range(octaves):
        amplitude = 0.7**octave
        cell = largest_cell / 2**octave
        total += amplitude * value_noise(random, u, v, cell, cell)
        norm += amplitude
    return np.clip((total / norm - 0.5) * 1.8 + 0.5, 0.0, 1.0).astype(np.float32)


def _lattice_weights(coordinates: Coordinates, cell: float) -> Image:
    scaled = coordinates / cell
    low = np.floor(scaled).astype(np.int64)
    low = np.maximum(low, 0)
    fraction = np.clip(scaled - low, 0.0, 1.0)
    fraction = (fraction * fraction * (3 - 2 * fraction)).astype(np.float32)
    weights = np.zeros((len(coordinates), int(low.max()) + 2), np.float32)
    rows = np.arange(len(coordinates))
    weights[rows, low] = 1 - fraction
    weights[rows, low + 1] = fraction
    return weights


@dataclass(frozen=True, slots=True)
class FacePalette:
    """Which colours a pattern may have."""

    brightness: tuple[float, float]
    """Range of the mean of the three channels, 0 to 1."""
    tint: float
    """Largest deviation of a channel from the mean."""
    contrast: float
    """Least difference in brightness of two colours of one pattern."""

    def colour(self, random: np.random.Generator) -> Image:
        """One colour, (3,)."""
        tint = random.uniform(-self.tint, self.tint, 3)
        return np.clip(random.uniform(*self.brightness) + tint - tint.mean(), 0.03, 1.0).astype(np.float32)

    def pair(self, random: np.random.Generator) -> tuple[Image, Image]:
        """Two colours that differ by the contrast at least."""
        first = self.colour(random)
        for _ in range(20):
            second = self.colour(random)
            if abs(float(first.mean() - second.mean())) > self.contrast:
                return first, second
        return first, (1.0 - first).astype(np.float32)


def _mix(weight: Image, first: Image, second: Image) -> Image:
    return weight[..., None] * first + (1 - weight[..., None]) * second


def _random_of_cells(random: np.random.Generator, row: NDArray[np.int64], column: NDArray[np.int64]) -> Image:
    table = random.random((_SIZE_OF_CELL_TABLE, _SIZE_OF_CELL_TABLE), dtype=np.float32)
    return table[row % _SIZE_OF_CELL_TABLE, column % _SIZE_OF_CELL_TABLE]


def face_clouds(random: np.random.Generator, u: Coordinates, v: Coordinates, palette: FacePalette) -> Image:
    """Fractal noise between three colours."""
    first, second = palette.pair(random)
    third = palette.colour(random)
    broad = fractal_noise(random, u, v, random.uniform(0.3, 0.9), 5)
    fine = fractal_noise(random, u, v, random.uniform(0.08, 0.2), 3)
    return _mix((fine > 0.62).astype(np.float32), third, _mix(broad, first, second))


def face_checks(random: np.random.Generator, u: Coordinates, v: Coordinates, palette: FacePalette) -> Image:
    """A board of two colours; every cell a little brighter or darker."""
    first, second = palette.pair(random)
    cell = random.uniform(0.12, 0.45)
    column, row = np.floor(u / cell).astype(np.int64)[None], np.floor(v / cell).astype(np.int64)[:, None]
    board = ((column + row) % 2).astype(np.float32)
    return _mix(board, first, second) * (0.7 + 0.6 * _random_of_cells(random, row, column))[..., None]


def face_bricks(random: np.random.Generator, u: Coordinates, v: Coordinates, palette: FacePalette) -> Image:
    """Courses of bricks, every other one shifted by half a brick, with joints of another colour."""
    brick, joint_colour = palette.pair(random)
    width, joint = random.uniform(0.18, 0.5), random.uniform(0.012, 0.03)
    height = width * random.uniform(0.35, 0.6)
    row = np.floor(v / height).astype(np.int64)[:, None]
    along = (u[None] + (row % 2) * width / 2) / width
    column = np.floor(along).astype(np.int64)
    inside = ((along - column) * width > joint) & ((v / height)[:, None] - row > joint / height)
    brightness = 0.55 + 0.75 * _random_of_cells(random, row, column)
    return _mix(inside.astype(np.float32), brick, joint_colour) * np.where(inside, brightness, 1.0)[..., None].astype(
        np.float32
    )


def face_tiles(random: np.random.Generator, u: Coordinates, v: Coordinates, palette: FacePalette) -> Image:
    """Square tiles of random colours between two, with dark or light joints."""
    first, second = palette.pair(random)
    joint_colour = palette.colour(random)
    cell, joint = random.uniform(0.15, 0.5), random.uniform(0.01, 0.03)
    column, row = np.floor(u / cell).astype(np.int64)[None], np.floor(v / cell).astype(np.int64)[:, None]
    inside = ((u / cell)[None] - column > joint / cell) & ((v / cell)[:, None] - row > joint / cell)
    return _mix(inside.astype(np.float32), _mix(_random_of_cells(random, row, column), first, second), joint_colour)


def face_stripes(random: np.random.Generator, u: Coordinates, v: Coordinates, palette: FacePalette) -> Image:
    """Slanted stripes of random brightness and one width, waved by noise."""
    first, second = palette.pair(random)
    angle, width = random.uniform(0, np.pi), random.uniform(0.06, 0.3)
    along = np.cos(angle) * u[None] + np.sin(angle) * v[:, None]
    along = along + random.uniform(0.0, 0.5) * value_noise(random, u, v, 0.7, 0.7)
    index = np.floor(along / width).astype(np.int64)
    return _mix(_random_of_cells(random, np.zeros_like(index), index), first, second)


def face_planks(random: np.random.Generator, u: Coordinates, v: Coordinates, palette: FacePalette) -> Image:
    """Long boards with grain along u."""
    first, second = palette.pair(random)
    width = random.uniform(0.1, 0.25)
    row = np.floor(v / width).astype(np.int64)[:, None]
    column = np.floor(u[None] / 1.4 + 0.37 * (row % 7)).astype(np.int64)
    grain = 0.6 * value_noise(random, u, v, 0.5, 0.03) + 0.4 * value_noise(random, u, v, 0.12, 0.015)
    board = (0.5 * _random_of_cells(random, row, column) + 0.5 * grain).astype(np.float32)
    joint = ((v / width)[:, None] - row > 0.06).astype(np.float32)
    return _mix(board, first, second) * (0.35 + 0.65 * joint)[..., None]


def face_mosaic(random: np.random.Generator, u: Coordinates, v: Coordinates, palette: FacePalette) -> Image:
    """Irregular patches: two noises cut into levels, every combination of levels with a colour of its own."""
    cell = random.uniform(0.25, 0.7)
    levels = int(random.integers(3, 6))
    first = np.floor(fractal_noise(random, u, v, cell, 3) * levels * 0.999).astype(np.int64)
    second = np.floor(fractal_noise(random, u, v, cell, 2) * levels * 0.999).astype(np.int64)
    colours = np.stack([palette.colour(random) for _ in range(levels * levels)])
    return colours[first * levels + second]


FacePattern = Callable[[np.random.Generator, Coordinates, Coordinates, FacePalette], Image]


@dataclass(frozen=True, slots=True)
class FaceStyle:
    """The patterns and colours of one kind of surface."""

    patterns: tuple[FacePattern, ...]
    palette: FacePalette

    def paint(self, random: np.random.Generator, u: Coordinates, v: Coordinates) -> Image:
        """One of the patterns, (len(v), len(u), 3)."""
        return self.patterns[int(random.integers(len(self.patterns)))](random, u, v, self.palette)


ANY_SURFACE = FaceStyle(
    (face_clouds, face_checks, face_bricks, face_tiles, face_stripes, face_planks, face_mosaic),
    FacePalette((0.15, 0.95), 0.25, 0.2),
)
WALL = FaceStyle((face_bricks, face_stripes, face_clouds), FacePalette((0.5, 0.95), 0.1, 0.12))
FLOOR = FaceStyle((face_checks, face_planks, face_tiles), FacePalette((0.15, 0.6), 0.1, 0.2))
CEILING = FaceStyle((face_clouds,), FacePalette((0.7, 0.95), 0.04, 0.06))
BOX = FaceStyle((face_mosaic, face_checks, face_tiles), FacePalette((0.15, 0.8), 0.45, 0.2))
POSTER = FaceStyle((face_mosaic, face_clouds, face_stripes), FacePalette((0.1, 0.9), 0.3, 0.25))


def _hang_posters(random: np.random.Generator, image: Image, u: Coordinates, v: Coordinates, count: int) -> None:
    for _ in range(count):
        width, height = random.uniform(0.35, 1.3), random.uniform(0.35, 1.0)
        left, low = (
            random.uniform(0.0, max(float(u[-1]) - width, 0.01)),
            random.uniform(0.3, max(float(v[-1]) - height, 0.31)),
        )
        columns, rows = np.nonzero((u >= left) & (u < left + width))[0], np.nonzero((v >= low) & (v < low + height))[0]
        frame, seed = POSTER.palette.colour(random), int(random.integers(2**31))
        if len(columns) < 3 or len(rows) < 3:
            continue
        own = np.random.default_rng(seed)
        zoom = np.float32(own.uniform(1.5, 4.0))
        inner = POSTER.paint(own, (u[columns] - u[columns[0]]) * zoom, (v[rows] - v[rows[0]]) * zoom)
        border = 0.035
        edge_u = (u[columns] - left < border) | (left + width - u[columns] < border)
        edge_v = (v[rows] - low < border) | (low + height - v[rows] < border)
        inner[edge_v[:, None] | edge_u[None]] = frame
        image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = inner


def bake_texture(
    random: np.random.Generator,
    style: FaceStyle,
    width: float,
    height: float,
    texels_per_metre: float,
    poster_count: int = 0,
) -> Image:
    """A texture for a surface of `width` x `height` metres: (rows, columns, 3) float32 in [0, 1], row 0 at v = 0.

    One pattern of the style, `poster_count` framed posters, and fine grain over everything so that no place
    is flat.
    """
    columns, rows = max(2, round(width * texels_per_metre)), max(2, round(height * texels_per_metre))
    u = ((np.arange(columns) + 0.5) * (width / columns)).astype(np.float32)
    v = ((np.arange(rows) + 0.5) * (height / rows)).astype(np.float32)
    image = np.array(style.paint(random, u, v), np.float32)
    _hang_posters(random, image, u, v, poster_count)
    grain = fractal_noise(random, u, v, 0.4, 5)
    return np.clip(image * (0.72 + 0.5 * grain)[..., None], 0.0, 1.0).astype(np.float32)
