"""Map files on a running node, over DDS, with the embedded networks and the clip of the demo: a file is loaded, the
camera is found in it, the mode is changed, and hints tell where to look."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from map_file_events import view_of
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.context import Context
from ros_harness import FIRST_NS, PERIOD_NS, Bench, image_message, own_domain, running_node, wait_until
from sensor_msgs.msg import PointCloud2
from slam3r_ros.msg import SlamStatus
from slam3r_ros.srv import LoadMap, LocalizeNear, SetScale
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from slam3r_ros.engine.live_slam import LiveSlam
from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.map_axes import pose_in_map
from slam3r_ros.io.sources import open_source
from slam3r_ros.io.sources.example import EXAMPLE
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.writer import MapFileWriter
from slam3r_ros.networks.weights import load_networks
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame

PARAMETERS = {"pose__tracks": "on", "window__stride": 2, "window__radius": 1, "keyframes__interval": 1}
SETTINGS = {"pose.tracks": "on", "window.stride": 2, "window.radius": 1, "keyframes.interval": 1, "window.lookahead": 0}
MAPPED = 50
"""Images of the clip that the map file has seen."""
INITIAL = 9
"""Images of the initial window."""
METRES = 2.0
"""Metres to a scene unit, as the map file knows it."""


@pytest.fixture(scope="module")
def images() -> list[NDArray[np.uint8]]:
    with open_source(str(EXAMPLE)) as source:
        return [np.ascontiguousarray(frame.image[::2, ::2]) for frame in itertools.islice(source, None, None, 3)]


@pytest.fixture(scope="module")
def mapped(images: list[NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map file of the first images."""
    path = tmp_path_factory.mktemp("mapped") / "room.slam3r"
    networks = load_networks("embedded")
    slam = Slam(networks, SlamSettings().with_values(SETTINGS))
    with MapFileWriter(path, MapFacts.of(networks, slam.settings)) as writer:
        slam.on_update = writer.write
        for number, image in enumerate(images[:MAPPED]):
            slam.push(Frame(FIRST_NS + PERIOD_NS * number, image))
        slam.flush()
        writer.set_scale(StoredScale(METRES, "odometry", 0.01))
    return path


@pytest.fixture
def room(mapped: Path, tmp_path: Path) -> Path:
    """A copy of that file."""
    path = tmp_path / "room.slam3r"
    path.write_bytes(mapped.read_bytes())
    return path


class Drive:
    """A camera that shows images of the clip in any order, and what the node says of them."""

    def __init__(self, bench: Bench, images: list[NDArray[np.uint8]]) -> None:
        self.bench, self._images = bench, images
        self.numbers: list[int] = []
        """Numbers in the clip of the images that were shown."""
        bench.wait_for_connection()
        self._poses = bench.camera.listen(PoseStamped, "/slam3r/pose")
        self.odometry = bench.camera.listen(Odometry, "/slam3r/odometry")
        self.transforms = bench.camera.listen(TFMessage, "/tf")
        self.clouds = bench.camera.listen(PointCloud2, "/slam3r/map_cloud", LATCHED)
        self._loaded_at = 0
        assert bench.node._session is not None
        self._engine = bench.node._session._runner._slam

    @property
    def state(self) -> int:
        return int(self.bench.status.state)

    def load(self, path: Path | str, mode: str) -> LoadMap.Response:
        request = LoadMap.Request(path=str(path), mode=mode)
        response: LoadMap.Response = self.bench.camera.call(LoadMap, "/slam3r/load_map", request)
        if response.success:
            self.forget()
        return response

    def forget(self) -> None:
        """What was published so far does not count any more."""
        self._loaded_at = len(self.numbers)
        for heard in (self._poses, self.odometry, self.transforms):
            heard.clear()

    def show(self, number: int) -> None:
        """Show an image of the clip, stamped after the one before; it is tracked and mapped before the next comes."""
        stamp_ns = FIRST_NS + 10**12 + PERIOD_NS * len(self.numbers)
        self.bench.camera.images.publish(image_message(self._images[number], stamp_ns))
        self.numbers.append(number)
        self.bench.wait_for_handled(len(self.numbers))
        assert isinstance(self._engine, LiveSlam)
        live = self._engine._live
        mapping = self._engine._mapping
        wait_until(lambda: not live._is_mapping and not mapping._refinement.is_searching, "mapping is idle")
        if len(self.numbers) - self._loaded_at >= INITIAL:
            failed = self._engine.status().initialisations_failed

            def is_answered() -> bool:
                has_map = live._stride is not None or live._result is not None
                return has_map or self._engine.status().initialisations_failed > failed

            wait_until(is_answered, "an initial map, or why there is none")

    def show_until(self, numbers: range, condition: Callable[[], bool]) -> None:
        for number in numbers:
            if condition():
                return
            self.show(number)
        wait_until(condition, f"what images {numbers} were to lead to; now {self.bench.status}", 5.0)

    def find(self, numbers: range) -> None:
        """Show images until the camera is found in the loaded map, and some more."""
        assert self.state in (SlamStatus.WAITING_FOR_IMAGES, SlamStatus.LOCALIZING)
        self.show(numbers[0])
        for number in numbers[1:]:
            if self.state == SlamStatus.TRACKING:
                break
            assert not self._poses and not self.odometry and not self.transforms
            self.show(number)
        wait_until(lambda: self.state == SlamStatus.TRACKING, "the camera is found")
        for more in range(number, number + 6):
            self.show(more)
        wait_until(lambda: len(self._poses) > 0, "a pose")

    def positions(self) -> dict[int, NDArray[np.float64]]:
        """(3,) position of the camera on the map, by the number of its image in the clip, since the map was loaded."""
        found = {}
        for pose in list(self._poses):
            stamp_ns = pose.header.stamp.sec * 10**9 + pose.header.stamp.nanosec
            at, p = round((stamp_ns - FIRST_NS - 10**12) / PERIOD_NS), pose.pose.position
            if at >= self._loaded_at:
                found[self.numbers[at]] = np.array([p.x, p.y, p.z])
        return found


