"""What RViz draws of the map besides its points: keyframes as frustums, the way between them, and closed loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from geometry_msgs.msg import Point, Quaternion
from rclpy.node import Node
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, transform_points
from slam3r_ros.io.map_axes import pose_in_map
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.output.map_layer import KeyframePlacement, KeyframePlacements
from slam3r_ros.ros.output.map_scale import MapScale
from slam3r_ros.ros.output.messages import header
from slam3r_ros.ros.output.publication_schedule import PublicationSchedule
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.threads.async_publisher import AsyncPublisher

_FRUSTUM_EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1))
"""The lines of a frustum, by the numbers of the camera's centre (0) and the picture's corners (1 to 4)."""
_KEYFRAMES, _GRAPH, _LOOPS = "keyframes", "graph", "loops"
"""Namespaces of the markers."""
_COLOURS = {_KEYFRAMES: (0.2, 0.6, 1.0, 0.8), _GRAPH: (0.6, 0.6, 0.6, 0.9), _LOOPS: (1.0, 0.4, 0.1, 1.0)}
"""Red, green, blue and opacity of each namespace's lines."""


class MarkerOutput:
    """The topic ~/markers, once a change and at most once in `path_period`."""

    def __init__(
        self, node: Node, settings: NodeSettings, publisher: AsyncPublisher, placements: KeyframePlacements
    ) -> None:
        """``placements`` are moved by their owner before this is told of it."""
        self._node, self._map_frame, self._placements = node, settings.map_frame, placements
        self._limit = settings.path_length
        self._topic = node.create_publisher(MarkerArray, "~/markers", LATCHED)
        self._publisher = publisher
        self._queue = publisher.topic_queue(self._topic)
        self._schedule = PublicationSchedule(settings.path_period)

    def observe(self, view: KeyframeView, scale: MapScale) -> None:
        """Note that there is a new keyframe."""
        self._schedule.mark_changed()

    def correct(self, correction: MapCorrection, unit: float) -> None:
        """Note that keyframes have moved."""
        self._schedule.mark_changed()

    def rescale(self, before: float, scale: MapScale) -> None:
        """Note that lengths have changed."""
        self._schedule.mark_changed()

    def change_settings(self, settings: NodeSettings) -> None:
        """Use another period and another number of keyframes."""
        self._limit, self._schedule.period_s = settings.path_length, settings.path_period

    def publish_due(self, stamp_ns: int, unit: float) -> None:
        """Publish the markers where they have changed, somebody subscribes and their period has passed."""
        if self._schedule.start_if_due(self._queue):
            self._publish(stamp_ns, unit)

    def reset(self, stamp_ns: int, unit: float) -> None:
        """Publish that there is no keyframe."""
        self._publish(stamp_ns, unit)

    def destroy(self) -> None:
        """Destroy the publisher."""
        self._publisher.remove(self._queue)
        self._node.destroy_publisher(self._topic)

    def _publish(self, stamp_ns: int, unit: float) -> None:
        """Publish the markers; of too many keyframes as many as there may be, evenly chosen."""
        placed, loops = dict(self._placements.placed), self._placements.loops()
        chosen = np.linspace(0, len(placed) - 1, min(len(placed), self._limit)).round().astype(int)
        shown = [list(placed.values())[number] for number in chosen]
        joined = [placed[id] for ends in loops[-self._limit :].tolist() for id in ends]
        self._queue.put(lambda: marker_array(shown, joined, unit, self._map_frame, stamp_ns))


def marker_array(
    keyframes: list[KeyframePlacement], joined: list[KeyframePlacement], unit: float, map_frame: str, stamp_ns: int
) -> MarkerArray:
    """Return the markers: three lists of lines, empty ones as deletions. ``joined`` are the ends of loops, in pairs."""
    frustums: list[Array] = []
    for each in keyframes:
        rays = np.concatenate([np.zeros((1, 3)), _corner_rays(each.camera)])
        corners = transform_points(pose_in_map(each.T_world_camera, unit), _frustum_size(each, unit) * rays)
        frustums += [corners[number] for edge in _FRUSTUM_EDGES for number in edge]
    graph = [place for pair in pairwise(_places(keyframes, unit)) for place in pair]
    sizes = [_frustum_size(each, unit) for each in keyframes]
    width = TUNING.marker_line_width * (float(np.median(sizes)) if sizes else 0.0)
    head = header(stamp_ns, map_frame)
    lines = {_KEYFRAMES: (frustums, width), _GRAPH: (graph, width), _LOOPS: (_places(joined, unit), 2 * width)}
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


def _places(keyframes: list[KeyframePlacement], unit: float) -> list[Array]:
    """Where the cameras stood, on the map."""
    return [pose_in_map(each.T_world_camera, unit)[:3, 3] for each in keyframes]


def _frustum_size(keyframe: KeyframePlacement, unit: float) -> float:
    """Depth of a keyframe's frustum, published lengths."""
    return TUNING.frustum_depth * keyframe.median_depth * keyframe.depth_factor * unit


def _corner_rays(camera: Camera) -> Array:
    """(4, 3) x / z, y / z and 1 of the picture's corners, around the picture."""
    x = np.array([-0.5, camera.width - 0.5, camera.width - 0.5, -0.5])
    y = np.array([-0.5, -0.5, camera.height - 0.5, camera.height - 0.5])
    return np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones(4)], axis=1)
