"""The direction of gravity by an inertial sensor on the topic `imu`."""

from __future__ import annotations

from collections import deque

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Imu

from slam3r_ros.geometry.se3 import Array

_QUALITY = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Quality of service of the subscription: many small messages, none of which matters much."""
_KEPT = 400
"""Number of messages that are kept: a second of a fast sensor."""
_STANDARD_GRAVITY = 9.80665
"""Standard acceleration of gravity, m/s^2."""
_WINDOW_NS = 150_000_000
"""Time around an image over which accelerations are averaged, nanoseconds on each side."""
_LARGEST_DIFFERENCE = 0.5
"""Difference from gravity, m/s^2, beyond which the sensor is accelerated and says nothing of the vertical."""


class GravityInput:
    """The newest accelerations. The executor thread fills it, another asks."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._samples: deque[tuple[int, str, Array]] = deque(maxlen=_KEPT)
        self._subscription = node.create_subscription(Imu, "imu", self._on_imu, _QUALITY)

    @property
    def topic(self) -> str:
        """Resolved name of the topic."""
        return str(self._subscription.topic_name)

    def up_at(self, stamp_ns: int) -> tuple[str, Array] | None:
        """Name of the sensor's frame and the direction (3,) in it that points up at a time; None where no message is of
        that time, or the sensor was accelerated.

        A sensor at rest measures the force that holds it against gravity, which points up (REP-145).
        """
        near = [sample for sample in list(self._samples) if abs(sample[0] - stamp_ns) <= _WINDOW_NS]
        if not near:
            return None
        frame = near[-1][1]
        mean = np.mean([acceleration for _, name, acceleration in near if name == frame], axis=0)
        if abs(float(np.linalg.norm(mean)) - _STANDARD_GRAVITY) > _LARGEST_DIFFERENCE:
            return None
        return frame, np.asarray(mean)

    def clear(self) -> None:
        """Forget what came, since time has jumped back."""
        self._samples.clear()

    def destroy(self) -> None:
        """Destroy the subscription."""
        self._node.destroy_subscription(self._subscription)

    def _on_imu(self, message: Imu) -> None:
        a, stamp = message.linear_acceleration, message.header.stamp
        acceleration = np.array([a.x, a.y, a.z])
        if np.isfinite(acceleration).all():
            stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
            self._samples.append((stamp_ns, message.header.frame_id, acceleration))
