"""What has been mapped so far: the trajectory, the keyframes' records and the map's points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slam3r_ros.engine.point_map import PointMap
from slam3r_ros.engine.trajectory import Trajectory
from slam3r_ros.loop_closure.correction import Correction
from slam3r_ros.settings import MapSettings
from slam3r_ros.types import KeyframeRecord, MapPoints, MapUpdate, RegisteredFrame


class MapState:
    """Grows by less than 200 bytes a frame, and a map of bounded size."""

    def __init__(self, settings: MapSettings) -> None:
        self._point_confidence = settings.point_confidence
        self.map = PointMap(settings)
        self.trajectory = Trajectory()
        self.records: list[KeyframeRecord] = []
        """Of every keyframe that ever entered the buffering set, in order of entering."""
        self._is_corrected = False

    def record(self, keyframe: RegisteredFrame) -> KeyframeRecord:
        """Take note of a keyframe that enters the buffering set."""
        stamp_ns = keyframe.local.frame.stamp_ns
        record = KeyframeRecord(len(self.records), keyframe.index, stamp_ns, keyframe.pose, keyframe.mean_confidence)
        self.records.append(record)
        return record

    def add(self, keyframe: RegisteredFrame) -> MapPoints:
        """A registered frame's confident points, unless it is held; returns what is new in the map."""
        on_host = keyframe.on_host
        kept = on_host.confidence >= self._point_confidence
        if keyframe.held:
            kept = np.zeros_like(kept)
        colours = keyframe.local.frame.image[kept]
        return self.map.add(on_host.points_world[kept], colours, on_host.confidence[kept], keyframe.index)

    def told(self, update: MapUpdate) -> MapUpdate:
        """The update, which leaves the engine now; the first since a loop was closed says that it was."""
        update, self._is_corrected = replace(update, is_corrected=self._is_corrected), False
        return update

    def correct(self, correction: Correction) -> None:
        """Move everything as a closed loop says."""
        self.trajectory.correct(correction)
        self.records = [replace(each, pose=correction.of_pose(each.index, each.pose)) for each in self.records]
        self.map.correct(correction)
        self._is_corrected = True