@pytest.fixture(scope="module")
def drive(images: list[NDArray[np.uint8]]) -> Iterator[Drive]:
    """A node that has mapped what the map file does not show; each test loads a map of its own."""
    with own_domain() as context, running_node(context, "embedded", **PARAMETERS) as bench:
        drive = Drive(bench, images)
        drive.show_until(range(65, 85), lambda: drive.state == SlamStatus.TRACKING)
        wait_until(lambda: len(drive._poses) > 0, "a pose")
        yield drive


def stored_positions(path: Path) -> dict[int, NDArray[np.float64]]:
    """(3,) positions on the map, in metres, by the number of the image in the clip."""
    with MapFile(path) as file:
        frames, _, poses = file.poses()
    return {int(frame): pose_in_map(T, METRES)[:3, 3] for frame, T in zip(frames, poses, strict=True) if frame < MAPPED}


def assert_agree(drive: Drive, path: Path) -> None:
    """The camera is where it was when the map was made, within a tenth of the way."""
    stored, found = stored_positions(path), drive.positions()
    common = sorted(set(stored) & set(found))
    assert common
    way = np.ptp(np.stack(list(stored.values())), axis=0)
    errors = [np.linalg.norm(found[number] - stored[number]) for number in common]
    assert max(errors) < 0.1 * np.linalg.norm(way)


def test_a_file_is_loaded_and_the_camera_found_in_it_before_anything_is_published(drive: Drive, room: Path) -> None:
    before = room.read_bytes()
    loaded = drive.load(room, "localize")
    assert loaded.success and f"from '{room}'" in loaded.message
    wait_until(lambda: drive.bench.status.scale == METRES, "the scale of the map")
    wait_until(lambda: bool(drive.clouds) and drive.clouds[-1].width > 1000, "the loaded map")
    drive.find(range(4, 45))
    assert_agree(drive, room)
    assert drive.transforms and room.read_bytes() == before
    # A reset looks for the camera in the same map again, and keeps its scale.
    assert drive.bench.camera.call(Trigger, "/slam3r/reset", Trigger.Request()).success
    drive.forget()
    assert drive.bench.status.scale == METRES
    drive.find(range(12, 45))
    assert_agree(drive, room)


def test_what_cannot_be_loaded_is_refused_and_the_running_map_stays(drive: Drive, room: Path, tmp_path: Path) -> None:
    garbage, empty = tmp_path / "garbage.slam3r", tmp_path / "empty.slam3r"
    garbage.write_text("something else, which is longer than the header of a database " * 9)
    with MapFileWriter(empty, MapFacts()) as writer:
        writer.write(view_of(0))
    assert drive.load(room, "localize").success
    drive.find(range(12, 45))
    last, count = drive.numbers[-1], len(drive.positions())
    registered, points = drive.bench.status.frames_registered, drive.bench.status.map_points
    cases = [
        (tmp_path / "none.slam3r", "localize", f"there is no file '{tmp_path / 'none.slam3r'}'"),
        (tmp_path / "none.slam3r", "continue", f"there is no file '{tmp_path / 'none.slam3r'}'"),
        (garbage, "continue", f"'{garbage}' is no map file of slam3r_ros"),
        (empty, "localize", "there are no places in the map to be localized by"),
        (tmp_path / "map.ply", "localize", "the name of a map file ends with .slam3r"),
        (room, "mapping", "mode: expected continue or localize, got 'mapping'"),
    ]
    for path, mode, reason in cases:
        refused = drive.load(path, mode)
        assert not refused.success and reason in refused.message
    with MapFileWriter(room, MapFacts(), continues=True):
        refused = drive.load(room, "continue")
        assert not refused.success and "is being written by another process" in refused.message
    assert not (tmp_path / "none.slam3r").exists()
    assert drive.bench.status.frames_registered >= registered and drive.bench.status.map_points >= points > 0
    drive.show_until(range(last + 1, last + 10), lambda: len(drive.positions()) > count + 2)


