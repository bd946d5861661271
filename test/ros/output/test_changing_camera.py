"""A stream whose images change their size and their camera while updates wait: every message is of its own frame.

From the engine to the messages, without a ROS network.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.logging import get_logger
from ros_harness import FIRST_NS, PERIOD_NS
from sensor_msgs.msg import CameraInfo, Image
from slam3r_ros.msg import Keyframe
from synthetic import textured_image

from slam3r_ros.engine.events import OnUpdate, Update
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.networks.weights import Networks
from slam3r_ros.ros.input.frame_builder import ReadyFrame
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.pipeline.slam_runner import NodeCallbacks, SlamRunner
from slam3r_ros.ros.threads.counters import Counters
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.types import Frame, MapUpdate

CROP = 32
"""Side of the crops of the tiny networks."""


@dataclass(frozen=True)
class Source:
    """A camera of the stream."""

    frame_id: str
    height: int
    width: int
    focal: tuple[float, float] | None
    """fx and fy of its camera_info; None where it has none."""

    def frame(self, number: int) -> Frame:
        height, width = self.height, self.width
        camera = None
        if self.focal is not None:
            camera = Camera(width, height, *self.focal, (width - 1) / 2, (height - 1) / 2)
        image = textured_image(number, height, width)
        return Frame(FIRST_NS + number * PERIOD_NS, image, camera, frame_id=self.frame_id, number=number)

    @property
    def crop_pixels_per_pixel(self) -> float:
        return CROP / min(self.height, self.width)


SOURCES = (
    Source("front", 48, 72, (90.0, 96.0)),
    Source("rear", 96, 64, (70.0, 75.0)),
    Source("unknown", 80, 120, None),
)
"""Of sizes that become whole pixels when the shorter side becomes that of the crop."""
COUNT, RUN = 60, 5
"""Images, and how many of a source follow each other."""


def source_of(number: int) -> Source:
    return SOURCES[number // RUN % len(SOURCES)]


class Publisher:
    """Keeps what is published."""

    def __init__(self, topic_name: str, messages: list[Any]) -> None:
        self.topic_name, self._messages = topic_name, messages

    def get_subscription_count(self) -> int:
        return 1

    def publish(self, message: Any) -> None:
        self._messages.append(message)


class StandInNode:
    """A node without a network, to whose topics somebody listens."""

    def __init__(self) -> None:
        self.published: dict[str, list[Any]] = defaultdict(list)

    def create_publisher(self, _kind: type, topic: str, _quality: object) -> Publisher:
        return Publisher(topic, self.published[topic])

    def destroy_publisher(self, _publisher: Publisher) -> None:
        pass


@dataclass
class Published:
    """What came of the stream, by the frame's number."""

    depths: dict[int, Image]
    infos: dict[int, CameraInfo]
    keyframes: dict[int, Keyframe]
    poses: dict[int, PoseStamped]
    odometry: dict[int, Odometry]
    updates: dict[int, MapUpdate]
    pushed: dict[int, int]
    """How many images had been pushed when the keyframe was published."""


def number_of(message: Any) -> int:
    stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
    number, rest = divmod(stamp_ns - FIRST_NS, PERIOD_NS)
    assert rest == 0
    return number


def by_number(messages: list[Any]) -> dict[int, Any]:
    found = {number_of(message): message for message in messages}
    assert len(found) == len(messages)
    return found


def spied(told: OnUpdate, updates: dict[int, MapUpdate]) -> OnUpdate:
    def on_update(update: Update) -> None:
        if isinstance(update, MapUpdate):
            updates[update.index] = update
        told(update)

    return on_update


