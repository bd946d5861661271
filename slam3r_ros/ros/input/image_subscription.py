"""The subscriptions: images into the ring, camera_info into `CameraInfoCache`. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from slam3r_ros.ros.input.camera_info_cache import CameraInfoCache
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.pipeline.counters import Counters
from slam3r_ros.ros.pipeline.throttled_log import ThrottledLog
from slam3r_ros.ros.threads.drop_oldest_queue import DropOldestQueue

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # its place before Jazzy
    from rclpy.qos_event import SubscriptionEventCallbacks

# More than one, so that an image that comes while the executor is held up is counted as dropped, not lost unseen: what
# bounds the delay is the ring, which the executor empties this queue into.
_DEPTH = 5
_BEST_EFFORT = QoSProfile(depth=_DEPTH, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
_RELIABLE = QoSProfile(depth=_DEPTH, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """An image message, not looked into yet."""

    message: Image | CompressedImage
    arrival_ns: int
    """When it arrived, by the node's clock."""
    number: int
    """How many images had come before it."""


class ImageSubscription:
    """Listens to a camera until it is destroyed. Its callbacks run in the executor thread."""

    def __init__(
        self,
        node: Node,
        settings: NodeSettings,
        *,
        images: DropOldestQueue[Arrival],
        cameras: CameraInfoCache,
        counters: Counters,
        notices: ThrottledLog,
        now_ns: Callable[[], int],
    ) -> None:
        self._node = node
        self._settings = settings
        self._images = images
        self._counters = counters
        self._notices = notices
        self._now_ns = now_ns
        self.paused = False
        """Whether images are ignored."""
        self.topic = image_topic(node, settings.image_transport)
        self._subscriptions = [
            node.create_subscription(
                Image if settings.image_transport == "raw" else CompressedImage,
                self.topic,
                self._take,
                _RELIABLE if settings.image_qos == "reliable" else _BEST_EFFORT,
                event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._warn_of_incompatible),
            ),
            node.create_subscription(CameraInfo, "camera_info", cameras.take, _BEST_EFFORT),
        ]

    def destroy(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _take(self, message: Image | CompressedImage) -> None:
        if self.paused:
            return
        number = self._counters.received.tick()
        self._counters.add_dropped(self._images.put(Arrival(message, self._now_ns(), number)))

    def _warn_of_incompatible(self, event: object) -> None:
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        names = [
            f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
            for publisher in publishers
            if publisher.qos_profile.reliability is ReliabilityPolicy.BEST_EFFORT
        ]
        self._notices.warn(
            "incompatible publisher",
            f"no images from {', '.join(names) or 'a publisher'}: it publishes '{self.topic}' with another quality of "
            f"service than image_qos: {self._settings.image_qos} asks for; set image_qos: sensor_data",
        )


def image_topic(node: Node, transport: str) -> str:
    """The topic to listen to. As with image_transport, remapping `image` moves `image/compressed` along."""
    if transport == "raw":
        return node.resolve_topic_name("image")
    given, remapped = node.resolve_topic_name("image", only_expand=True), node.resolve_topic_name("image")
    return node.resolve_topic_name("image/compressed") if remapped == given else f"{remapped}/compressed"
