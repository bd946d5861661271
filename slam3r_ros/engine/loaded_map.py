"""A map of an earlier session, with which the engine begins instead of an empty one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.place import Place
from slam3r_ros.types import KeyframeRecord, MapPoints


@dataclass(frozen=True, slots=True, eq=False)
class LoadedMap:
    """What the engine takes of a map; all of it in the world of that map."""

    places: tuple[Place, ...]
    """(P) keyframes that place recognition remembers, in the order in which they were mapped."""
    nodes: Sim3
    """(P,) from each place's camera, in the lengths of when it was mapped, to the world."""
    points: MapPoints
    """(N) fused points of the map."""
    point_frames: NDArray[np.int64]
    """(N,) numbers of the frames with which the points were mapped."""
    voxel_size: float
    """Side of the map's voxels, scene units."""
    frames: NDArray[np.int64]
    """(F,) numbers of the tracked frames, ascending."""
    stamps_ns: NDArray[np.int64]
    """(F,) their stamps, integer nanoseconds."""
    poses: Array
    """(F, 4, 4) their poses T_world_camera."""
    records: tuple[KeyframeRecord, ...]
    """The records of the keyframes."""
    next_frame: int
    """Number of the first frame of this session: higher than that of any frame of the map."""
    next_view: int
    """Number of the first keyframe view of this session."""
    extends: bool
    """Whether mapping goes on in this map; else it stays as it is, and the camera is only localized in it."""
