"""The node tracks on one thread and maps on another: over DDS, with the embedded networks and the clip of the demo.

How long a network takes is decided by the tests: it waits for an event.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.context import Context
from ros_harness import FIRST_NS, FRAME, PATIENCE_S, PERIOD_NS, Bench, image_message, running_node, wait_until
from slam3r_ros.msg import SlamStatus
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from slam3r_ros.engine.live_slam import LiveSlam
from slam3r_ros.io.sources import open_source
from slam3r_ros.io.sources.example import EXAMPLE
from slam3r_ros.ros.output.tuning import TUNING

PARAMETERS = {"pose__tracks": "on", "window__stride": 2, "window__radius": 1, "keyframes__interval": 1}
INITIAL = 9
"""Images of the initial window."""


@pytest.fixture(scope="module")
def images() -> list[NDArray[np.uint8]]:
    with open_source(str(EXAMPLE)) as source:
        return [np.ascontiguousarray(frame.image[::2, ::2]) for frame in itertools.islice(source, 60)]


class Drive:
    """A camera that shows the clip to a node image by image, and what the node says of it."""

    def __init__(self, bench: Bench, images: list[NDArray[np.uint8]]) -> None:
        self.bench, self.images, self.shown = bench, images, 0
        bench.wait_for_connection()
        self._poses = bench.camera.listen(PoseStamped, "/slam3r/pose")
        assert bench.node._session is not None
        engine = bench.node._session._runner._slam
        assert isinstance(engine, LiveSlam)
        self.slam = engine

    def show(self, count: int = 1) -> None:
        """Show the next images; each is tracked before the next one comes."""
        for _ in range(count):
            self.bench.camera.images.publish(image_message(self.images[self.shown], FIRST_NS + PERIOD_NS * self.shown))
            self.shown += 1
            self.bench.wait_for_handled(self.shown)

    def show_until(self, condition: Callable[[], bool], what: str) -> None:
        while not condition():
            assert self.shown < len(self.images), f"did not happen: {what}"
            self.show()

    def make_map(self) -> None:
        self.show(INITIAL)
        wait_until(lambda: self.bench.status.frames_registered >= INITIAL, "an initial map")
        self.show_until(lambda: self.shown - 1 in self.poses, "a tracked image")

    @property
    def poses(self) -> list[int]:
        """The numbers of the images of which there is a pose, in the order in which they came."""
        stamps = [pose.header.stamp.sec * 10**9 + pose.header.stamp.nanosec for pose in list(self._poses)]
        return [round((stamp - FIRST_NS) / PERIOD_NS) for stamp in stamps]


@pytest.fixture
def drive(context: Context, images: list[NDArray[np.uint8]]) -> Iterator[Drive]:
    with running_node(context, "embedded", **PARAMETERS) as bench:
        drive = Drive(bench, images)
        drive.make_map()
        yield drive


class Block:
    """L2W begins, and goes on when it may."""

    def __init__(self, slam: LiveSlam, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.may_go_on = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self._register = slam._local_to_world.register
        monkeypatch.setattr(slam._local_to_world, "register", self._wait)

    def _wait(self, *arguments: object) -> object:
        self.began.set()
        assert self.may_go_on.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        return self._register(*arguments)  # type: ignore[arg-type]


def test_a_pose_waits_for_no_network(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    block, bench = Block(drive.slam, monkeypatch), drive.bench
    drive.show_until(block.began.is_set, "a keyframe")
    registered, first = bench.status.frames_registered, drive.shown
    drive.show(5)
    wait_until(lambda: drive.poses[-5:] == list(range(first, first + 5)), "a pose of every image, in order")
    drive.show_until(lambda: bench.status.keyframes_thinned > 0, "a frame that is to be a keyframe, too")
    status = bench.status
    assert status.frames_registered == registered and status.frames_dropped == 0
    assert status.state == SlamStatus.TRACKING
    assert "keyframes are thinned" in status.mapping_load
    block.may_go_on.set()
    wait_until(lambda: bench.status.frames_registered > registered, "the keyframe in the map")
    drive.show_until(lambda: bench.status.frames_registered > registered + 1, "the next keyframe")
    assert sorted(drive.poses) == drive.poses


def test_a_keyframe_that_cannot_be_mapped_is_told_and_tracking_goes_on(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = Block(drive.slam, monkeypatch)
    block.error = RuntimeError("the device is gone")
    drive.show_until(block.began.is_set, "a keyframe")
    first = drive.shown
    block.may_go_on.set()
    wait_until(lambda: "the device is gone" in drive.bench.status.last_message, "the reason in the status")
    assert "a keyframe could not be mapped" in drive.bench.notice
    block.error = None
    registered = drive.bench.status.frames_registered
    drive.show(3)
    wait_until(lambda: drive.poses[-3:] == list(range(first, first + 3)), "poses")
    drive.show_until(lambda: drive.bench.status.frames_registered > registered, "the next keyframe in the map")


def test_a_reset_while_mapping_has_a_keyframe(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service waits for the keyframe; images that come meanwhile are those of the old map."""
    block, bench = Block(drive.slam, monkeypatch), drive.bench
    drive.show_until(block.began.is_set, "a keyframe")
    answer: list[Trigger.Response] = []
    caller = threading.Thread(
        target=lambda: answer.append(bench.camera.call(Trigger, "/slam3r/reset", Trigger.Request()))
    )
    caller.start()
    drive.show(2)
    block.may_go_on.set()
    caller.join(PATIENCE_S)
    assert answer and answer[0].success
    assert bench.status.map_points == 0 and bench.status.frames_registered == 0
    begun = drive.shown
    drive.show(INITIAL)
    wait_until(lambda: bench.status.frames_registered >= INITIAL, "a new map")
    drive.show_until(lambda: drive.shown - 1 in drive.poses, "a tracked image of the new map")
    assert sorted(drive.poses) == drive.poses and drive.shown - begun < 40


