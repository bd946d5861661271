"""A broadcaster of transforms that leaves the tree of frames a tree: one parent and one publisher for each frame."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A transform between two frames."""

    parent: str
    """Name of the parent frame."""
    child: str
    """Name of the child frame."""
    T_parent_child: NDArray[float64]
    """(4, 4): takes points of the child to the parent."""
    advice: str
    """What to do where the child has another parent."""


class ExclusiveBroadcaster:
    """Publishes transforms on /tf unless the child has another parent, and tells of others that publish the same."""

    def __init__(self, node: Node, log: ThrottledLog) -> None:
        self._node, self._log = node, log
        self._broadcaster = TransformBroadcaster(node)
        self._parents: dict[str, set[str]] = {}
        self._sent: dict[tuple[str, str, int, int], None] = {}  # parent, child and stamp, oldest first
        self._own: set[tuple[str, str]] = set()  # parent and child of the transforms sent
        self._others: set[tuple[str, str]] = set()  # the same of those that others send
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

    def is_sent_by_others(self, parent: str, child: str) -> bool:
        """Whether somebody else has published the transform between these two frames."""
        with self._lock:
            return (parent, child) in self._others

    def send(self, stamp_ns: int, *links: Link) -> None:
        """Publish transforms, all or none; where a child has another parent a warning says so, with the advice,
        instead."""
        for link in links:
            if (other := self.other_parent(link.child, link.parent)) is not None:
                self._log.warn(
                    "second parent",
                    f"no TF published from '{link.parent}' to '{link.child}': '{link.child}' has the parent '{other}' "
                    f"already; {link.advice}",
                )
                return
        messages = [transform_message(stamp_ns, link.parent, link.child, link.T_parent_child) for link in links]
        with self._lock:
            for link, message in zip(links, messages, strict=True):
                self._own.add((link.parent, link.child))
                self._sent[link.parent, link.child, message.header.stamp.sec, message.header.stamp.nanosec] = None
            while len(self._sent) > _REMEMBERED:
                del self._sent[next(iter(self._sent))]
        self._broadcaster.sendTransform(messages)

    def record(self, message: TFMessage) -> None:
        """Record the parents in a message of anybody, and see who else publishes the transforms sent here."""
        for transform in message.transforms:
            parent, child = transform.header.frame_id.lstrip("/"), transform.child_frame_id.lstrip("/")
            self._parents.setdefault(child, set()).add(parent)
            with self._lock:
                is_shared = (parent, child) in self._own
                key = (parent, child, transform.header.stamp.sec, transform.header.stamp.nanosec)
                is_own = key in self._sent
                self._sent.pop(key, None)  # what comes a second time is another's
                if not is_own:
                    self._others.add((parent, child))
            if is_shared and not is_own:
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