@pytest.fixture(scope="module", params=["prepared", "ahead"])
def published(tiny_networks: Networks, request: pytest.FixtureRequest) -> Published:
    settings = NodeSettings.from_values(
        {
            "tf_mode": "none",
            "window.stride": 2,
            "window.lookahead": 2,
            "keyframes.interval": 7,
            "pose.minimum_inliers": 0.0,
            "initialize.minimum_motion": 0.0,
            "initialize.minimum_texture": 0.0,
        }
    )
    slam, node = Slam(tiny_networks, settings.slam), StandInNode()
    log = ThrottledLog(get_logger("test"), lambda: 0)
    outputs = Outputs(node, replace(settings, slam=slam.settings), log)  # type: ignore[arg-type]
    outputs._depth._queue._capacity = COUNT  # whatever this machine's publisher thread is doing meanwhile
    runner = SlamRunner(slam, outputs, log, NodeCallbacks(lambda: 0, lambda: None), Counters())
    updates, pushed, keyframes = dict[int, MapUpdate](), dict[int, int](), node.published["~/keyframe"]
    assert slam.on_update is not None
    slam.on_update = spied(slam.on_update, updates)
    for number in range(COUNT):
        prepared = slam.encoder.prepare(source_of(number).frame(number))
        given = slam.encoder.encode_ahead(prepared) if request.param == "ahead" else prepared
        told = len(keyframes)
        runner.process([ReadyFrame(given, prepared.header.stamp_ns, 0)])
        pushed |= {keyframe.frame_index: number + 1 for keyframe in keyframes[told:]}
    runner.flush()
    outputs.destroy()
    topics = ("~/depth", "~/depth/camera_info", "~/keyframe", "~/pose", "~/odometry")
    return Published(*(by_number(node.published[topic]) for topic in topics), updates, pushed)


def test_updates_waited_for_other_cameras_images(published: Published) -> None:
    """What follows would show nothing otherwise."""
    assert list(published.updates) == list(published.poses) == list(published.odometry) == list(range(COUNT))
    assert list(published.depths) == list(published.infos) == list(range(COUNT))
    late = [index for index, pushed in published.pushed.items() if source_of(pushed - 1) is not source_of(index)]
    assert len(late) > 10 and {source_of(index).frame_id for index in late} == {"front", "rear", "unknown"}


def test_depth_and_its_camera_info_are_of_their_own_frame_s_camera(published: Published) -> None:
    for number, info in published.infos.items():
        source, update = source_of(number), published.updates[number]
        assert published.depths[number].header == info.header
        assert info.header.frame_id == source.frame_id
        assert (info.width, info.height) == (CROP, CROP)
        assert (published.depths[number].width, published.depths[number].height) == (CROP, CROP)
        assert update.pose is not None
        focal = (update.pose.focal_px, update.pose.focal_px)
        if source.focal is not None:
            focal = tuple(pixels * source.crop_pixels_per_pixel for pixels in source.focal)
        assert (info.k[0], info.k[4]) == pytest.approx(focal)
        assert (info.k[2], info.k[5]) == pytest.approx(((CROP - 1) / 2,) * 2)


def test_keyframes_are_told_with_their_own_frame_s_camera(published: Published) -> None:
    assert len(published.keyframes) > 15
    for number, keyframe in published.keyframes.items():
        source, update = source_of(number), published.updates[number]
        assert (keyframe.frame_index, keyframe.camera_frame) == (number, source.frame_id)
        assert update.pose is not None
        error_px = update.pose.reprojection_error_px / source.crop_pixels_per_pixel
        assert keyframe.reprojection_error == pytest.approx(error_px, rel=1e-5)
        assert keyframe.focal_length_estimated == (source.focal is None)
        if source.focal is None:
            assert keyframe.focal_length == pytest.approx(update.pose.focal_px / source.crop_pixels_per_pixel, rel=1e-5)
        else:
            assert keyframe.focal_length == pytest.approx(math.sqrt(math.prod(source.focal)), rel=1e-5)
        if keyframe.cloud_topic:
            assert keyframe.cloud_stamp == keyframe.header.stamp
            assert keyframe.point_count == len(update.added)


def test_odometry_is_that_of_the_camera_that_took_the_image(published: Published) -> None:
    for number, message in published.odometry.items():
        assert message.child_frame_id == source_of(number).frame_id
        position = message.pose.pose.position
        told = published.poses[number].pose.position
        assert np.array_equal([position.x, position.y, position.z], [told.x, told.y, told.z])
