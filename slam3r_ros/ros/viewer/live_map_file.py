"""What a node has published of its map, as a map file: for exports and films of a map that still grows.

The node keeps its newest keyframes for subscribers that come late. A subscription for as long as the file is written
gets all of them again, so the page need not keep their images, and the node may run on another machine.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np
from rclpy.node import Node

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.io.image_compression import CompressionError
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.map_file.connection import close_writer, open_to_write
from slam3r_ros.map_file.database import MapDatabase
from slam3r_ros.map_file.facts import StoredScale
from slam3r_ros.msg import KeyframeView as KeyframeViewMessage
from slam3r_ros.ros.viewer.messages import keyframe_view
from slam3r_ros.ros.viewer.topic_feeder import VIEWS, TopicFeeder
from slam3r_ros.types import ImageHeader, PoseEstimate, PoseUpdate
from slam3r_ros.viewer.map_actions import ActionError
from slam3r_ros.viewer.map_model import MapModel

_SILENCE_S = 3.0
"""Seconds without a keyframe after which no more are expected."""
_PATIENCE_S = 180.0
"""Seconds after which the file has what has come until then."""


class LiveMapFile:
    """Writes the map of a node into a map file. Used by one thread at a time; another one runs the executor."""

    def __init__(self, node: Node, source: str, feeder: TopicFeeder, model: MapModel) -> None:
        """``source`` is the name of the slam3r node."""
        self._node, self._topic = node, f"{source}/keyframe_view"
        self._feeder, self._model = feeder, model

    def write(self, path: Path) -> None:
        """Write the keyframes, without the points that were removed from the page. Raises ActionError where none
        comes."""
        messages: SimpleQueue[KeyframeViewMessage] = SimpleQueue()
        subscription = self._node.create_subscription(KeyframeViewMessage, self._topic, messages.put, VIEWS)
        path.touch()
        connection = open_to_write(path)
        try:
            database = MapDatabase(connection)
            frames = self._write_views(database, messages)
            with database.transaction():
                database.write_scale(StoredScale(metres_per_unit=self._model.snapshot().metres_per_unit))
                self._write_rest(database, frames)
        finally:
            self._node.destroy_subscription(subscription)
            close_writer(connection)
        if not frames:
            raise ActionError("the node has published no keyframe yet")

    def _write_views(self, database: MapDatabase, messages: SimpleQueue[KeyframeViewMessage]) -> dict[int, int]:
        """Write the views that come, until all are there that the page knows; the frames of them by their ids."""
        frames: dict[int, int] = {}
        expected, end_s = self._feeder.view_ids, time.monotonic() + _PATIENCE_S
        while not expected <= frames.keys() and time.monotonic() < end_s:
            try:
                message = messages.get(timeout=_SILENCE_S)
            except Empty:
                break
            if message.map_id != self._feeder.map_id:
                continue
            try:
                view = self._feeder.placed(keyframe_view(message), message.graph_number)
            except CompressionError:  # the page has said so when it came first
                continue
            view = _without_points(view, self._model)
            with database.transaction():
                database.write(replace(view, added=view.points()))
            frames[view.id] = view.index
        return frames

    def _write_rest(self, database: MapDatabase, frames: dict[int, int]) -> None:
        """Write the path and the closed loops."""
        for number, pose in enumerate(self._feeder.trajectory()):
            estimate = PoseEstimate(pose.T_world_camera, 0.0, 1.0, 0.0, 1.0, 0.0, by_tracks=True)
            database.write(PoseUpdate(number, ImageHeader(pose.stamp_ns, (0, 0)), estimate, is_keyframe=False))
        loops = self._model.snapshot().loops
        joined = [(frames[one], frames[other]) for one, other in loops if {one, other} <= frames.keys()]
        if joined:
            nothing = Sim3.from_pose(np.eye(4)[None])
            database.write(MapCorrection(np.array([min(frames.values())]), nothing, np.array(joined, np.int64)))


def _without_points(view: KeyframeView, model: MapModel) -> KeyframeView:
    """A view without the points that visitors have removed from the page."""
    known = np.isfinite(view.depth)
    removed = model.removed_points(view.id, view.points().points_world)
    if not removed.any():
        return view
    depth = view.depth.copy()
    depth[known] = np.where(removed, np.float32(np.nan), depth[known])
    return replace(view, depth=depth)
