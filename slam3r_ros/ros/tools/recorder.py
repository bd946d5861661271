"""Records what the node publishes, and when it was received: for the demo, the benchmark and the tests."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from slam3r_ros.geometry.se3 import rigid, rotation_from_quat_xyzw
from slam3r_ros.msg import SlamStatus
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.start import start_ros
from slam3r_ros.srv import SaveMap

_NANOSECONDS = 10**9
"""Nanoseconds in a second."""


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedMessage:
    """When one pose, cloud or transform was stamped and received."""

    stamp_ns: int
    """Stamp in the header, integer nanoseconds."""
    arrival_ns: int
    """Time of its arrival by the system's clock, integer nanoseconds."""
    parent: str
    """Name of the frame in the header."""
    T_parent_camera: NDArray[np.float64] | None = None
    """(4, 4) pose of the camera in that frame; None of what is no pose."""

    @property
    def latency_ms(self) -> float:
        """Milliseconds from stamp to arrival; meaningful only for stamps of the system's clock."""
        return (self.arrival_ns - self.stamp_ns) * 1e-6


@dataclass(slots=True, eq=False)
class Record:
    """What was received so far. The recorder's thread appends to it; any thread may read it."""

    poses: list[ReceivedMessage] = field(default_factory=list)
    """Messages on ~/pose."""
    transforms: list[ReceivedMessage] = field(default_factory=list)
    """Transforms on /tf whose parent or child is the map's frame."""
    clouds: list[ReceivedMessage] = field(default_factory=list)
    """Messages on ~/cloud: the points that single frames added."""
    statuses: list[SlamStatus] = field(default_factory=list)
    """Messages on ~/status."""
    map_clouds: list[int] = field(default_factory=list)
    """Number of points of each message on ~/map_cloud."""

    @property
    def status(self) -> SlamStatus | None:
        """The newest status; None before the first."""
        return self.statuses[-1] if self.statuses else None


class Recorder:
    """Subscribes to the node with a context and a thread of its own; it is a context manager."""

    def __init__(self, *, node_name: str = "/slam3r", map_frame: str = "map") -> None:
        self.record = Record()
        """Raises RosStartError where ROS does not start."""
        self._context = context = Context()
        start_ros([], context)
        self._map_frame = map_frame
        self._node = node = Node("slam3r_recorder", context=context)
        reliable = QoSProfile(depth=100)
        latched_many = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(PoseStamped, f"{node_name}/pose", self._on_pose, reliable)
        node.create_subscription(PointCloud2, f"{node_name}/cloud", self._on_cloud, reliable)
        node.create_subscription(TFMessage, "/tf", self._on_transforms, reliable)
        node.create_subscription(SlamStatus, f"{node_name}/status", self.record.statuses.append, latched_many)
        node.create_subscription(PointCloud2, f"{node_name}/map_cloud", self._on_map, LATCHED)
        self._save = node.create_client(SaveMap, f"{node_name}/save_map")
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(node)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="slam3r_recorder", daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5.0)
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def save_map(self, path: str, time_limit_s: float) -> SaveMap.Response:
        """Call ~/save_map and return its response; raises TimeoutError if there is none in time."""
        end = time.monotonic() + time_limit_s
        if not self._save.wait_for_service(time_limit_s):
            raise TimeoutError(f"the node offers no service {self._save.srv_name} within {time_limit_s:.0f} s")
        future = self._save.call_async(SaveMap.Request(path=path))
        while not future.done():
            if time.monotonic() > end:
                raise TimeoutError(f"{self._save.srv_name} did not answer within {time_limit_s:.0f} s")
            time.sleep(0.01)
        return future.result()

    def _spin(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def _on_pose(self, message: PoseStamped) -> None:
        received, p, q = _received(message.header), message.pose.position, message.pose.orientation
        pose = rigid(rotation_from_quat_xyzw([q.x, q.y, q.z, q.w]), [p.x, p.y, p.z])
        self.record.poses.append(replace(received, T_parent_camera=pose))

    def _on_transforms(self, message: TFMessage) -> None:
        for transform in message.transforms:
            if self._map_frame in (transform.header.frame_id, transform.child_frame_id):
                self.record.transforms.append(_received(transform.header))

    def _on_cloud(self, message: PointCloud2) -> None:
        self.record.clouds.append(_received(message.header))

    def _on_map(self, message: PointCloud2) -> None:
        self.record.map_clouds.append(message.width * message.height)


def _received(head: Header) -> ReceivedMessage:
    return ReceivedMessage(head.stamp.sec * _NANOSECONDS + head.stamp.nanosec, time.time_ns(), head.frame_id)