def test_a_file_is_only_localized_in_then_extended_then_only_localized_in_again(drive: Drive, room: Path) -> None:
    def keyframes() -> int:
        with MapFile(room) as file:
            return len(file.keyframe_ids())

    before = keyframes()
    assert drive.load(room, "localize").success
    drive.find(range(8, 45))
    assert keyframes() == before
    assert drive.load("", "continue").success
    drive.find(range(14, 49))
    drive.show_until(range(drive.numbers[-1], 90), lambda: keyframes() > before + 1)
    assert drive.bench.camera.call(SetScale, "/slam3r/set_scale", SetScale.Request(metres_per_unit=3.0)).success
    loaded = drive.load("", "localize")
    assert loaded.success and keyframes() > before + 1
    assert drive.bench.status.scale == 3.0
    with MapFile(room) as file:
        assert file.meta()["closed"] is True and file.meta()["unjoined_from"] is None
        assert len(file.places(1000)[0]) > before // 2


def test_the_running_map_is_saved_before_another_one_is_loaded(
    context: Context, images: list[NDArray[np.uint8]], room: Path, tmp_path: Path
) -> None:
    own, on_exit = tmp_path / "own.slam3r", tmp_path / "saved.ply"
    with running_node(context, "embedded", map_file=str(own), save_on_exit=str(on_exit), **PARAMETERS) as bench:
        drive = Drive(bench, images)
        drive.show_until(range(65, 85), lambda: drive.state == SlamStatus.TRACKING)
        drive.show_until(range(drive.numbers[-1] + 1, 99), lambda: bench.status.frames_registered > 12)
        hint = bench.camera.call(LocalizeNear, "/slam3r/localize_near", LocalizeNear.Request())
        assert hint.message.startswith("pose not used: no map is loaded")
        assert drive.load(room, "continue").success
        with MapFile(own) as file:
            assert file.meta()["closed"] is True and len(file.keyframe_ids()) > 1
        assert (tmp_path / "saved-1.ply").exists()
        drive.find(range(8, 45))
        assert_agree(drive, room)
    with MapFile(room) as file:
        assert file.meta()["closed"] is True and file.meta()["unjoined_from"] is None


def test_hints_are_for_a_camera_that_is_looked_for_in_the_map_frame(drive: Drive, room: Path) -> None:
    bench = drive.bench
    hints = bench.camera.node.create_publisher(PoseWithCovarianceStamped, "initialpose", 1)

    def near(radius: float = 0.0, frame: str = "map", x: float = 0.0) -> LocalizeNear.Response:
        request = LocalizeNear.Request(radius=radius)
        request.pose.header.frame_id, request.pose.pose.position.x = frame, x
        return bench.camera.call(LocalizeNear, "/slam3r/localize_near", request)

    assert drive.load(room, "localize").success
    for refused, reason in (
        (near(frame="odom"), "expected a pose in the map frame 'map', got one in 'odom'"),
        (near(x=float("nan")), "expected a position, got x nan and y 0.0"),
        (near(radius=-1.0), "expected a radius of 0 or more, got -1.0"),
    ):
        assert not refused.success and refused.message == f"pose not used: {reason}"
    accepted, everywhere = near(), near(1000.0)
    assert accepted.success and everywhere.success
    count = int(everywhere.message.split()[0])
    assert count > int(near(0.01, x=50.0).message.split()[0]) == 10  # the nearest ones in any case
    wait_until(lambda: hints.get_subscription_count() > 0, "the node subscribes to initialpose")
    message = PoseWithCovarianceStamped()
    message.header.frame_id = "odom"
    hints.publish(message)
    wait_until(lambda: "initialpose not used: expected a pose in the map frame 'map'" in bench.notice, "a refusal")
    message.header.frame_id = "map"
    message.pose.covariance[0] = message.pose.covariance[7] = 0.25
    message.pose.pose.position.x, message.pose.pose.position.y, _ = stored_positions(room)[20]
    hints.publish(message)
    drive.find(range(14, 49))
    assert_agree(drive, room)
    assert near().message.startswith("pose not used: the camera is not looked for in a loaded map")
