"""A camera that costs nearly nothing: images made ready before, published at their rate with the time as stamp.

A process of its own:
``python -m slam3r_lab.benchmarks.topic_camera VIDEO --size 640x480 --rate 30 --seconds 8 --report FILE --shown FILE``.
"""

from __future__ import annotations

import argparse
import array
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.io.sources import open_source
from slam3r_ros.ros.output.messages import time_message

TOPIC, INFO_TOPIC = "/camera/image_raw", "/camera/camera_info"
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


@dataclass(frozen=True, slots=True, eq=False)
class Reel:
    """The messages of a video, made ready before the first is published; it is played to and fro without end."""

    images: list[Image | CompressedImage]
    """The message of each image of the video, in order."""
    camera: CameraInfo | None
    """The intrinsics at the published size; None where the video has none, or has another shape than this size."""

    @classmethod
    def of(cls, video: Path, size: tuple[int, int], compressed: bool) -> Reel:
        """The video at this size (width, height)."""
        with open_source(str(video)) as source:
            frames = list(itertools.islice(source, MOST_BYTES // (3 * size[0] * size[1])))
        images = [message_of(sized(frame.image, size), compressed) for frame in frames]
        return cls(images, camera_message(frames[0].camera, size))

    def order(self) -> Iterator[int]:
        """The number of the image in the video that is shown next."""
        count = len(self.images)
        return itertools.cycle([*range(count), *range(count - 2, 0, -1)])


def camera_message(camera: Camera | None, size: tuple[int, int]) -> CameraInfo | None:
    """The camera_info of images without distortion at this size (width, height)."""
    if camera is None or camera.width * size[1] != camera.height * size[0]:
        return None
    scaled = camera.scaled(*size)
    k = [scaled.fx, 0.0, scaled.cx, 0.0, scaled.fy, scaled.cy, 0.0, 0.0, 1.0]
    head = Header(frame_id=FRAME)
    return CameraInfo(header=head, width=size[0], height=size[1], k=k, distortion_model="plumb_bob", d=[0.0] * 5)


def play(node: Node, reel: Reel, rate_hz: float, seconds: float, topic: str) -> tuple[Sent, list[tuple[int, int]]]:
    """Publish at a rate, by the monotonic clock; what is late is published at once and counted.

    Returns what was done, and of each image its stamp in nanoseconds and its number in the video.
    """
    quality = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = node.create_publisher(type(reel.images[0]), topic, quality)
    infos = None if reel.camera is None else node.create_publisher(CameraInfo, INFO_TOPIC, quality)
    ends, shown = time.monotonic() + WAIT_S, list[tuple[int, int]]()
    while publisher.get_subscription_count() == 0 and time.monotonic() < ends:
        time.sleep(0.02)
    time.sleep(0.3)  # until the other side has found this one too
    count, late, started, cpu = round(rate_hz * seconds), 0, time.monotonic(), time.process_time()
    for number, image in enumerate(itertools.islice(reel.order(), count)):
        wait_s = started + number / rate_hz - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        late += wait_s < -0.5 / rate_hz
        message, stamp_ns = reel.images[image], time.time_ns()
        shown.append((stamp_ns, image))
        message.header.stamp = time_message(stamp_ns)
        if infos is not None and reel.camera is not None:
            reel.camera.header.stamp = message.header.stamp
            infos.publish(reel.camera)
        publisher.publish(message)
    return Sent(count, time.monotonic() - started, late, time.process_time() - cpu), shown


def main() -> None:
    """Play, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--compressed", action="store_true")
    parser.add_argument("--camera-info", action="store_true", help="publish the video's intrinsics too")
    parser.add_argument("--report", type=Path, required=True, help="JSON file for what was sent")
    parser.add_argument("--shown", type=Path, required=True, help="JSON file for stamps and numbers of the images")
    arguments = parser.parse_args()
    width, _, height = arguments.size.partition("x")
    rclpy.init()
    node = Node("camera")
    reel = Reel.of(arguments.video, (int(width), int(height)), arguments.compressed)
    topic = f"{TOPIC}/compressed" if arguments.compressed else TOPIC
    if not arguments.camera_info:
        reel = replace(reel, camera=None)
    elif reel.camera is None:
        parser.error(f"--camera-info: {arguments.video} has no intrinsics for images of {arguments.size}")
    sent, shown = play(node, reel, arguments.rate, arguments.seconds, topic)
    arguments.shown.write_text(json.dumps(shown))
    arguments.report.write_text(json.dumps(asdict(sent)))
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
