"""Clouds of splats: points that have a size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.render.tuning import TUNING
from slam3r_ros.types import MapPoints


@dataclass(frozen=True, slots=True, eq=False)
class SplatCloud:
    """Coloured points with the distance to their neighbours, which says how large each is drawn."""

    points: NDArray[np.float32]
    """(N, 3) positions."""
    colours: NDArray[np.uint8]
    """(N, 3) RGB."""
    spacing: NDArray[np.float32]
    """(N,) distances to the neighbouring points, in the unit of the positions."""
    normals: NDArray[np.float32]
    """(N, 3) unit normals of the surface, which is drawn only from the side that they point to; zero where they are not
    known, and the point is drawn from all sides."""

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, part: slice | NDArray[np.bool_] | NDArray[np.intp]) -> SplatCloud:
        """The points of a slice, a mask or indices."""
        return SplatCloud(self.points[part], self.colours[part], self.spacing[part], self.normals[part])

    def rotated(self, rotation: Array) -> SplatCloud:
        """The same points in other axes: (3, 3) takes the old ones to the new."""
        turn = rotation.T.astype(np.float32)
        return SplatCloud(self.points @ turn, self.colours, self.spacing, self.normals @ turn)

    @classmethod
    def joined(cls, clouds: Sequence[SplatCloud]) -> SplatCloud:
        """Several clouds as one, in their order."""
        if not clouds:
            nothing = np.empty((0, 3), np.float32)
            return cls(nothing, np.empty((0, 3), np.uint8), np.empty(0, np.float32), nothing)
        return cls(
            np.concatenate([cloud.points for cloud in clouds]),
            np.concatenate([cloud.colours for cloud in clouds]),
            np.concatenate([cloud.spacing for cloud in clouds]),
            np.concatenate([cloud.normals for cloud in clouds]),
        )

    @classmethod
    def of_map(cls, points: MapPoints) -> SplatCloud:
        """Points whose spacing is measured from their neighbours; those without neighbours are left out as noise."""
        count = TUNING.spacing_neighbours
        if len(points) <= count:
            spacing = np.zeros(len(points), np.float32)
            return cls(points.points_world, points.colours, spacing, np.zeros_like(points.points_world))
        tree = KDTree(points.points_world)
        distances = tree.query(points.points_world, k=[count + 1])[0][:, 0]
        spacing = (distances / np.sqrt(count)).astype(np.float32)
        median = np.float32(np.median(spacing))
        kept = spacing <= TUNING.lonely_spacing * median
        spacing = np.minimum(spacing, TUNING.largest_spacing * median)
        return cls(points.points_world, points.colours, spacing, np.zeros_like(points.points_world))[kept]
