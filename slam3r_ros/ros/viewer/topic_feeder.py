"""The topics of a slam3r node fill the page's model of the map; the node may run on another machine, and start anew."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.io.image_compression import CompressionError
from slam3r_ros.msg import KeyframeGraph, SlamStatus
from slam3r_ros.msg import KeyframeView as KeyframeViewMessage
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.ros.viewer.messages import keyframe_view, loops, map_status, placements, pose_in_world
from slam3r_ros.types import StampedPose
from slam3r_ros.viewer.map_model import MapModel, ViewPlacement
from slam3r_ros.viewer.map_status import MapStatus

VIEWS = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""All views of a map that is there already come at once."""
_NEWEST = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
"""A pose that was lost is not worth a second transmission."""
_SILENCE_S = 5.0
"""Seconds without a status after which the node counts as gone; it publishes one a second by default."""


class TopicFeeder:
    """Subscriptions to one slam3r node. Its methods run in the executor's thread."""

    def __init__(self, node: Node, source: str, model: MapModel, log: ThrottledLog) -> None:
        """``source`` is the name of the slam3r node."""
        self._model, self._source, self._log = model, source, log
        self._heard_s: float | None = None
        self._unit = 1.0  # published length of a scene unit
        self._map_id = 0
        self._graph: KeyframeGraph | None
        self._graph_numbers: dict[int, int]
        """Of the views that have come, by id."""
        self._path: Path | None
        self._start_new_map()
        subscribe = node.create_subscription
        subscribe(KeyframeGraph, f"{source}/keyframe_graph", self._on_graph, LATCHED)
        subscribe(KeyframeViewMessage, f"{source}/keyframe_view", self._on_view, VIEWS)
        subscribe(PoseStamped, f"{source}/pose", self._on_pose, _NEWEST)
        subscribe(Path, f"{source}/path", self._on_path, LATCHED)
        subscribe(SlamStatus, f"{source}/status", self._on_status, LATCHED)
        model.set_status(MapStatus(state="WAITING", reason=f"no word from the node {source} yet"))

    def check_silence(self) -> None:
        """Say so on the page where the node has gone silent."""
        if self._heard_s is not None and time.monotonic() - self._heard_s > _SILENCE_S:
            self._heard_s = None
            reason = f"the node {self._source} is silent: it has ended, or the connection is lost; this is its last map"
            self._model.set_status(MapStatus(state="GONE", reason=reason))

    # ---- what exports ask for, in another thread ----------------------------------------------------------------

    @property
    def map_id(self) -> int:
        """What names the present map; 0 before the first."""
        return self._map_id

    @property
    def view_ids(self) -> frozenset[int]:
        """The ids of all views that have come."""
        return frozenset(self._graph_numbers)

    def placed(self, view: KeyframeView, graph_number: int) -> KeyframeView:
        """A view of a message with this graph number, where it lies now."""
        placement = self._placement(view.id, graph_number)
        if placement is None:
            return view
        depth = view.depth * np.float32(placement.scale)
        return replace(view, T_world_camera=placement.T_world_camera, depth=depth)

    def trajectory(self) -> list[StampedPose]:
        """The camera's path as the node has published it last, in the engine's world, scene units."""
        message, unit = self._path, self._unit
        return [] if message is None else [_stamped_pose(each, unit) for each in message.poses]

    # ---- keyframes -----------------------------------------------------------------------------------------------

    def _on_view(self, message: KeyframeViewMessage) -> None:
        if not self._is_of_present_map(message.map_id):
            return
        try:
            view = keyframe_view(message)
        except CompressionError as error:
            self._log.warn("view", f"a keyframe cannot be shown: {error}")
            return
        self._graph_numbers[view.id] = message.graph_number
        self._model.put_view(view)
        if (placement := self._placement(view.id, message.graph_number)) is not None:
            self._model.place_views([placement])

    def _placement(self, id: int, graph_number: int) -> ViewPlacement | None:
        """Where the newest graph puts a view that was published after that graph; None where it says nothing of it."""
        if self._graph is None or graph_number >= self._graph.number:
            return None
        return next((each for each in placements(self._graph) if each.id == id), None)

    def _on_graph(self, message: KeyframeGraph) -> None:
        if not self._is_of_present_map(message.map_id):
            return
        self._graph = message
        numbers = self._graph_numbers
        self._model.place_views([each for each in placements(message) if numbers.get(each.id, 0) < message.number])
        self._model.set_loops(loops(message))
        self._set_unit(message.unit)
        self._apply_path()
        self._is_path_due = True

    def _is_of_present_map(self, map_id: int) -> bool:
        """Whether a message belongs to the newest map that is known; one of a newer map empties the page."""
        if map_id > self._map_id:
            if self._map_id:
                self._model.clear()
            self._map_id = map_id
            self._start_new_map()
        return map_id == self._map_id

    def _start_new_map(self) -> None:
        self._pose_count = 0
        self._graph, self._graph_numbers, self._path = None, {}, None
        self._is_path_due = True

    # ---- poses ---------------------------------------------------------------------------------------------------

    def _on_pose(self, message: PoseStamped) -> None:
        self._pose_count += 1
        self._model.put_pose(self._pose_count, pose_in_world(message.pose, self._unit))

    def _on_path(self, message: Path) -> None:
        """Keep the path. It is shown where it tells more than the poses: at first, and when a loop has moved it."""
        self._path = message
        if self._is_path_due:
            self._is_path_due = False
            self._apply_path()

    def _apply_path(self) -> None:
        if self._path is not None:
            poses = self._path.poses
            self._pose_count = max(self._pose_count, len(poses))
            self._model.set_path([pose_in_world(each.pose, self._unit) for each in poses])

    # ---- state ---------------------------------------------------------------------------------------------------

    def _on_status(self, message: SlamStatus) -> None:
        self._heard_s = time.monotonic()
        self._model.set_scale(message.scale)
        self._set_unit(message.scale or 1.0)
        self._model.set_status(map_status(message))

    def _set_unit(self, unit: float) -> None:
        """Take poses and path in other lengths from now on."""
        if unit != self._unit:
            self._unit = unit
            self._apply_path()
            self._is_path_due = True


def _stamped_pose(message: PoseStamped, unit: float) -> StampedPose:
    stamp = message.header.stamp
    return StampedPose(stamp.sec * 10**9 + stamp.nanosec, pose_in_world(message.pose, unit))
