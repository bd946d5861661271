"""TF: where the camera, or the robot that carries it, is on the map (REP-105)."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage
from tf2_ros import TransformBroadcaster

from slam3r_ros.geometry.se3 import invert_rigid
from slam3r_ros.ros.output.camera_extrinsics import BasePose
from slam3r_ros.ros.output.messages import transform_message
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.throttled_log import ThrottledLog

_DEPTH = 100
"""Messages of /tf and /tf_static that DDS keeps for the executor, as many as tf2's own listener asks for."""


class TransformOutput:
    """Publishes map_frame -> base_frame (or its inverse), unless that would give a frame a second parent."""

    def __init__(self, node: Node, settings: NodeSettings, log: ThrottledLog) -> None:
        self._node = node
        self._settings = settings
        self._log = log
        self._broadcaster = TransformBroadcaster(node)
        self._parents = FrameParents(node)

    def publish(self, stamp_ns: int, base: BasePose) -> None:
        """Publish the transform of one frame with the image's stamp."""
        parent, child, T_parent_child = self._settings.map_frame, base.frame, base.T_map_base
        if self._settings.invert_tf:
            parent, child, T_parent_child = child, parent, invert_rigid(T_parent_child)
        if (other := self._parents.other_parent(child, parent)) is not None:
            self._log.warn("second parent", self._second_parent(parent, child, other))
            return
        self._broadcaster.sendTransform(transform_message(stamp_ns, parent, child, T_parent_child))

    def destroy(self) -> None:
        """Destroy publisher and subscriptions."""
        self._parents.destroy()
        self._node.destroy_publisher(self._broadcaster.pub_tf)

    def _second_parent(self, parent: str, child: str, other: str) -> str:
        """Return the warning that says why nothing is published, and what to set instead."""
        advice = "set invert_tf, or tf_mode: none"
        if not self._settings.invert_tf:
            root = self._parents.root_of(child)
            advice = f"set base_frame: {root}, or invert_tf, or tf_mode: none"
        return f"no TF published from '{parent}' to '{child}': '{child}' has the parent '{other}' already; {advice}"


class FrameParents:
    """The parents of each frame, as other nodes publish them on /tf and /tf_static."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._parents: dict[str, set[str]] = {}
        static = QoSProfile(depth=_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            node.create_subscription(TFMessage, "/tf", self.record, QoSProfile(depth=_DEPTH)),
            node.create_subscription(TFMessage, "/tf_static", self.record, static),
        ]

    def record(self, message: TFMessage) -> None:
        """Record the parents in a message."""
        for transform in message.transforms:
            self._parents.setdefault(transform.child_frame_id, set()).add(transform.header.frame_id)

    def other_parent(self, child: str, parent: str) -> str | None:
        """Return a parent of ``child`` other than ``parent``; None if there is none."""
        return next((name for name in self._parents.get(child, ()) if name != parent), None)

    def root_of(self, frame: str) -> str:
        """Return the topmost ancestor of a frame."""
        visited = {frame}
        while (parent := next(iter(self._parents.get(frame, ())), None)) is not None and parent not in visited:
            visited.add(parent)
            frame = parent
        return frame

    def destroy(self) -> None:
        """Destroy the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
