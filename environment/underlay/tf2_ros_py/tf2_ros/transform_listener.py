"""Filling a buffer from /tf and /tf_static."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from tf2_ros.buffer import Buffer


class TransformListener:
    """Fills a buffer from /tf and /tf_static. Its callbacks run in the executor of the node it was given."""

    def __init__(self, buffer: Buffer, node: Node) -> None:
        self.buffer = buffer
        self.node = node
        static = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.tf_sub = node.create_subscription(TFMessage, "/tf", self.callback, QoSProfile(depth=100))
        self.tf_static_sub = node.create_subscription(TFMessage, "/tf_static", self.static_callback, static)

    def unregister(self) -> None:
        """Destroy both subscriptions."""
        self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)

    def callback(self, data: TFMessage) -> None:
        """Take the transforms of a message on /tf."""
        for transform in data.transforms:
            self.buffer.set_transform(transform, "default_authority")

    def static_callback(self, data: TFMessage) -> None:
        """Take the transforms of a message on /tf_static."""
        for transform in data.transforms:
            self.buffer.set_transform_static(transform, "default_authority")
