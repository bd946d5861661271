"""From the messages that the live page shows to the engine's values: world axes and scene units."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Pose
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import rigid, rotation_from_quat_xyzw
from slam3r_ros.io.image_compression import CompressionError, decode_depth, decode_grey, decode_jpeg
from slam3r_ros.io.map_axes import T_map_world
from slam3r_ros.msg import KeyframeGraph, SlamStatus
from slam3r_ros.msg import KeyframeView as KeyframeViewMessage
from slam3r_ros.types import ImageHeader
from slam3r_ros.viewer.map_model import ViewPlacement
from slam3r_ros.viewer.map_status import MapStatus

_NANOSECONDS = 10**9
"""Nanoseconds in a second."""


def pose_in_world(pose: Pose, unit: float) -> NDArray[np.float64]:
    """(4, 4) T_world_camera, scene units, of a pose in the map frame.

    ``unit`` is the published length of a scene unit.
    """
    position, turn = pose.position, pose.orientation
    rotation = rotation_from_quat_xyzw([turn.x, turn.y, turn.z, turn.w])
    T_map_camera = rigid(rotation, np.array([position.x, position.y, position.z]) / unit)
    T_world_camera: NDArray[np.float64] = T_map_world.T @ T_map_camera
    return T_world_camera


def keyframe_view(message: KeyframeViewMessage) -> KeyframeView:
    """The view that a message holds. Raises CompressionError naming what cannot be read."""
    unit = message.unit or 1.0
    image = decode_jpeg(memoryview(message.image.data))
    depth = decode_depth(memoryview(message.depth.data)) / np.float32(unit)
    share = decode_grey(memoryview(message.confidence.data)).astype(np.float32) / 255
    if share.shape != depth.shape or image.shape[:2] != (message.height, message.width):
        raise CompressionError(
            f"keyframe {message.id}: image {image.shape[1]} x {image.shape[0]}, depth {depth.shape[1]} x "
            f"{depth.shape[0]} and confidence {share.shape[1]} x {share.shape[0]} do not fit together"
        )
    stamp = message.header.stamp
    return KeyframeView(
        id=message.id,
        index=message.frame_index,
        header=ImageHeader(
            stamp.sec * _NANOSECONDS + stamp.nanosec, image.shape[:2], frame_id=message.image.header.frame_id
        ),
        T_world_camera=pose_in_world(message.pose, unit),
        camera=Camera(message.width, message.height, message.fx, message.fy, message.cx, message.cy),
        image=image,
        depth=depth,
        confidence=message.confidence_low + share * (message.confidence_high - message.confidence_low),
    )


def placements(message: KeyframeGraph) -> list[ViewPlacement]:
    """Where the views of a graph are."""
    unit = message.unit or 1.0
    return [
        ViewPlacement(int(id), pose_in_world(pose, unit), float(factor))
        for id, pose, factor in zip(message.ids, message.poses, message.depth_factors, strict=True)
    ]


def loops(message: KeyframeGraph) -> list[tuple[int, int]]:
    """The loops of a graph as pairs of views."""
    return list(zip(map(int, message.loops_earlier), map(int, message.loops_later), strict=True))


def map_status(message: SlamStatus) -> MapStatus:
    """State and counters of the node."""
    load = f"; {message.mapping_load}" if message.mapping_load else ""
    return MapStatus(
        state=message.state_name,
        reason=message.reason + load,
        frame_rate=message.frame_rate,
        frame_rate_received=message.frame_rate_received,
        frames_dropped=message.frames_dropped,
        latency_ms=message.latency_stamp_to_pose_ms,
        memory_bytes=message.memory_resident_bytes,
        map_points=message.map_points,
        keyframes=message.keyframes,
        loops_closed=message.loops_closed,
        is_paused=message.state == SlamStatus.PAUSED,
    )
