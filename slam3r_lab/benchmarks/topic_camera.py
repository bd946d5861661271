"""A camera that costs nearly nothing: images made ready before, published at their rate with the time as stamp.

A process of its own:
``python -m slam3r_lab.benchmarks.topic_camera VIDEO --size 640x480 --rate 30 --seconds 8 --report FILE``.
"""

from __future__ import annotations

import argparse
import array
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from slam3r_ros.io.sources import open_source
from slam3r_ros.ros.output.messages import time_message

TOPIC = "/camera/image_raw"
FRAME = "camera_optical_frame"
MOST_BYTES = 600 * 2**20
"""Of images kept ready; where that is less than the video, it is played to and fro sooner."""
JPEG_QUALITY = 90
WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What the camera did."""

    images: int
    seconds: float
    late: int
    """Images published more than half a period after their time."""
    cpu_seconds: float


def sized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The centre of an image with the shape of ``size`` (width, height), at that size."""
    height, width = image.shape[:2]
    scale = min(width / size[0], height / size[1])
    w, h = round(size[0] * scale), round(size[1] * scale)
    x, y = (width - w) // 2, (height - h) // 2
    return np.asarray(cv2.resize(image[y : y + h, x : x + w], size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def message_of(image: NDArray[np.uint8], compressed: bool) -> Image | CompressedImage:
    """The message of an image, but for its stamp."""
    head = Header(frame_id=FRAME)
    if compressed:
        jpeg = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
        return CompressedImage(header=head, format="rgb8; jpeg compressed bgr8", data=array.array("B", jpeg))
    height, width = image.shape[:2]
    data = array.array("B", image.tobytes())
    return Image(header=head, height=height, width=width, encoding="rgb8", step=3 * width, data=data)


def messages(video: Path, size: tuple[int, int], compressed: bool) -> Iterator[Image | CompressedImage]:
    """Messages of a video played to and fro without end, made ready before the first is given."""
    with open_source(str(video)) as source:
        images = [frame.image for frame in itertools.islice(source, MOST_BYTES // (3 * size[0] * size[1]))]
    ready = {id(image): message_of(sized(image, size), compressed) for image in images}
    return (ready[id(image)] for image in itertools.cycle([*images, *reversed(images[1:-1])]))


def play(node: Node, stream: Iterator[Image | CompressedImage], rate_hz: float, seconds: float, topic: str) -> Sent:
    """Publish at a rate, by the monotonic clock; what is late is published at once and counted."""
    first = next(stream)
    quality = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = node.create_publisher(type(first), topic, quality)
    ends = time.monotonic() + WAIT_S
    while publisher.get_subscription_count() == 0 and time.monotonic() < ends:
        time.sleep(0.02)
    time.sleep(0.3)  # until the other side has found this one too
    count, late, started, cpu = round(rate_hz * seconds), 0, time.monotonic(), time.process_time()
    for number, message in enumerate(itertools.islice(itertools.chain([first], stream), count)):
        wait_s = started + number / rate_hz - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        late += wait_s < -0.5 / rate_hz
        message.header.stamp = time_message(time.time_ns())
        publisher.publish(message)
    return Sent(count, time.monotonic() - started, late, time.process_time() - cpu)


def main() -> None:
    """Play, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--compressed", action="store_true")
    parser.add_argument("--report", type=Path, required=True)
    arguments = parser.parse_args()
    width, _, height = arguments.size.partition("x")
    rclpy.init()
    node = Node("camera")
    stream = messages(arguments.video, (int(width), int(height)), arguments.compressed)
    topic = f"{TOPIC}/compressed" if arguments.compressed else TOPIC
    sent = play(node, stream, arguments.rate, arguments.seconds, topic)
    arguments.report.write_text(json.dumps(asdict(sent)))
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
