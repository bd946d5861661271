"""What is exported: a reconstruction in map axes, in metres where they are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.reconstruction import Reconstruction
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.io.map_axes import points_in_map, pose_in_map, trajectory_in_map
from slam3r_ros.types import MapPoints, StampedPose


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What of a reconstruction is exported, and in which unit."""

    confidence: float = 0.0
    """Points below this confidence are left out."""
    max_points: int | None = None
    """The largest number of points; of more, so many are drawn at random, always the same ones. None: all."""
    metres_per_unit: float | None = None
    """Metres per scene unit; None: as the reconstruction knows it."""


@dataclass(frozen=True, slots=True, eq=False)
class ExportScene:
    """A reconstruction in map axes (x forward, y left, z up at the first reference)."""

    keyframes: Sequence[KeyframeView]
    """The keyframes as the engine has them: in its own world, in scene units. `pose` takes them to map axes."""
    trajectory: list[StampedPose]
    """T_map_camera of every tracked frame."""
    points: MapPoints
    """The points, in map axes (its field says `points_world`)."""
    loops: tuple[tuple[int, int], ...]
    """Ids of the two keyframes that each closed loop connects."""
    unit: float
    """Length of a scene unit: in metres, or 1 where these are not known."""
    is_metric: bool
    """Whether lengths are metres."""

    @property
    def lengths(self) -> str:
        """The unit of all lengths, in words."""
        return "metres" if self.is_metric else "scene units"

    def pose(self, view: KeyframeView) -> Array:
        """(4, 4) T_map_camera of a keyframe; the camera keeps its axes (x right, y down, z forward)."""
        return pose_in_map(view.T_world_camera, self.unit)

    @classmethod
    def of(cls, reconstruction: Reconstruction, options: ExportOptions | None = None) -> ExportScene:
        """The part of a reconstruction that the options ask for."""
        options = ExportOptions() if options is None else options
        known = reconstruction.metres_per_unit if options.metres_per_unit is None else options.metres_per_unit
        unit = known or 1.0
        return cls(
            keyframes=reconstruction.keyframes,
            trajectory=trajectory_in_map(list(reconstruction.trajectory), unit),
            points=points_in_map(_chosen(reconstruction.points, options), unit),
            loops=reconstruction.loops,
            unit=unit,
            is_metric=bool(known),
        )


def _chosen(points: MapPoints, options: ExportOptions) -> MapPoints:
    """The points that are confident enough, and no more than may be."""
    kept = np.flatnonzero(np.isfinite(points.points_world).all(axis=1) & (points.confidence >= options.confidence))
    if options.max_points is not None and len(kept) > options.max_points:
        kept = np.sort(np.random.default_rng(0).choice(kept, options.max_points, replace=False))
    if len(kept) == len(points):
        return points
    return replace(
        points,
        points_world=points.points_world[kept],
        colours=points.colours[kept],
        confidence=points.confidence[kept],
    )
