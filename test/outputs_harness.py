"""Outputs alone, fed with updates whose geometry is known, and a listener to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TransformStamped
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.node import Node
from ros_harness import FIRST_NS, FRAME, Camera, wait_until
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage

from slam3r_ros.geometry.se3 import rigid, rotation_from_quat_xyzw
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.scale_edges import ScaleObservation
from slam3r_ros.ros.input.frame_builder import ReadyFrame
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.types import (
    HostPointmaps,
    ImageHeader,
    KeyframeRecord,
    MapPoints,
    MapUpdate,
    PoseEstimate,
    PoseUpdate,
    PreparedFrame,
    StampedPose,
    State,
)


class EmptyMap:
    """Stands for the engine where only its map is asked for; it keeps the corrections that are requested, and what it
    is told of the scale."""

    next_index = 0

    def __init__(self) -> None:
        self.requested: list[MapCorrection] = []
        self.observed: list[ScaleObservation] = []

    def request_correction(self, correction: MapCorrection) -> None:
        self.requested.append(correction)

    def observe_scale(self, observations: list[ScaleObservation]) -> None:
        self.observed += observations

    def trajectory(self) -> list[StampedPose]:
        return []

    def keyframes(self) -> list[KeyframeRecord]:
        return []

    def map_points(self) -> MapPoints:
        return MapPoints(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.float32))


def image_header(stamp_ns: int = FIRST_NS, **others: Any) -> ImageHeader:
    """Of an image of this camera, 8 x 8 pixels unless told otherwise; other fields by their names."""
    values: dict[str, Any] = {"size": (8, 8), "frame_id": FRAME}
    return ImageHeader(stamp_ns, **values | others)


def estimate(T_world_camera: NDArray[np.float64]) -> PoseEstimate:
    """A pose that is trusted."""
    return PoseEstimate(T_world_camera, 100.0, 1.0, 0.1, 1.0, 0.0)


def update(
    T_world_camera: NDArray[np.float64],
    points: MapPoints | None = None,
    stamp_ns: int = FIRST_NS,
    *,
    points_world: NDArray[np.float32] | None = None,
    confidence: NDArray[np.float32] | None = None,
    **others: Any,
) -> MapUpdate:
    """An update with this pose, these new points and this pointmap; other fields by their names."""
    empty = np.zeros((0, 3), np.float32)
    added = points or MapPoints(empty, empty.astype(np.uint8), np.zeros(0, np.float32))
    pointmap = np.zeros((4, 4, 3), np.float32) if points_world is None else points_world
    size = pointmap.shape[:2]
    values: dict[str, Any] = {
        "index": 0,
        "header": image_header(stamp_ns),
        "state": State.TRACKING,
        "pose": estimate(T_world_camera),
        "added": added,
        "pointmaps": HostPointmaps(
            points_world=pointmap,
            confidence=np.zeros(size, np.float32) if confidence is None else confidence,
            points_camera=np.zeros_like(pointmap),
            confidence_camera=np.zeros(size, np.float32),
            valid=np.ones(size, bool),
        ),
        "image": np.zeros((*size, 3), np.uint8),
        "new_keyframes": (),
        "registration": None,
    }
    return MapUpdate(**values | others)


def pose_update(
    T_world_camera: NDArray[np.float64], stamp_ns: int = FIRST_NS, *, index: int = 0, is_keyframe: bool = False
) -> PoseUpdate:
    """The pose of a frame by visual odometry alone."""
    pose = replace(estimate(T_world_camera), by_tracks=True)
    return PoseUpdate(index, image_header(stamp_ns), pose, is_keyframe)


def keyframe_record(number: int, pose: PoseEstimate | None, **others: Any) -> KeyframeRecord:
    """The record of a keyframe, by default the frame of the same number, whose crop is 4 x 4 pixels."""
    values: dict[str, Any] = {"index": number, "header": image_header(), "crop_size": (4, 4), "mean_confidence": 2.0}
    return KeyframeRecord(id=number, pose=pose, **values | others)


def ready_frame(number: int = 0, epoch: int = 0) -> ReadyFrame:
    """A frame for the engine; it is empty."""
    header = image_header(FIRST_NS, number=number)
    return ReadyFrame(PreparedFrame(header, np.zeros((4, 4, 3), np.uint8)), FIRST_NS, epoch)


def moved(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> NDArray[np.float64]:
    """A camera that moved without turning, in its own first axes: x right, y down, z forward."""
    return rigid(np.eye(3), [x, y, z])


def matrix(transform: TransformStamped) -> NDArray[np.float64]:
    t, q = transform.transform.translation, transform.transform.rotation
    return rigid(rotation_from_quat_xyzw([q.x, q.y, q.z, q.w]), [t.x, t.y, t.z])


class Scene:
    """Outputs under test and a listener to them."""

    def __init__(self, context: Context) -> None:
        self.node = Node("slam3r", context=context)
        self.camera = Camera(Node("camera", context=context))
        self.poses: list[PoseStamped] = self.camera.listen(PoseStamped, "/slam3r/pose")
        self.clouds: list[PointCloud2] = self.camera.listen(PointCloud2, "/slam3r/cloud")
        self._tf: list[TFMessage] = self.camera.listen(TFMessage, "/tf")
        self.log = ThrottledLog(self.node.get_logger(), lambda: 0)

    def outputs(self, **settings: object) -> Outputs:
        """Outputs with these settings (``__`` for a dot), connected."""
        values = {"map.point_confidence": 0.0, **{name.replace("__", "."): each for name, each in settings.items()}}
        outputs = Outputs(self.node, NodeSettings.from_values(values), self.log)
        wait_until(lambda: outputs._pose.get_subscription_count() > 0, "the listener hears poses")
        wait_until(lambda: outputs._cloud.get_subscription_count() > 0, "the listener hears clouds")
        if outputs._tf is not None:
            own = 1  # the outputs' own watch of parents
            pub = outputs._tf._broadcaster.topic
            wait_until(lambda: pub.get_subscription_count() > own, "the listener hears TF")
        return outputs

    @property
    def transforms(self) -> list[TransformStamped]:
        return [transform for message in self._tf for transform in message.transforms]
