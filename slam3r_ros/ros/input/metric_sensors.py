"""What other sensors of the robot tell in metres: odometry and depth images."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Pose
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from slam3r_ros.geometry.camera import Camera, CameraError
from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_quat_xyzw
from slam3r_ros.io.camera_info import camera_from_message, camera_of_size
from slam3r_ros.io.image_decoding import ImageError
from slam3r_ros.ros.throttled_log import ThrottledLog

_BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Quality of service of the subscriptions to images; it receives from every publisher."""
_MANY = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Quality of service of the subscription to odometry, of which a second may come at once."""
_WAITING_POSES = 1000
"""Number of odometry messages that are kept until the mapping thread takes them: some seconds of a fast robot base."""
_KEPT_DEPTH_IMAGES = 60
"""Number of depth images that are kept for a keyframe that is told later: two seconds at 30 Hz."""
_SAMPLES = {"16UC1": (np.uint16, 0.001), "mono16": (np.uint16, 0.001), "32FC1": (np.float32, 1.0)}
"""Sample type and metres per unit of the encodings of depth images (REP-118)."""


@dataclass(frozen=True, slots=True, eq=False)
class MetricPose:
    """A pose by odometry."""

    stamp_ns: int
    """Time of the pose, integer nanoseconds."""
    base_frame: str
    """Name of the frame whose pose it is."""
    T_odom_base: Array
    """(4, 4) in metres."""


@dataclass(frozen=True, slots=True, eq=False)
class DepthImage:
    """A depth image with its camera."""

    stamp_ns: int
    """Time at which it was taken, integer nanoseconds."""
    frame_id: str
    """Name of the sensor's optical frame."""
    depth_m: NDArray[np.float32]
    """(height, width) depths in metres, 0 or NaN where there is none."""
    camera: Camera
    """Intrinsics of the depth image."""


class OdometryInput:
    """The newest messages of the topic `odom`, until they are taken. The executor thread fills it, another takes."""

    def __init__(self, node: Node, log: ThrottledLog) -> None:
        self._node, self._log = node, log
        self._poses: deque[MetricPose] = deque(maxlen=_WAITING_POSES)
        self._subscription = node.create_subscription(Odometry, "odom", self._on_odometry, _MANY)

    @property
    def topic(self) -> str:
        """Resolved name of the topic."""
        return str(self._subscription.topic_name)

    def take(self) -> list[MetricPose]:
        """The messages since the last call, oldest first."""
        taken = []
        while self._poses:
            taken.append(self._poses.popleft())
        return taken

    def destroy(self) -> None:
        """Destroy the subscription."""
        self._node.destroy_subscription(self._subscription)

    def _on_odometry(self, message: Odometry) -> None:
        try:
            T_odom_base = pose_matrix(message.pose.pose)
        except ValueError as error:
            self._log.warn("odometry", f"odometry on '{self.topic}' ignored: {error}")
            return
        stamp = message.header.stamp
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        self._poses.append(MetricPose(stamp_ns, message.child_frame_id, T_odom_base))


class DepthInput:
    """The newest depth images of the topic `depth`, with the intrinsics of `depth/camera_info`."""

    def __init__(self, node: Node, log: ThrottledLog) -> None:
        self._node, self._log = node, log
        self._images: deque[Image] = deque(maxlen=_KEPT_DEPTH_IMAGES)
        self._info: CameraInfo | None = None
        self._subscriptions = [
            node.create_subscription(Image, "depth", self._on_image, _BEST_EFFORT),
            node.create_subscription(CameraInfo, "depth/camera_info", self._on_info, _BEST_EFFORT),
        ]

    @property
    def topic(self) -> str:
        """Resolved name of the topic of the images."""
        return str(self._subscriptions[0].topic_name)

    def nearest(self, stamp_ns: int, within_ns: int) -> DepthImage | None:
        """The depth image taken nearest to a time, decoded; None where there is none close enough, or it cannot be
        used, which a warning then says."""
        images = list(self._images)
        times = [abs(each.header.stamp.sec * 1_000_000_000 + each.header.stamp.nanosec - stamp_ns) for each in images]
        if not times or min(times) > within_ns:
            return None
        image = images[times.index(min(times))]
        if self._info is None:
            self._log.warn("depth camera_info", f"depth images on '{self.topic}' without '{self.topic}/camera_info'")
            return None
        try:
            depth_m = depth_from_message(image)
            camera = camera_of_size(camera_from_message(self._info, rectified=False), image.width, image.height)
        except (ImageError, CameraError) as error:
            self._log.warn("depth image", f"depth images on '{self.topic}' ignored: {error}")
            return None
        if camera is None:
            size = f"{self._info.width} x {self._info.height}"
            self._log.warn(
                "depth size",
                f"depth images of {image.width} x {image.height} pixels ignored: camera_info is for {size}",
            )
            return None
        return DepthImage(stamp_ns, image.header.frame_id, depth_m, camera.without_distortion())

    def destroy(self) -> None:
        """Destroy the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _on_image(self, message: Image) -> None:
        self._images.append(message)

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message


def pose_matrix(pose: Pose) -> Array:
    """Return the pose as a matrix (4, 4); raises ValueError where it has values that are no numbers, or no rotation."""
    t, q = pose.position, pose.orientation
    values = np.array([t.x, t.y, t.z, q.x, q.y, q.z, q.w])
    if not np.isfinite(values).all():
        raise ValueError("it has values that are not finite")
    length = float(np.linalg.norm(values[3:]))
    if not 0.5 < length < 2:
        raise ValueError(f"its orientation is no unit quaternion, its length is {length:g}")
    return rigid(rotation_from_quat_xyzw(values[3:] / length), values[:3])


def depth_from_message(message: Image) -> NDArray[np.float32]:
    """Return (height, width) depths in metres of a message in one of REP-118's encodings; raises ImageError naming what
    cannot be used."""
    known = _SAMPLES.get(message.encoding)
    if known is None:
        raise ImageError(f"encoding '{message.encoding}' is no depth; expected 16UC1 (millimetres) or 32FC1 (metres)")
    kind, metres = known
    sample = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    height, width, step = message.height, message.width, message.step
    data = np.frombuffer(memoryview(message.data), np.uint8)
    if min(height, width) < 1 or step < width * sample.itemsize or len(data) < height * step:
        raise ImageError(
            f"{width} x {height} pixels of '{message.encoding}' with step {step} do not fit {len(data)} bytes"
        )
    rows = data[: height * step].reshape(height, step)[:, : width * sample.itemsize]
    return np.ascontiguousarray(rows).view(sample).astype(np.float32) * np.float32(metres)
