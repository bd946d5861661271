"""The reconstruction of a scene, as exports, films and the viewer take it, from a running engine or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.types import MapPoints, StampedPose


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """Everything that was mapped, in the world of the engine: the camera of the initial window's reference, scene
    units. `io.map_axes` takes it to the axes of the published map."""

    keyframes: Sequence[KeyframeView]
    """The keyframes in the order in which they were mapped; each may be read from a file when it is asked for."""
    trajectory: Sequence[StampedPose]
    """The pose of every tracked frame, in order."""
    points: MapPoints
    """The fused, voxel-filtered points of the map."""
    loops: tuple[tuple[int, int], ...] = ()
    """The closed loops: ids of the two keyframes that see the same place."""
    metres_per_unit: float = 0.0
    """Metres per scene unit; 0 where it is not known."""
