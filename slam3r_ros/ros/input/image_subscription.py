"""The subscriptions: images into a queue, camera_info into `CameraInfoCache`. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from slam3r_ros.ros.input.camera_info_cache import CameraInfoCache
from slam3r_ros.ros.input.dds_transport import SOCKET_BYTES, TRANSPORT_VARIABLE, udp_with_sockets
from slam3r_ros.ros.input.loss_counter import LossCounter, WithMessageInfo
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.threads.counters import Counters
from slam3r_ros.ros.threads.drop_oldest_queue import DropOldestQueue
from slam3r_ros.ros.throttled_log import ThrottledLog

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # its place before Jazzy
    from rclpy.qos_event import SubscriptionEventCallbacks

_LEAST_DEPTH = 5
"""Messages that DDS keeps for the executor at least, while it is held up; more where `image_queue` is longer. The
node's own queue, which the executor fills at once, bounds the delay."""
_BEST_EFFORT = QoSProfile(depth=_LEAST_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Quality of service that takes camera_info from every publisher."""

_IMAGES_OF_A_BURST = 4
"""Number of images that sockets must have room for, since the executor may be held up."""
LATCHED_PERIOD_S = 0.5
"""Seconds between two looks for a latched publisher of camera_info, until there is one."""


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedImage:
    """An image message as it was received, not decoded yet."""

    message: Image | CompressedImage
    """The message; its header has the stamp and the frame."""
    arrival_ns: int
    """Time of its arrival by the node's clock, integer nanoseconds."""
    number: int
    """Number of images that were received before it."""


class ImageSubscription:
    """Subscribes to a camera until it is destroyed. Its callbacks run in the executor thread."""

    def __init__(
        self,
        node: Node,
        settings: NodeSettings,
        *,
        images: DropOldestQueue[ReceivedImage],
        camera_info: CameraInfoCache,
        counters: Counters,
        log: ThrottledLog,
        now_ns: Callable[[], int],
    ) -> None:
        """``now_ns`` is the node's clock."""
        self._node = node
        self._settings = settings
        self._images = images
        self._counters = counters
        self._log = log
        self._now_ns = now_ns
        self._loss = LossCounter()
        self._newest_bytes = 0  # of the newest image; those that are missing were like it or like the next one
        self.paused = False
        """Whether images are ignored."""
        self.topic = image_topic(node, settings.image_transport)
        """Resolved name of the image topic."""
        self._subscriptions = [
            node.create_subscription(
                Image if settings.image_transport == "raw" else CompressedImage,
                self.topic,
                WithMessageInfo(self._on_image),
                image_quality(settings),
                event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible_qos),
            ),
            node.create_subscription(CameraInfo, "camera_info", camera_info.update, _BEST_EFFORT),
        ]
        self._camera_info = camera_info
        # Asked for at once, latched messages would cost a warning in every driver that does not latch.
        self._look_for_latched = node.create_timer(
            LATCHED_PERIOD_S, self._subscribe_to_latched, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def destroy(self) -> None:
        """Destroy the subscriptions."""
        self._node.destroy_timer(self._look_for_latched)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _subscribe_to_latched(self) -> None:
        """Once there is a latched publisher of camera_info, receive what it has published before too."""
        topic = self._node.resolve_topic_name("camera_info")
        publishers = self._node.get_publishers_info_by_topic(topic)
        if any(each.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL for each in publishers):
            self._look_for_latched.cancel()
            self._subscriptions.append(
                self._node.create_subscription(CameraInfo, topic, self._camera_info.update, LATCHED)
            )

    def _on_image(self, message: Image | CompressedImage, info: Mapping[str, Any]) -> None:
        stamp = message.header.stamp
        missing = self._loss.missing_before(stamp.sec * 10**9 + stamp.nanosec, info)
        largest_bytes, self._newest_bytes = max(len(message.data), self._newest_bytes), len(message.data)
        if self.paused:
            return
        if missing:
            self._counters.add_missing(missing)
            self._log.warn("missing images", self._missing_images(largest_bytes))
        number = self._counters.received.tick()
        self._counters.add_dropped(self._images.put(ReceivedImage(message, self._now_ns(), number)))

    def _missing_images(self, image_bytes: int) -> str:
        """Return the warning that images were lost, with the buffer that was too small."""
        text = f"{self._counters.missing} images were published on '{self.topic}' and did not arrive"
        if image_bytes > SOCKET_BYTES / _IMAGES_OF_A_BURST:
            room = 1 << (_IMAGES_OF_A_BURST * image_bytes).bit_length()
            return (
                f"{text}: one has {image_bytes / 1e6:.1f} MB, more than sockets have room for; take "
                f"image_transport:=compressed, or raise net.core.rmem_max to {room} and set {TRANSPORT_VARIABLE}="
                f"{udp_with_sockets(room)}"
            )
        return (
            f"{text}: they came faster than they could be taken, or sockets have no room; raise image_queue "
            f"({self._settings.image_queue}) for bursts, or take image_qos:=reliable where the camera is reliable too"
        )

    def _on_incompatible_qos(self, event: object) -> None:
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        names = [
            f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
            for publisher in publishers
            if publisher.qos_profile.reliability is ReliabilityPolicy.BEST_EFFORT
        ]
        self._log.warn(
            "incompatible publisher",
            f"no images from {', '.join(names) or 'a publisher'}: it publishes '{self.topic}' with another quality of "
            f"service than image_qos: {self._settings.image_qos} asks for; set image_qos: sensor_data",
        )


def image_quality(settings: NodeSettings) -> QoSProfile:
    """Return the quality of service that image_qos names: best effort receives from every publisher, reliable from
    reliable ones only."""
    is_reliable = settings.image_qos == "reliable"
    return QoSProfile(
        depth=max(_LEAST_DEPTH, settings.image_queue),
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
    )


def image_topic(node: Node, transport: str) -> str:
    """Return the topic to subscribe to. As with image_transport, remapping `image` moves `image/compressed` along."""
    if transport == "raw":
        return node.resolve_topic_name("image")
    given, remapped = node.resolve_topic_name("image", only_expand=True), node.resolve_topic_name("image")
    return node.resolve_topic_name("image/compressed") if remapped == given else f"{remapped}/compressed"
