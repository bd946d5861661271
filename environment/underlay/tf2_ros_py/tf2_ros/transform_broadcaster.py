"""Publishing transforms on /tf."""

from __future__ import annotations

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from tf2_msgs.msg import TFMessage


class TransformBroadcaster:
    """Publishes transforms on /tf, reliably, with a queue of 100 messages."""

    def __init__(self, node: Node, qos: QoSProfile | None = None) -> None:
        self.pub_tf = node.create_publisher(TFMessage, "/tf", qos or QoSProfile(depth=100))

    def sendTransform(self, transform: TransformStamped | list[TransformStamped]) -> None:
        """Publish one transform or a list of them in one message."""
        self.pub_tf.publish(TFMessage(transforms=transform if isinstance(transform, list) else [transform]))