def test_the_node_ends_while_mapping_has_a_keyframe(
    context: Context, images: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """The keyframe is finished first, and the map is saved with it."""
    path = f"{tmp_path}/room.ply"
    with running_node(context, "embedded", save_on_exit=path, **PARAMETERS) as bench:
        drive = Drive(bench, images)
        drive.make_map()
        block = Block(drive.slam, monkeypatch)
        drive.show_until(block.began.is_set, "a keyframe")
        drive.show(2)
        threading.Timer(0.3, block.may_go_on.set).start()
    with open(path, "rb") as file:
        assert file.read(3) == b"ply"


def test_odometry_goes_on_from_one_map_to_the_next(context: Context, images: list[NDArray[np.uint8]]) -> None:
    """The camera is reset on its way: the map begins anew, and the frame of visual odometry does not."""
    with running_node(context, "embedded", tf_mode="map_to_odom_to_base", **PARAMETERS) as bench:
        drive = Drive(bench, images)
        visual: list[Odometry] = bench.camera.listen(Odometry, "/slam3r/visual_odometry")
        tf: list[TFMessage] = bench.camera.listen(TFMessage, "/tf")
        outputs = bench.node._session._outputs  # type: ignore[union-attr]
        wait_until(lambda: outputs._odometry._visual.get_subscription_count() > 0, "a listener")
        drive.make_map()
        drive.show(6)
        wait_until(lambda: len(visual) >= 4, "odometry")
        assert bench.camera.call(Trigger, "/slam3r/reset", Trigger.Request()).success
        begun = drive.shown
        drive.show(INITIAL)
        wait_until(lambda: bench.status.frames_registered >= INITIAL, "a new map")

        def is_tracked_again() -> bool:
            time.sleep(0.05)  # a pose may be on its way
            return any(number >= begun for number in drive.poses)

        drive.show_until(is_tracked_again, "a tracked image of the new map")
        drive.show(4)
        wait_until(lambda: sum(number >= begun for number in numbers_of(visual)) >= 3, "odometry in the new map")
        heard = list(visual)
        numbers, places = numbers_of(heard), [position_of(each) for each in heard]
        steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
        first = next(place for place, number in enumerate(numbers) if number >= begun)
        assert steps[first - 1] == 0, "what happened meanwhile is not known"
        assert heard[first].twist.covariance[0] == TUNING.unknown_variance
        moving = steps / np.diff(numbers)
        assert moving.max() < 5 * np.median(moving[moving > 0]), "it never jumps"
        transforms = [each for message in tf for each in message.transforms]
        chain = {(each.header.frame_id, each.child_frame_id) for each in transforms}
        assert chain == {("map", "odom"), ("odom", FRAME)}


def numbers_of(messages: list[Odometry]) -> list[int]:
    """The numbers of the images that messages belong to."""
    stamps = [each.header.stamp.sec * 10**9 + each.header.stamp.nanosec for each in list(messages)]
    return [round((stamp - FIRST_NS) / PERIOD_NS) for stamp in stamps]


def position_of(odometry: Odometry) -> tuple[float, float, float]:
    at = odometry.pose.pose.position
    return at.x, at.y, at.z
