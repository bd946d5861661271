"""The state of the map: the trajectory, the records of all keyframes, and the map's points."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from slam3r_ros.engine.point_map import PointMap
from slam3r_ros.engine.trajectory import Trajectory
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.settings import MapSettings
from slam3r_ros.types import KeyframeRecord, MapPoints, PoseEstimate, RegisteredFrame, StampedPose


class MapState:
    """Grows by less than 200 bytes a frame, and holds a point map of bounded size.

    Poses may be added by one thread while another one adds points, corrects the map and reads it.
    """

    def __init__(self, settings: MapSettings) -> None:
        self._point_confidence = settings.point_confidence
        self.map = PointMap(settings)
        self.trajectory = Trajectory()
        self.lock = threading.RLock()
        """Held while poses are added, read or corrected. Whoever holds it sees poses and `world_changes` that belong
        together."""
        self.world_changes: list[Sim3] = []
        """The similarity by which each closed loop has moved the newest part of the world, in order."""
        self.records: list[KeyframeRecord] = []
        """The record of every keyframe that ever entered the keyframe buffer, in the order of entering."""

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
        """The pose of every tracked frame, in order."""
        with self.lock:
            return self.trajectory.poses()

    def add(self, frame: RegisteredFrame) -> MapPoints:
        """Add a registered frame's confident points, unless it is excluded; returns what is new in the map."""
        on_host = frame.on_host
        kept = on_host.confidence >= self._point_confidence
        if frame.is_excluded:
            kept = np.zeros_like(kept)
        colours = frame.local.frame.image[kept]
        return self.map.add(on_host.points_world[kept], colours, on_host.confidence[kept], frame.index)

    def correct(self, correction: MapCorrection) -> None:
        """Move everything as a closed loop says."""
        with self.lock:
            self.trajectory.correct(correction)
            self.world_changes.append(correction.newest)
        self.records = [replace(each, pose=correction.of_pose(each.index, each.pose)) for each in self.records]
        self.map.correct(correction)
