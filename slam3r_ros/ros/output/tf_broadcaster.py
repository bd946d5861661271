"""A broadcaster of transforms that leaves the tree of frames a tree: one parent and one publisher for each frame."""

from __future__ import annotations

import math
import threading

from numpy import float64
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage
from tf2_ros import TransformBroadcaster

from slam3r_ros.ros.output.messages import transform_message
from slam3r_ros.ros.throttled_log import ThrottledLog

_DEPTH = 100
"""Messages of /tf and /tf_static that DDS keeps for the executor, as many as tf2's own listener asks for."""
_REMEMBERED = 1000
"""Number of transforms sent that are recognised when they come back on /tf."""


class ExclusiveBroadcaster:
    """Publishes transforms on /tf unless the child has another parent, and tells of others that publish the same."""

    def __init__(self, node: Node, log: ThrottledLog) -> None:
        self._node, self._log = node, log
        self._broadcaster = TransformBroadcaster(node)
        self._parents: dict[str, set[str]] = {}
        self._sent: dict[tuple[str, str, int, int], None] = {}  # parent, child and stamp, oldest first
        self._own: set[tuple[str, str]] = set()  # parent and child of the transforms sent
        self._lock = threading.Lock()
        static = QoSProfile(depth=_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            node.create_subscription(TFMessage, "/tf", self.record, QoSProfile(depth=_DEPTH)),
            node.create_subscription(TFMessage, "/tf_static", self.record, static),
        ]

    def other_parent(self, child: str, parent: str) -> str | None:
        """Return a parent of ``child`` other than ``parent``, as anybody publishes it; None if there is none."""
        return next((name for name in self._parents.get(child, ()) if name != parent), None)

    def root_of(self, frame: str) -> str:
        """Return the topmost ancestor of a frame."""
        visited = {frame}
        while (parent := next(iter(self._parents.get(frame, ())), None)) is not None and parent not in visited:
            visited.add(parent)
            frame = parent
        return frame

    def send(self, stamp_ns: int, parent: str, child: str, T_parent_child: NDArray[float64], advice: str) -> None:
        """Publish a transform; where the child has another parent a warning says so, with the advice, instead."""
        if (other := self.other_parent(child, parent)) is not None:
            self._log.warn(
                "second parent",
                f"no TF published from '{parent}' to '{child}': '{child}' has the parent '{other}' already; {advice}",
            )
            return
        message = transform_message(stamp_ns, parent, child, T_parent_child)
        with self._lock:
            self._own.add((parent, child))
            self._sent[parent, child, message.header.stamp.sec, message.header.stamp.nanosec] = None
            if len(self._sent) > _REMEMBERED:
                del self._sent[next(iter(self._sent))]
        self._broadcaster.sendTransform(message)

    def record(self, message: TFMessage) -> None:
        """Record the parents in a message of anybody, and see who else publishes the transforms sent here."""
        for transform in message.transforms:
            parent, child = transform.header.frame_id.lstrip("/"), transform.child_frame_id.lstrip("/")
            self._parents.setdefault(child, set()).add(parent)
            with self._lock:
                if (parent, child) not in self._own:
                    continue
                key = (parent, child, transform.header.stamp.sec, transform.header.stamp.nanosec)
                is_own = key in self._sent
                self._sent.pop(key, None)  # what comes a second time is another's
            if not is_own:
                self._log.warn(
                    "second publisher",
                    f"another node publishes the transform from '{parent}' to '{child}' too, and who looks it up gets "
                    "now one and now the other: end that node, or set tf_mode: none or another map_frame here",
                    math.inf,
                )

    @property
    def topic(self) -> Publisher:
        """The publisher on /tf."""
        return self._broadcaster.pub_tf

    def destroy(self) -> None:
        """Destroy publisher and subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._node.destroy_publisher(self.topic)
