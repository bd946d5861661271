"""The topics of the live page: keyframes with image, depth and confidence, and where they are after closed loops."""

from __future__ import annotations

import array
import time

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.io.image_compression import encode_depth, encode_grey, encode_jpeg
from slam3r_ros.io.map_axes import pose_in_map
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.msg import KeyframeGraph
from slam3r_ros.msg import KeyframeView as KeyframeViewMessage
from slam3r_ros.ros.output.map_layer import KeyframePlacement, KeyframePlacements
from slam3r_ros.ros.output.map_scale import MapScale
from slam3r_ros.ros.output.messages import header, pose_message
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.threads.async_publisher import AsyncPublisher

_KEPT = QoSProfile(depth=TUNING.kept_views, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Quality of service of the views: a subscriber that comes late gets those of the whole map."""


class KeyframeViewOutput:
    """The topics ~/keyframe_view and ~/keyframe_graph."""

    def __init__(self, node: Node, map_frame: str, publisher: AsyncPublisher, placements: KeyframePlacements) -> None:
        """``placements`` are moved by their owner before this is told of it."""
        self._node, self._map_frame, self._placements = node, map_frame, placements
        self._views = node.create_publisher(KeyframeViewMessage, "~/keyframe_view", _KEPT)
        self._graph = node.create_publisher(KeyframeGraph, "~/keyframe_graph", LATCHED)
        self._publisher = publisher
        self._view_queue = publisher.topic_queue(self._views, TUNING.waiting_views)
        self._graph_queue = publisher.topic_queue(self._graph)
        self._map_id = 0
        self._start_new_map()
        self.publish_graph(0, 1.0)

    def observe(self, view: KeyframeView, scale: MapScale) -> None:
        """Publish a view."""
        map_id, number, map_frame, unit = self._map_id, self._graph_number, self._map_frame, scale.unit
        self._view_queue.put(lambda: view_message(view, map_id, number, map_frame, unit))

    def correct(self, correction: MapCorrection, unit: float) -> None:
        """Note that the graph has changed."""
        self._is_graph_old = True

    def rescale(self, before: float, scale: MapScale) -> None:
        """Note that lengths have changed."""
        self._is_graph_old = True

    def change_settings(self, settings: NodeSettings) -> None:
        """No parameter that may change at any time concerns the views."""

    def publish_due(self, stamp_ns: int, unit: float) -> None:
        """Publish the graph where it has changed."""
        if self._is_graph_old:
            self.publish_graph(stamp_ns, unit)

    def publish_graph(self, stamp_ns: int, unit: float) -> None:
        """Publish where all views are; ``unit`` is the published length of a scene unit."""
        self._is_graph_old = False
        self._graph_number += 1
        graph = KeyframeGraph(
            header=header(stamp_ns, self._map_frame), map_id=self._map_id, number=self._graph_number, unit=unit
        )
        placements, loops = dict(self._placements.placed), self._placements.loops()
        self._graph_queue.put(lambda: _fill(graph, placements, loops))

    def reset(self, stamp_ns: int, unit: float) -> None:
        """Begin a new map, and publish that it has no views."""
        self._view_queue.clear()
        self._start_new_map()
        self.publish_graph(stamp_ns, unit)

    def destroy(self) -> None:
        """Destroy the publishers."""
        for queue in (self._view_queue, self._graph_queue):
            self._publisher.remove(queue)
        self._node.destroy_publisher(self._views)
        self._node.destroy_publisher(self._graph)

    def _start_new_map(self) -> None:
        self._map_id = max(self._map_id + 1, time.time_ns())
        self._graph_number = -1


def view_message(
    view: KeyframeView, map_id: int, graph_number: int, map_frame: str, unit: float
) -> KeyframeViewMessage:
    """Return the message of a view; ``unit`` is the published length of a scene unit."""
    low, high = float(view.confidence.min()), float(np.percentile(view.confidence, TUNING.view_confidence_percentile))
    share = (view.confidence - low) / max(high - low, 1e-6)
    camera = view.camera
    head = header(view.header.stamp_ns, view.header.frame_id)
    return KeyframeViewMessage(
        header=header(view.header.stamp_ns, map_frame),
        map_id=map_id,
        id=view.id,
        graph_number=graph_number,
        frame_index=view.index,
        pose=pose_message(pose_in_map(view.T_world_camera, unit)),
        unit=unit,
        width=camera.width,
        height=camera.height,
        fx=camera.fx,
        fy=camera.fy,
        cx=camera.cx,
        cy=camera.cy,
        image=_compressed(head, "rgb8; jpeg compressed bgr8", encode_jpeg(view.image, TUNING.view_jpeg_quality)),
        depth=_compressed(head, "32FC1; compressedDepth png", encode_depth(view.depth * np.float32(unit))),
        confidence=_compressed(
            head, "mono8; png compressed mono8", encode_grey((np.clip(share, 0, 1) * 255).round().astype(np.uint8))
        ),
        confidence_low=low,
        confidence_high=max(high, low),
    )


def _compressed(head: Header, format: str, data: bytes) -> CompressedImage:
    # Assigning bytes to `data` checks every byte in Python; an array.array is taken as it is.
    return CompressedImage(header=head, format=format, data=array.array("B", data))


def _fill(message: KeyframeGraph, placements: dict[int, KeyframePlacement], loops: NDArray[np.int64]) -> KeyframeGraph:
    """Put placements and loops into a message."""
    unit = message.unit
    message.ids = array.array("I", placements)
    message.poses = [pose_message(pose_in_map(each.T_world_camera, unit)) for each in placements.values()]
    message.depth_factors = array.array("d", [each.depth_factor for each in placements.values()])
    message.loops_earlier, message.loops_later = (array.array("I", column.tolist()) for column in loops.T)
    return message
