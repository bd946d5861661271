"""Outputs alone, fed with updates whose geometry is known, and a listener to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TransformStamped
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.node import Node
from ros_harness import FIRST_NS, Camera, wait_until
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage

from slam3r_ros.geometry.se3 import rigid, rotation_from_quat_xyzw
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.pipeline.throttled_log import ThrottledLog
from slam3r_ros.types import MapPoints, MapUpdate, PoseEstimate, PreparedFrame, State


def update(
    T_world_camera: NDArray[np.float64], points: MapPoints | None = None, stamp_ns: int = FIRST_NS, **others: Any
) -> MapUpdate:
    """An update with this pose and these new points; other fields by their names."""
    empty = np.zeros((0, 3), np.float32)
    added = points or MapPoints(empty, empty.astype(np.uint8), np.zeros(0, np.float32))
    pointmap, confidence = np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.float32)
    values: dict[str, Any] = {
        "index": 0,
        "stamp_ns": stamp_ns,
        "state": State.TRACKING,
        "pose": PoseEstimate(T_world_camera, 100.0, 1.0, 0.1, 1.0, 0.0),
        "added": added,
        "points_world": pointmap,
        "confidence": confidence,
        "points_camera": pointmap,
        "confidence_camera": confidence,
        "image": np.zeros((4, 4, 3), np.uint8),
        "new_keyframes": (),
        "registration": None,
    }
    return MapUpdate(**values | others)


FRAME_VALUE = PreparedFrame(FIRST_NS, np.zeros((4, 4, 3), np.uint8), None, (8, 8))


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
        self.notices = ThrottledLog(self.node.get_logger(), lambda: 0)

    def outputs(self, **settings: object) -> Outputs:
        """Outputs with these settings (``__`` for a dot), connected."""
        values = {"map.point_confidence": 0.0, **{name.replace("__", "."): each for name, each in settings.items()}}
        outputs = Outputs(self.node, NodeSettings.from_values(values), self.notices)
        wait_until(lambda: outputs._pose.get_subscription_count() > 0, "the listener hears poses")
        wait_until(lambda: outputs._cloud.get_subscription_count() > 0, "the listener hears clouds")
        if outputs._tf is not None:
            own = 1  # the outputs' own watch of parents
            pub = outputs._tf._broadcaster.pub_tf
            wait_until(lambda: pub.get_subscription_count() > own, "the listener hears TF")
        return outputs

    @property
    def transforms(self) -> list[TransformStamped]:
        return [transform for message in self._tf for transform in message.transforms]
