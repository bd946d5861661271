"""The same pixels of every frame, estimated and true: what clouds and confidences are measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_lab.sequences.truth import TruePointmap
from slam3r_ros.types import MapUpdate, State

LARGEST_JUMP = 0.1
"""Neighbouring pixels whose distances to the camera differ by a larger share have no common surface, so no normal."""


@dataclass(frozen=True, slots=True, eq=False)
class EstimatedPixels:
    """What the engine answered for the sampled pixels of one frame."""

    points_world: NDArray[np.float32]
    """(n, 3) scene units."""
    normals_world: NDArray[np.float32]
    """(n, 3) unit vectors; zero where there is none."""
    confidence: NDArray[np.float32]
    """(n,) L2W's."""
    colours: NDArray[np.uint8]
    """(n, 3) RGB."""
    is_held: bool


@dataclass(frozen=True, slots=True, eq=False)
class TruePixels:
    """The truth of the sampled pixels of one frame."""

    points_world: NDArray[np.float32]
    """(n, 3) metres, zero where not valid."""
    normals_world: NDArray[np.float32]
    """(n, 3) unit vectors; zero where there is none."""
    valid: NDArray[np.bool_]
    """(n,) where there is depth."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelPairs:
    """The sampled pixels of all frames that have true points, estimated and true, in the same order."""

    estimated: NDArray[np.float32]
    """(N, 3) scene units."""
    estimated_normals: NDArray[np.float32]
    """(N, 3) zero where there is none."""
    confidence: NDArray[np.float32]
    """(N,) L2W's; 0 where nothing was estimated."""
    colours: NDArray[np.uint8]
    """(N, 3) RGB."""
    has_estimate: NDArray[np.bool_]
    """(N,) the frame was registered."""
    is_held: NDArray[np.bool_]
    """(N,) the engine kept the frame's points from the map, or called it lost."""
    true: NDArray[np.float32]
    """(N, 3) metres."""
    true_normals: NDArray[np.float32]
    """(N, 3) zero where there is none."""

    def __len__(self) -> int:
        return len(self.true)


class PixelChoice:
    """Which pixels of a frame are sampled: all where there are few, else other random ones of each frame."""

    def __init__(self, pixels_per_frame: int, seed: int) -> None:
        self._count = pixels_per_frame
        self.seed = seed

    def of(self, frame: int, pixel_count: int) -> NDArray[np.intp]:
        """Sorted flat indices for a frame; the same at every call."""
        if pixel_count <= self._count:
            return np.arange(pixel_count)
        random = np.random.default_rng([self.seed, frame])
        return np.sort(random.choice(pixel_count, self._count, replace=False))


def estimated_pixels(update: MapUpdate, chosen: NDArray[np.intp]) -> EstimatedPixels:
    """The sampled pixels of one of the engine's answers."""
    camera = None if update.pose is None else update.pose.T_world_camera[:3, 3]
    normals = normals_of(update.pointmaps.points_world, camera)
    return EstimatedPixels(
        update.pointmaps.points_world.reshape(-1, 3)[chosen],
        normals.reshape(-1, 3)[chosen],
        update.pointmaps.confidence.reshape(-1)[chosen],
        update.image.reshape(-1, 3)[chosen],
        update.is_excluded or update.state is State.LOST,
    )


def true_pixels(truth: TruePointmap, chosen: NDArray[np.intp]) -> TruePixels:
    """The sampled pixels of a true pointmap, whose pose must be known."""
    assert truth.T_world_camera is not None
    points = truth.points_world().astype(np.float32)
    points[~truth.valid] = np.nan
    normals = normals_of(points, truth.T_world_camera[:3, 3])
    return TruePixels(
        np.nan_to_num(points.reshape(-1, 3)[chosen]), normals.reshape(-1, 3)[chosen], truth.valid.reshape(-1)[chosen]
    )


def normals_of(points: NDArray[np.floating], camera: NDArray[np.floating] | None) -> NDArray[np.float32]:
    """(H, W, 3) unit normals of a pointmap (H, W, 3) from each point's right and lower neighbour; zero where one of
    them is missing (NaN) or lies on another surface, judged by the distances to the ``camera`` (3,); None leaves this
    out.
    """
    p = points.astype(np.float64)
    across, down = np.full_like(p, np.nan), np.full_like(p, np.nan)
    across[:, :-1], down[:-1] = p[:, 1:] - p[:, :-1], p[1:] - p[:-1]
    normals = np.cross(across, down)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        normals = normals / length
    good = np.isfinite(normals).all(axis=-1)
    if camera is not None:
        distance = np.linalg.norm(p - camera, axis=-1)
        steps = np.zeros_like(distance)
        with np.errstate(invalid="ignore"):
            steps[:, :-1] = np.abs(distance[:, 1:] - distance[:, :-1])
            steps[:-1] = np.maximum(steps[:-1], np.abs(distance[1:] - distance[:-1]))
            good &= steps <= LARGEST_JUMP * distance
    return np.where(good[..., None], normals, 0.0).astype(np.float32)


def pair_up(estimated: dict[int, EstimatedPixels], true: dict[int, TruePixels]) -> PixelPairs:
    """All sampled pixels with a true point, by frame; frames that were never registered have no estimate."""
    columns: list[list[NDArray[np.generic]]] = [[] for _ in range(8)]
    for frame in sorted(true):
        truth, guess = true[frame], estimated.get(frame)
        keep, count = truth.valid, int(np.count_nonzero(truth.valid))
        row: list[NDArray[np.generic]] = [
            np.zeros((count, 3), np.float32) if guess is None else guess.points_world[keep],
            np.zeros((count, 3), np.float32) if guess is None else guess.normals_world[keep],
            np.zeros(count, np.float32) if guess is None else guess.confidence[keep],
            np.zeros((count, 3), np.uint8) if guess is None else guess.colours[keep],
            np.full(count, guess is not None),
            np.full(count, guess is not None and guess.is_held),
            truth.points_world[keep],
            truth.normals_world[keep],
        ]
        for column, values in zip(columns, row, strict=True):
            column.append(values)
    if not true:
        empty, none = np.zeros((0, 3), np.float32), np.zeros(0, bool)
        return PixelPairs(empty, empty, empty[:, 0], np.zeros((0, 3), np.uint8), none, none, empty, empty)
    return PixelPairs(*(np.concatenate(column) for column in columns))  # type: ignore[arg-type]
