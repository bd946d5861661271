"""Layers of the map: what is made of the keyframes beside the cloud, and the places of keyframes that several need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.output.map_scale import MapScale
from slam3r_ros.ros.parameters.node_settings import NodeSettings


class MapLayer(Protocol):
    """Something that is published of all keyframes. Used by the mapping thread."""

    def observe(self, view: KeyframeView, scale: MapScale) -> None:
        """Take a keyframe in; it replaces an earlier view of the same number."""

    def correct(self, correction: MapCorrection, unit: float) -> None:
        """Move everything as a closed loop says; ``unit`` is the published length of a scene unit."""

    def rescale(self, before: float, scale: MapScale) -> None:
        """Follow a change of the published length of a scene unit, which was ``before``."""

    def change_settings(self, settings: NodeSettings) -> None:
        """Use other values of those parameters that may change at any time."""

    def publish_due(self, stamp_ns: int, unit: float) -> None:
        """Publish what has changed and is due, with the stamp of the newest image."""

    def reset(self, stamp_ns: int, unit: float) -> None:
        """Begin anew with another map, and publish that it is empty."""

    def destroy(self) -> None:
        """Destroy the publishers."""


@dataclass(frozen=True, slots=True, eq=False)
class KeyframePlacement:
    """Where a keyframe is now."""

    index: int
    """Number of its frame."""
    T_world_camera: Array
    """(4, 4) pose, scene units."""
    depth_factor: float
    """What closed loops have multiplied its depths by since its view was made."""
    median_depth: float
    """Median of its view's depths, scene units, 0 where none is known."""
    camera: Camera
    """Pinhole intrinsics of its image."""


class KeyframePlacements:
    """Where all keyframes are, and the closed loops between them."""

    def __init__(self) -> None:
        self.placed: dict[int, KeyframePlacement] = {}
        """The keyframes by the numbers of their views."""
        self._loops: NDArray[np.int64] = np.empty((0, 2), np.int64)

    def observe(self, view: KeyframeView) -> None:
        """Take the newest view of a keyframe in."""
        known = view.depth[np.isfinite(view.depth)]
        median = float(np.median(known)) if len(known) else 0.0
        self.placed[view.id] = KeyframePlacement(view.index, view.T_world_camera, 1.0, median, view.camera)

    def correct(self, correction: MapCorrection) -> None:
        """Move the keyframes as a closed loop says, and remember which it joins."""
        changes = correction.of_frames(np.array([each.index for each in self.placed.values()], np.int64))
        for number, (id, placed) in enumerate(self.placed.items()):
            change = changes[number]
            T, factor = change.apply_to_pose(placed.T_world_camera), placed.depth_factor * float(change.scale)
            self.placed[id] = replace(placed, T_world_camera=T, depth_factor=factor)
        self._loops = np.unique(np.concatenate([self._loops, correction.loops]), axis=0)

    def clear(self) -> None:
        """Begin anew with another map."""
        self.placed.clear()
        self._loops = self._loops[:0]

    def loops(self) -> NDArray[np.int64]:
        """(L, 2) numbers of the views that are nearest to the frames that each closed loop joins, the earlier first."""
        if not len(self._loops) or not self.placed:
            return np.empty((0, 2), np.int64)
        ids, indices = np.array(list(self.placed)), np.array([each.index for each in self.placed.values()])
        return np.asarray(ids[np.abs(self._loops[:, :, None] - indices).argmin(axis=2)], np.int64)
