"""A node in this process, whose callbacks get strange messages over DDS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rclpy.context import Context
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from slam3r_ros.msg import SlamStatus

from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.local_to_world import LocalToWorld
from slam3r_ros.networks.weights import save_network
from slam3r_ros.ros.node import SlamNode, make_executor
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.start import start_ros

MOST_TOGETHER = 20
"""Number of messages that may be sent together: so many wait in the node's queue."""
_PATIENCE_S = 60.0
"""Longest time, in seconds, that the node may take for the messages of one call."""
_TINY: dict[str, Any] = {"encoder_width": 16, "encoder_depth": 1, "encoder_heads": 2}
_TINY |= {"decoder_width": 16, "decoder_depth": 2, "decoder_heads": 2}
_PARAMETERS = {
    "image_queue": MOST_TOGETHER,
    "image_qos": "reliable",
    "status_period": 0.05,
    "threads": 1,
    "window.stride": 1,
    "window.radius": 2,
    "keyframes.buffer_size": 12,
    "keyframes.interval": 3,
    "pose.minimum_inliers": 0.0,
}


class NodeEndedError(AssertionError):
    """The node no longer takes images; the message says what came last."""


def save_tiny_weights(folder: Path) -> Path:
    """Write random networks that take milliseconds into a folder, and return it."""
    torch.manual_seed(0)
    for name, network in (
        ("i2p", ImageToPoints(NetworkConfig(image_size=(32, 32), **_TINY))),
        ("l2w", LocalToWorld(NetworkConfig(image_size=(32, 32), need_encoder=False, **_TINY))),
    ):
        save_network(network.eval().requires_grad_(False), folder / name)
    thresholds = ("point_confidence", "shrink_below", "initialize_confidence", "tracking_confidence", "map_confidence")
    (folder / "settings.yaml").write_text("".join(f"{name}: 0.0\n" for name in thresholds))
    return folder


class FuzzedNode:
    """The node and the publishers of its topics."""

    def __init__(self, context: Context, weights: Path) -> None:
        values = {"weights": str(weights), **_PARAMETERS}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = SlamNode(context=context, parameter_overrides=overrides)
        self.node.get_logger().set_level(LoggingSeverity.FATAL)  # thousands of warnings are expected
        self.camera = Node("camera", context=context)
        quality = QoSProfile(depth=100)
        self._publishers = {
            Image: self.camera.create_publisher(Image, "image", quality),
            CameraInfo: self.camera.create_publisher(CameraInfo, "camera_info", quality),
        }
        self._statuses: list[SlamStatus] = []
        self.camera.create_subscription(SlamStatus, "/slam3r/status", self._statuses.append, LATCHED)
        self.sent = 0
        """Number of images sent."""
        self.messages = 0
        """Number of messages sent."""

    @property
    def status(self) -> SlamStatus:
        """The newest status."""
        return self._statuses[-1]

    def wait_until_connected(self) -> None:
        """Wait until the node hears every publisher; raises NodeEndedError if it never does."""
        publishers = self._publishers.values()
        self.wait_until(lambda: all(p.get_subscription_count() for p in publishers) and bool(self._statuses))

    def send(self, messages: Sequence[Image | CameraInfo]) -> None:
        """Send at most `MOST_TOGETHER` messages and wait until the node has decided on each image, but for one that may
        wait for the next because of its stamp; raises NodeEndedError if it does not."""
        for message in messages:
            self._publishers[type(message)].publish(message)
        self.messages += len(messages)
        self.sent += sum(isinstance(message, Image) for message in messages)
        self.wait_until(self._has_decided)

    def _has_decided(self) -> bool:
        status = self.status
        decided = status.frames_processed + status.frames_rejected + status.frames_dropped
        return status.frames_received == self.sent and decided >= self.sent - 1

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on the newest status; raises NodeEndedError where it does not come true."""
        end_s = time.monotonic() + _PATIENCE_S
        while not condition():
            if self.node.problem or time.monotonic() > end_s:
                said = self.node.problem or self.node.log.newest.text
                raise NodeEndedError(f"{self.sent} images sent, the node says: {said}")
            time.sleep(0.002)
        del self._statuses[:-1]


@contextmanager
def fuzzed_node(weights: Path, domain: int) -> Iterator[FuzzedNode]:
    """A node that maps, in a domain of its own, with a thread that runs its callbacks."""
    context = Context()
    start_ros([], context, domain)
    fuzzed = FuzzedNode(context, weights)
    executor = make_executor(context)
    for node in (fuzzed.node, fuzzed.camera):
        executor.add_node(node)
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin, name="soak_executor", daemon=True)
    try:
        fuzzed.node.start()
        thread.start()
        fuzzed.wait_until_connected()
        yield fuzzed
    finally:
        stop.set()
        thread.join(20.0)
        fuzzed.node.shut_down()
        fuzzed.node.get_logger().set_level(LoggingSeverity.UNSET)  # rclpy keeps levels by name, for later nodes too
        executor.shutdown()
        for node in (fuzzed.node, fuzzed.camera):
            node.destroy_node()
        context.try_shutdown()
