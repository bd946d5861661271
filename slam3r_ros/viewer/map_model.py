"""The map as the page shows it: chunks, path, live camera, loops, state. Feeders write it, the page reads it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.events import Update
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.io.map_axes import T_map_world, pose_in_map
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.types import MapUpdate, PoseUpdate
from slam3r_ros.viewer.chunk import Chunk, chunk_of
from slam3r_ros.viewer.map_status import MapStatus
from slam3r_ros.viewer.path import CameraPath
from slam3r_ros.viewer.picking import Selection
from slam3r_ros.viewer.tuning import TUNING, ViewerTuning


@dataclass(frozen=True, slots=True, eq=False)
class ViewPlacement:
    """Where a keyframe lies now."""

    id: int
    """Number of the keyframe view."""
    T_world_camera: NDArray[np.float64]
    """(4, 4): takes camera points to the engine's world, scene units."""
    scale: float
    """Scene units per unit of the depths that the view came with."""


@dataclass(frozen=True, slots=True, eq=False)
class MapSnapshot:
    """The map at one moment; nothing of it changes any more."""

    map_number: int
    """Counts the maps: another number means that the one before was forgotten."""
    chunks: tuple[Chunk, ...]
    """The keyframes, in the order of their ids."""
    newest_view: KeyframeView | None
    """The keyframe that came last, with its whole image, depth and confidence."""
    T_map_camera: NDArray[np.float64] | None
    """(4, 4) pose of the live camera in the map's axes, scene units; None before the first."""
    path: tuple[NDArray[np.float32], ...]
    """Pieces of the camera's path, (N, 3) positions in the map's axes each; each begins where the one before ends."""
    loops: tuple[tuple[int, int], ...]
    """Pairs of keyframe ids that a closed loop joins."""
    status: MapStatus
    metres_per_unit: float
    """Metres per scene unit; 0 where unknown."""

    @property
    def unit(self) -> float:
        """Shown length of a scene unit."""
        return self.metres_per_unit or 1.0

    @property
    def unit_name(self) -> str:
        """What shown lengths are."""
        return "m" if self.metres_per_unit else "scene units"

    def length_text(self, scene_units: float) -> str:
        """A length of the map as it is shown, with its unit."""
        return f"{scene_units * self.unit:.3g} {self.unit_name}"


