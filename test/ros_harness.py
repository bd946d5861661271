"""A camera and a listener around a node, over real DDS in a domain of their own."""

from __future__ import annotations

import array
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import rclpy
from domain_coordinator import domain_id
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from slam3r_ros.msg import SlamStatus
from std_msgs.msg import Header
from synthetic import textured_image
from tf2_msgs.msg import TFMessage

from slam3r_ros.ros.node import SlamNode, make_executor
from slam3r_ros.ros.output.messages import time_message
from slam3r_ros.ros.quality_of_service import LATCHED

FRAME = "camera_optical_frame"
PERIOD_NS = 33_333_333
FIRST_NS = 1_700_000_000_000_000_000
PATIENCE_S = 60.0
"""Longest wait for anything: a machine that is busy with other work delays whole threads for seconds."""
ANSWER_S = 15.0
"""A service is called again after this time: DDS may lose an answer to a client that it has only just found."""
Message = TypeVar("Message")


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for something; fails the test, saying what did not happen, when it does not."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, f"did not happen within {patience_s:.0f} s: {what}"
        time.sleep(0.01)


def image_message(image: NDArray[np.uint8], stamp_ns: int, frame_id: str = FRAME) -> Image:
    """An rgb8 message."""
    height, width = image.shape[:2]
    data = array.array("B", image.tobytes())
    head = Header(stamp=time_message(stamp_ns), frame_id=frame_id)
    return Image(header=head, height=height, width=width, encoding="rgb8", step=3 * width, data=data)


def camera_info(stamp_ns: int = FIRST_NS, width: int = 64, height: int = 48, focal: float = 60.0) -> CameraInfo:
    """Intrinsics for the images of `Camera.send_images`."""
    k = [focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0]
    head = Header(stamp=time_message(stamp_ns), frame_id=FRAME)
    return CameraInfo(header=head, width=width, height=height, k=k, distortion_model="plumb_bob", d=[0.0] * 5)


class Camera:
    """The other end of the node's topics: publishes what a camera does, keeps what the node says."""

    def __init__(self, node: Node, *, reliable: bool = True) -> None:
        self.node = node
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        quality = QoSProfile(depth=50, reliability=reliability)
        self.images = node.create_publisher(Image, "image", quality)
        self.compressed = node.create_publisher(CompressedImage, "image/compressed", quality)
        self.infos = node.create_publisher(CameraInfo, "camera_info", quality)
        self.static_tf = node.create_publisher(
            TFMessage, "/tf_static", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        )
        self.statuses: list[SlamStatus] = self.listen(SlamStatus, "/slam3r/status", LATCHED)

    def listen(self, kind: type[Message], topic: str, quality: QoSProfile | None = None) -> list[Message]:
        """A list that messages of a topic are appended to."""
        messages: list[Message] = []
        self.node.create_subscription(kind, topic, messages.append, quality or QoSProfile(depth=100))
        return messages

    def send_images(self, count: int, first_ns: int = FIRST_NS, first_number: int = 0) -> list[int]:
        """Publish moving images 10 ms apart, stamped 33 ms apart; returns the stamps."""
        stamps = [first_ns + PERIOD_NS * number for number in range(count)]
        for number, stamp_ns in enumerate(stamps):
            self.images.publish(image_message(textured_image(first_number + number), stamp_ns))
            time.sleep(0.01)
        return stamps

    def publish_mount(self, parent: str, child: str, x: float) -> None:
        """A static transform: a translation along x."""
        transform = TransformStamped(header=Header(frame_id=parent), child_frame_id=child)
        transform.transform.translation.x, transform.transform.rotation.w = x, 1.0
        self.static_tf.publish(TFMessage(transforms=[transform]))

    def call(self, service: type, name: str, request: Any) -> Any:
        """Call a service of the node and return the response; call it again where none comes."""
        client = self.node.create_client(service, name)
        assert client.wait_for_service(PATIENCE_S), f"no service {name}"
        futures = [client.call_async(request)]
        asked_s = time.monotonic()

        def answered() -> bool:
            if time.monotonic() > asked_s + len(futures) * ANSWER_S:
                futures.append(client.call_async(request))
            return any(future.done() for future in futures)

        wait_until(answered, f"an answer of {name}")
        return next(future.result() for future in futures if future.done())


@dataclass(slots=True)
class Bench:
    """A running node and what is around it."""

    node: SlamNode
    camera: Camera

    @property
    def status(self) -> SlamStatus:
        """The node's state now."""
        session = self.node._session
        assert session is not None, self.node.problem
        return session.status()

    @property
    def notice(self) -> str:
        """The newest warning or error."""
        return self.node.log.newest.text

    def wait_for_handled(self, count: int) -> None:
        """Wait until this many images were processed, refused or dropped."""

        def handled() -> int:
            status = self.status
            return status.frames_processed + status.frames_rejected + status.frames_dropped

        wait_until(lambda: handled() >= count, f"{count} images handled (now: {self.status})")

    def wait_for_connection(self) -> None:
        """Wait until node and camera have found each other; each topic is found by itself, in any order."""
        wait_until(lambda: self.camera.infos.get_subscription_count() > 0, "the node subscribes to camera_info")
        topics = (self.camera.images, self.camera.compressed)
        wait_until(lambda: any(topic.get_subscription_count() > 0 for topic in topics), "the node subscribes to images")
        wait_until(lambda: len(self.camera.statuses) > 0, "the node's status")


@contextmanager
def spinning(context: Context, *nodes: Node) -> Iterator[None]:
    """Nodes whose callbacks run in a thread."""
    executor = make_executor(context)
    for node in nodes:
        executor.add_node(node)
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        executor.shutdown()


@contextmanager
def own_domain() -> Iterator[Context]:
    """A context in a domain that nobody else on this machine uses."""
    context = Context()
    with domain_id() as number:
        rclpy.init(context=context, domain_id=number)
        try:
            yield context
        finally:
            rclpy.try_shutdown(context=context)


SMALL_WORK: dict[str, Any] = {
    "threads": 1,
    "pose.tracks": "off",  # random networks say nothing that tracks could agree with
    "window.stride": 1,
    "window.radius": 2,
    "register.scene_frames": 4,
    "keyframes.buffer_size": 12,
    "keyframes.interval": 3,
    "pose.minimum_inliers": 0.0,
}


@contextmanager
def running_node(
    context: Context,
    weights: Path | str,
    *,
    reliable_camera: bool = True,
    arguments: tuple[str, ...] = (),
    **parameters: Any,
) -> Iterator[Bench]:
    """A node with parameters (``__`` for a dot), started as autostart would, and a camera beside it.

    Both are reliable, so that no image is lost on a busy machine, unless the camera is to be a best-effort one.
    """
    quality = {"image_qos": "reliable" if reliable_camera else "sensor_data"}
    given = {name.replace("__", "."): value for name, value in parameters.items()}
    values = SMALL_WORK | {"weights": str(weights)} | quality | given
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = SlamNode(context=context, parameter_overrides=overrides, cli_args=list(arguments))
    other = Node("camera", context=context)
    camera = Camera(other, reliable=reliable_camera)
    try:
        with spinning(context, other):
            node.start()
            with spinning(context, node):
                yield Bench(node, camera)
    finally:
        node.shut_down()
        node.destroy_node()
        other.destroy_node()
