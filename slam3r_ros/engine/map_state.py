"""The state of the map: the trajectory, the records of all keyframes, and the map's points."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.dense_depth_stage import DenseView
from slam3r_ros.engine.free_space import FreeSpace
from slam3r_ros.engine.keyframe_view import depth_image
from slam3r_ros.engine.loaded_map import LoadedMap
from slam3r_ros.engine.point_map import PointMap
from slam3r_ros.engine.trajectory import Trajectory
from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.geometry.se3 import invert_rigid
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.settings import VOXEL_BY_SCENE, MapSettings
from slam3r_ros.types import KeyframeRecord, MapPoints, PoseEstimate, RegisteredFrame, StampedPose


class MapState:
    """Grows by less than 200 bytes a frame, and holds a point map of bounded size.

    Poses may be added by one thread while another one adds points, corrects the map and reads it.
    """

    def __init__(self, settings: MapSettings) -> None:
        self._point_confidence, self._voxel_size = settings.point_confidence, settings.voxel_size
        self._settings = settings
        self.map = PointMap(settings)
        self._loaded: PointMap | None = None  # the points of a loaded map, as long as `map` is not one with it
        self._extends_loaded, self._is_joined = False, True
        self._first_frame = self._earlier_records = 0  # of this session; keyframes that were loaded
        self.trajectory = Trajectory()
        self.lock = threading.RLock()
        """Held while poses are added, read or corrected. Whoever holds it sees poses and `world_changes` that belong
        together."""
        self.world_changes: list[Sim3] = []
        """The similarity by which each closed loop has moved the newest part of the world, in order."""
        self.records: list[KeyframeRecord] = []
        """The record of every keyframe that ever entered the keyframe buffer, in the order of entering."""

    def change_settings(self, settings: MapSettings) -> None:
        """Take points in by another confidence, and keep them in voxels of another size, or at most so many of them."""
        self._point_confidence, self._settings = settings.point_confidence, settings
        is_other_size, self._voxel_size = settings.voxel_size != self._voxel_size, settings.voxel_size
        for points in (self.map, self._loaded):
            if points is not None:
                points.set_maximum(settings.maximum_points)
                if is_other_size and settings.voxel_size != VOXEL_BY_SCENE:
                    points.set_voxel_size(settings.voxel_size)

    def begin_from(self, loaded: LoadedMap) -> None:
        """Begin with a map of an earlier session. The points of this session stay apart until `join`, since they are in
        a world of their own."""
        self._loaded, self._extends_loaded = PointMap(self._settings), loaded.extends
        self._loaded.begin(loaded.voxel_size)
        _add(self._loaded, loaded.points, loaded.point_frames)
        self.records = list(loaded.records)
        self._first_frame, self._earlier_records, self._is_joined = loaded.next_frame, len(loaded.records), False
        if loaded.extends:
            with self.lock:
                self.trajectory.begin(loaded.frames, loaded.stamps_ns, loaded.poses)

    def join(self) -> None:
        """This session is in the world of the loaded map from now on: the points of both are one map, unless the loaded
        one is to stay as it is."""
        self._is_joined = True
        if self._loaded is not None and self._extends_loaded:
            _add(self._loaded, self.map.points(), self.map.frames())
            self.map, self._loaded = self._loaded, None

    def points(self) -> MapPoints:
        """The whole map: of a loaded map that this session is not one with, that alone."""
        return (self.map if self._loaded is None else self._loaded).points()

    def record(self, keyframe: RegisteredFrame) -> KeyframeRecord:
        """Take note of a keyframe that enters the keyframe buffer."""
        encoded = keyframe.local.frame
        height, width = encoded.image.shape[:2]
        record = KeyframeRecord(
            id=len(self.records),
            index=keyframe.index,
            header=encoded.header,
            crop_size=(height, width),
            pose=keyframe.pose,
            mean_confidence=keyframe.mean_confidence,
        )
        self.records.append(record)
        return record

    def add_pose(self, index: int, stamp_ns: int, pose: PoseEstimate) -> None:
        """The pose of a tracked frame; a later one of the same frame replaces an earlier one."""
        with self.lock:
            self.trajectory.put(index, stamp_ns, pose)

    def poses(self) -> list[StampedPose]:
        """The pose of every tracked frame, in order; none of a session that is not joined with the loaded map."""
        with self.lock:
            return self.trajectory.poses(None if self._is_joined else self._first_frame)

    def known_records(self) -> list[KeyframeRecord]:
        """The records of all keyframes; none of a session that is not joined with the loaded map."""
        return self.records[: None if self._is_joined else self._earlier_records]

    def choose_voxel_size(self, frames: Sequence[RegisteredFrame]) -> None:
        """Make the voxels as large as the setting says; where that is 0, by the median depth of the first frames."""
        depths = [
            depth_image(on_host.points_world, on_host.confidence, frame.pose.T_world_camera, self._point_confidence)
            for frame in frames
            if frame.pose is not None and (on_host := frame.on_host) is not None
        ]
        known = np.concatenate([depth[np.isfinite(depth)] for depth in depths]) if depths else np.empty(0)
        if self._voxel_size == VOXEL_BY_SCENE and len(known):
            self.map.begin(TUNING.voxel_share * float(np.median(known)))

    def add_dense(self, answer: DenseView) -> MapPoints:
        """Add a keyframe's dense points instead of the networks' points of the frames since the view before, and remove
        what it sees through; where it has none, the networks' points stay. Returns what is new in the map."""
        view = answer.view
        if answer.sigma is None:
            self.map.settle(answer.first_frame, view.index, keep=True)
            return MapPoints.none()
        self.map.settle(answer.first_frame, view.index, keep=False)
        points = view.points(self._point_confidence)
        added = self.map.add(points.points_world, points.colours, points.confidence, view.index)
        camera, T_camera_world = view.depth_camera, invert_rigid(view.T_world_camera)
        self.map.carve(FreeSpace.of(camera, T_camera_world, view.depth, answer.sigma))
        return added

    def add(self, frame: RegisteredFrame, *, is_provisional: bool = False) -> MapPoints:
        """Add a registered frame's confident points, unless it is excluded; returns what is new in the map.
        ``is_provisional``: until its dense depth, or that of a view after it, is known."""
        on_host = frame.on_host
        kept = on_host.confidence >= self._point_confidence
        if frame.is_excluded:
            kept = np.zeros_like(kept)
        colours = frame.local.frame.image[kept]
        return self.map.add(
            on_host.points_world[kept], colours, on_host.confidence[kept], frame.index, is_provisional=is_provisional
        )

    def correct(self, correction: MapCorrection) -> None:
        """Move everything as a closed loop says."""
        with self.lock:
            self.trajectory.correct(correction)
            self.world_changes.append(correction.newest)
        self.records = [replace(each, pose=correction.of_pose(each.index, each.pose)) for each in self.records]
        self.map.correct(correction)


def _add(point_map: PointMap, points: MapPoints, frames: NDArray[np.integer]) -> None:
    """Add points (N) that were mapped with frames (N,) to a map."""
    point_map.add(points.points_world, points.colours, points.confidence, frames)