class MapModel:
    """Collects the map for the page. Safe from any thread; memory is bounded whatever comes."""

    def __init__(self, tuning: ViewerTuning = TUNING) -> None:
        self._tuning = tuning
        self._lock = threading.Lock()
        self._map_number = 0
        self._status = MapStatus()
        self._metres_per_unit = 0.0
        self._chunks: dict[int, Chunk]
        self._newest_view: KeyframeView | None
        self._newest_index: int
        self._T_world_camera: NDArray[np.float64] | None
        self._path: CameraPath
        self._loop_frames: NDArray[np.int64]
        self._loops: list[tuple[int, int]]
        self._removals: list[tuple[Selection, bool, int]]
        self._most_points: int
        self._keyframe_step: int
        self._start_anew()

    # ---- what feeders say ----------------------------------------------------------------------------------------

    def apply(self, event: Update) -> None:
        """Take an event of the engine."""
        if isinstance(event, KeyframeView):
            self.put_view(event)
        elif isinstance(event, MapCorrection):
            self._correct(event)
        elif isinstance(event, MapUpdate):
            if event.pose is not None and event.is_tracked:
                self.put_pose(event.index, event.pose.T_world_camera)
        elif isinstance(event, PoseUpdate):
            self.put_pose(event.index, event.pose.T_world_camera)

    def put_view(self, view: KeyframeView) -> None:
        """Add a keyframe, or replace the one with its id."""
        chunk = chunk_of(view, self._most_points)
        with self._lock:
            self._newest_view = view
            self._put(chunk)

    def put_pose(self, index: int, T_world_camera: NDArray[np.float64]) -> None:
        """The camera's pose at a frame: it is the live camera where no later frame has been seen."""
        with self._lock:
            if index >= self._newest_index:
                self._newest_index, self._T_world_camera = index, T_world_camera
            self._path.put(index, T_world_camera)

    def set_path(self, poses: Sequence[NDArray[np.float64]]) -> None:
        """Replace the path by that of these poses (4, 4), T_world_camera, whose frames are not known."""
        with self._lock:
            self._path = CameraPath(self._tuning)
            for position, pose in enumerate(poses):
                self._path.put(position, pose)

    def place_views(self, placements: Sequence[ViewPlacement]) -> None:
        """Move keyframes to where they lie now; those that are not known are passed over."""
        with self._lock:
            for each in placements:
                if (chunk := self._chunks.get(each.id)) is not None:
                    self._chunks[each.id] = replace(chunk, T_world_camera=each.T_world_camera, scale=each.scale)

    def set_loops(self, loops: Sequence[tuple[int, int]]) -> None:
        """Replace the loops, pairs of keyframe ids."""
        with self._lock:
            self._loops = list(loops)

    def set_status(self, status: MapStatus) -> None:
        """Replace the state and the counters."""
        with self._lock:
            self._status = status

    def set_scale(self, metres_per_unit: float) -> None:
        """Say how many metres a scene unit has, 0 for unknown."""
        with self._lock:
            self._metres_per_unit = metres_per_unit

    def clear(self) -> None:
        """Forget the map, since a new one begins; state and scale stay until they are set."""
        with self._lock:
            self._start_anew()

    def remove_points(self, selection: Selection, *, inside: bool) -> int:
        """Remove the points inside or outside a selection from what is shown; returns their number."""
        with self._lock:
            removed = 0
            self._removals.append((selection, inside, max(self._chunks, default=-1)))
            for id, chunk in self._chunks.items():
                kept = selection.contains(chunk.points_map()) != inside
                removed += int((~kept).sum())
                if not kept.all():
                    self._chunks[id] = replace(chunk, points=chunk.points.where(kept))
            return removed

    def removed_points(self, id: int, points_world: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(N,) which points of a keyframe's view, (N, 3) in the engine's world, scene units, were removed: as far as
        its keyframe was there at that time, and as it lies now."""
        with self._lock:
            removals = [each for each in self._removals if id <= each[2]]
        removed = np.zeros(len(points_world), bool)
        points_map = points_world @ T_map_world[:3, :3].T.astype(np.float32)
        for selection, inside, _ in removals:
            removed |= selection.contains(points_map) == inside
        return removed

    # ---- what the page reads -------------------------------------------------------------------------------------

    def snapshot(self) -> MapSnapshot:
        """The map as it is now; chunks that have not changed are the same objects as before."""
        with self._lock:
            T = None if self._T_world_camera is None else pose_in_map(self._T_world_camera)
            return MapSnapshot(
                map_number=self._map_number,
                chunks=tuple(self._chunks[id] for id in sorted(self._chunks)),
                newest_view=self._newest_view,
                T_map_camera=T,
                path=self._path.pieces(),
                loops=tuple(self._loops),
                status=self._status,
                metres_per_unit=self._metres_per_unit,
            )

    # ---- how -----------------------------------------------------------------------------------------------------

    def _start_anew(self) -> None:
        self._map_number += 1
        self._chunks = {}
        self._newest_view, self._newest_index, self._T_world_camera = None, -1, None
        self._path = CameraPath(self._tuning)
        self._loop_frames, self._loops = np.empty((0, 2), np.int64), []
        self._most_points = self._tuning.most_stored_points
        self._keyframe_step = 1
        self._removals = []  # what was removed, whether inside of it, and the newest keyframe at that time

    def _put(self, chunk: Chunk) -> None:
        """Add a chunk, and keep number and size of all within their bounds."""
        tuning = self._tuning
        self._chunks[chunk.id] = chunk
        self._thin_keyframes()
        largest = max(len(each.points) for each in self._chunks.values())
        while (
            sum(len(each.points) for each in self._chunks.values()) > tuning.most_stored_points
            and largest > tuning.least_stored_points
        ):
            self._most_points = largest = max(tuning.least_stored_points, largest // 2)
            self._chunks = {
                id: replace(each, points=each.points.first(largest)) if len(each.points) > largest else each
                for id, each in self._chunks.items()
            }

    def _thin_keyframes(self) -> None:
        """Keep of the older keyframes only those whose id is a multiple of a step, which doubles when there are too
        many."""
        tuning = self._tuning
        while True:
            if self._keyframe_step > 1 and len(self._chunks) > tuning.always_kept_keyframes:
                newest = sorted(self._chunks)[-tuning.always_kept_keyframes]
                step = self._keyframe_step
                self._chunks = {id: each for id, each in self._chunks.items() if id >= newest or id % step == 0}
            if len(self._chunks) <= tuning.most_keyframes:
                return
            self._keyframe_step *= 2

    def _correct(self, correction: MapCorrection) -> None:
        """Move everything as a closed loop says, and remember which keyframes it joins."""
        with self._lock:
            indices = np.array([chunk.index for chunk in self._chunks.values()], np.int64)
            if len(indices):
                changes = correction.of_frames(indices)
                for position, id in enumerate(list(self._chunks)):
                    self._chunks[id] = self._chunks[id].moved(changes[position : position + 1])
            self._path.correct(correction)
            if self._T_world_camera is not None:
                frames = np.array([self._newest_index])
                self._T_world_camera = correction.of_poses(frames, self._T_world_camera[None])[0]
            self._newest_view = None if self._newest_view is None else self._newest_view.corrected(correction)
            self._loop_frames = np.unique(np.concatenate([self._loop_frames, correction.loops]), axis=0)
            self._loops = self._nearest_chunks(self._loop_frames[-self._tuning.most_loops :])

    def _nearest_chunks(self, frames: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Pairs of keyframe ids for (L, 2) pairs of frame indices: of each frame the keyframe nearest to it."""
        if not self._chunks or not len(frames):
            return []
        ids = np.array(list(self._chunks), np.int64)
        indices = np.array([self._chunks[id].index for id in ids.tolist()], np.int64)
        nearest = ids[np.abs(frames[:, :, None] - indices).argmin(axis=2)]
        return [(int(one), int(other)) for one, other in nearest]
