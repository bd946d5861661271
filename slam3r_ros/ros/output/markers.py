"""What RViz draws of the map besides its points: keyframes as frustums, the way between them, and closed loops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from geometry_msgs.msg import Point, Quaternion
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, transform_points
from slam3r_ros.io.map_axes import pose_in_map
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.output.messages import header
from slam3r_ros.ros.output.publication_schedule import PublicationSchedule
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.threads.async_publisher import AsyncPublisher

_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Quality of service of the topic: who subscribes late gets the newest markers."""
_FRUSTUM_EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1))
"""The lines of a frustum, by the numbers of the camera's centre (0) and the picture's corners (1 to 4)."""
_KEYFRAMES, _GRAPH, _LOOPS = "keyframes", "graph", "loops"
"""Namespaces of the markers."""
_COLOURS = {_KEYFRAMES: (0.2, 0.6, 1.0, 0.8), _GRAPH: (0.6, 0.6, 0.6, 0.9), _LOOPS: (1.0, 0.4, 0.1, 1.0)}
"""Red, green, blue and opacity of each namespace's lines."""


@dataclass(frozen=True, slots=True, eq=False)
class _MarkedKeyframe:
    """What is drawn of a keyframe."""

    index: int
    """Number of its frame."""
    T_world_camera: Array
    """(4, 4) pose, scene units."""
    corners: Array
    """(5, 3) the camera's centre and the picture's corners in its own axes, scene units."""


class MarkerOutput:
    """The topic ~/markers, once a change and at most once in `path_period`. Used by the mapping thread."""

    def __init__(self, node: Node, settings: NodeSettings, publisher: AsyncPublisher) -> None:
        self._node, self._map_frame = node, settings.map_frame
        self._limit = settings.path_length
        self._topic = node.create_publisher(MarkerArray, "~/markers", _LATCHED)
        self._queue = publisher.topic_queue(self._topic)
        self._schedule = PublicationSchedule(settings.path_period)
        self._keyframes: dict[int, _MarkedKeyframe] = {}
        self._loops: NDArray[np.int64] = np.empty((0, 2), np.int64)

    def observe(self, view: KeyframeView) -> None:
        """Take a keyframe in; it replaces an earlier one of the same number. When there are too many, every second one
        is left out."""
        known = view.depth[np.isfinite(view.depth)]
        size = TUNING.frustum_depth * float(np.median(known)) if len(known) else 0.0
        corners = size * np.concatenate([np.zeros((1, 3)), _corner_rays(view.camera)])
        self._keyframes[view.id] = _MarkedKeyframe(view.index, view.T_world_camera, corners)
        if len(self._keyframes) > self._limit:
            for each in list(self._keyframes)[1::2]:
                del self._keyframes[each]
        self._schedule.mark_changed()

    def correct(self, correction: MapCorrection) -> None:
        """Move the keyframes as a closed loop says, and draw the loop."""
        for number, each in self._keyframes.items():
            change = correction.of_frames(np.array([each.index]))
            T = change.apply_to_pose(each.T_world_camera[None])[0]
            self._keyframes[number] = replace(each, T_world_camera=T, corners=each.corners * float(change.scale[0]))
        self._loops = np.unique(np.concatenate([self._loops, correction.loops]), axis=0)[-self._limit :]
        self._schedule.mark_changed()

    def mark_changed(self) -> None:
        """Note that lengths have changed."""
        self._schedule.mark_changed()

    def publish_due(self, stamp_ns: int, unit: float) -> None:
        """Publish the markers where they have changed, somebody subscribes and their period has passed; ``unit`` is the
        published length of a scene unit."""
        if self._schedule.start_if_due(self._queue):
            self.publish(stamp_ns, unit)

    def publish(self, stamp_ns: int, unit: float) -> None:
        """Publish the markers with the stamp of the newest image."""
        keyframes, loops = list(self._keyframes.values()), self._loops
        self._queue.put(lambda: marker_array(keyframes, loops, unit, self._map_frame, stamp_ns))

    def clear(self) -> None:
        """Begin anew with another map."""
        self._keyframes.clear()
        self._loops = self._loops[:0]

    def destroy(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_publisher(self._topic)


def marker_array(
    keyframes: list[_MarkedKeyframe], loops: NDArray[np.int64], unit: float, map_frame: str, stamp_ns: int
) -> MarkerArray:
    """Return the markers: three lists of lines, empty ones as deletions."""
    frustums: list[Array] = []
    for each in keyframes:
        corners = transform_points(pose_in_map(each.T_world_camera, unit), each.corners * unit)
        frustums += [corners[number] for edge in _FRUSTUM_EDGES for number in edge]
    places = [pose_in_map(each.T_world_camera, unit)[:3, 3] for each in keyframes]
    graph = [place for pair in pairwise(places) for place in pair]
    by_index = np.array([each.index for each in keyframes])
    joined: list[Array] = []
    for ends in loops if len(keyframes) else ():
        joined += [places[int(np.argmin(np.abs(by_index - index)))] for index in ends]
    depths = [float(np.abs(each.corners).max()) for each in keyframes]
    width = TUNING.marker_line_width * unit * (float(np.median(depths)) if depths else 0.0)
    head = header(stamp_ns, map_frame)
    lines = {_KEYFRAMES: (frustums, width), _GRAPH: (graph, width), _LOOPS: (joined, 2 * width)}
    markers = []
    for name, (points, line_width) in lines.items():
        red, green, blue, opacity = _COLOURS[name]
        marker = Marker(header=head, ns=name, type=Marker.LINE_LIST, action=Marker.ADD if points else Marker.DELETE)
        marker.pose.orientation = Quaternion(w=1.0)
        marker.scale.x = line_width
        marker.color = ColorRGBA(r=red, g=green, b=blue, a=opacity)
        marker.points = [Point(x=float(x), y=float(y), z=float(z)) for x, y, z in points]
        markers.append(marker)
    return MarkerArray(markers=markers)


def _corner_rays(camera: Camera) -> Array:
    """(4, 3) x / z, y / z and 1 of the picture's corners, around the picture."""
    x = np.array([-0.5, camera.width - 0.5, camera.width - 0.5, -0.5])
    y = np.array([-0.5, -0.5, camera.height - 0.5, camera.height - 0.5])
    return np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones(4)], axis=1)
