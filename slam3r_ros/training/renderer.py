"""Colour, depth and pose of what a camera sees in a room."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .ray_casting import RayCaster
from .rooms import Room

_SUBPIXELS = ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Pinhole camera without distortion; pixel centres at integers."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    @classmethod
    def from_field_of_view(cls, degrees: float, width: int, height: int) -> Intrinsics:
        """Camera whose centre square (side min(width, height)) spans this angle."""
        focal = 0.5 * min(width, height) / math.tan(math.radians(degrees) / 2)
        return cls(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)


@dataclass(frozen=True, slots=True, eq=False)
class RenderedFrame:
    """One rendered image with its truth."""

    colour: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    depth: NDArray[np.float32]
    """(H, W) z-depth in the camera, metres."""
    T_world_camera: NDArray[np.float64]
    """(4, 4) camera to world, metres, camera axes x right, y down, z forward."""
    intrinsics: Intrinsics


class RoomRenderer:
    """Renders views of one room: one ray a pixel with filtered textures, and four more for every pixel on an edge
    between surfaces.
    """

    def __init__(self, room: Room, intrinsics: Intrinsics) -> None:
        self._caster = RayCaster(room)
        self._intrinsics = intrinsics
        rows, columns = torch.meshgrid(
            torch.arange(intrinsics.height).float(), torch.arange(intrinsics.width).float(), indexing="ij"
        )
        self._columns, self._rows = columns.reshape(-1), rows.reshape(-1)

    def render(self, T_world_camera: NDArray[np.float64]) -> RenderedFrame:
        """The view from a pose (4, 4)."""
        pose = torch.from_numpy(T_world_camera).float()
        height, width = self._intrinsics.height, self._intrinsics.width
        angle = 1.0 / self._intrinsics.fx
        hits = self._caster.cast(pose[:3, 3], self._directions(pose, self._columns, self._rows), angle)
        colour = hits.colour
        edge = _edges(hits.surface.view(height, width)).view(-1).nonzero()[:, 0]
        if len(edge):
            columns, rows = self._columns[edge], self._rows[edge]
            directions = [self._directions(pose, columns + x, rows + y) for x, y in _SUBPIXELS]
            fine = self._caster.cast(pose[:3, 3], torch.cat(directions), angle)
            colour[edge] = fine.colour.view(len(_SUBPIXELS), -1, 3).mean(0)
        image = (colour * 255).round_().to(torch.uint8).view(height, width, 3).numpy()
        return RenderedFrame(image, hits.distance.view(height, width).numpy(), T_world_camera, self._intrinsics)

    def _directions(self, pose: torch.Tensor, columns: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """World directions (N, 3) of pixels, with z = 1 in the camera."""
        camera = self._intrinsics
        x, y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
        return x[:, None] * pose[:3, 0] + y[:, None] * pose[:3, 1] + pose[:3, 2]


def _edges(surface: torch.Tensor) -> torch.Tensor:
    """(H, W) bool: pixels one of whose four neighbours lies on another surface."""
    edge = torch.zeros_like(surface, dtype=torch.bool)
    across = surface[:, 1:] != surface[:, :-1]
    down = surface[1:] != surface[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge
