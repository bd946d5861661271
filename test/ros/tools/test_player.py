"""The player: stamps, rate, frames, counts, /clock."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from bag_writing import image_message, info_message, write_bag
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from ros_harness import spinning, wait_until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from synthetic import textured_image

from slam3r_ros.io.camera_info import camera_from_message
from slam3r_ros.io.image_decoding import decode_compressed
from slam3r_ros.io.sources import Source, open_source
from slam3r_ros.io.stop_signals import StopRequest
from slam3r_ros.ros.tools import player
from slam3r_ros.ros.tools.player import Player, PlayOptions, PlayReport
from slam3r_ros.types import Frame

COUNT, RATE = 12, 30.0
FIRST_S = 1000.0


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with intrinsics and stamps 20 ms apart."""
    folder = tmp_path_factory.mktemp("sequence")
    (folder / "rgb").mkdir()
    for number in range(COUNT):
        cv2.imwrite(str(folder / "rgb" / f"{number:06d}.png"), textured_image(number)[:, :, ::-1])
    (folder / "intrinsics.txt").write_text("60 61 31.5 23.5 64 48\n")
    poses = [f"{FIRST_S + 0.02 * number:.2f} 0 0 {0.1 * number} 0 0 0 1" for number in range(COUNT)]
    (folder / "poses.txt").write_text("\n".join(poses))
    return folder


def recorded(number: int) -> int:
    return round((FIRST_S + 0.02 * number) * 1e9)


def stamp_ns(header: Header) -> int:
    return header.stamp.sec * 10**9 + header.stamp.nanosec


class Viewer:
    """Who looks at what is played."""

    def __init__(self, context: Context) -> None:
        self.node = Node("viewer", context=context)
        self.images: list[Image] = []
        self.compressed: list[CompressedImage] = []
        self.infos: list[CameraInfo] = []
        self.clocks: list[Clock] = []
        self.order: list[tuple[str, int]] = []
        many = QoSProfile(depth=1000)
        topic = PlayOptions().topic
        self.node.create_subscription(Image, topic, self.images.append, many)
        self.node.create_subscription(CompressedImage, f"{topic}/compressed", self.compressed.append, many)
        self.node.create_subscription(CameraInfo, "/camera/camera_info", self.infos.append, many)
        self.node.create_subscription(Clock, "/clock", self.clocks.append, many)


def play(context: Context, sequence: Path, options: PlayOptions) -> tuple[Viewer, PlayReport]:
    viewer = Viewer(context)
    player = Player(options, context)
    with spinning(context, viewer.node), open_source(str(sequence), rate_hz=options.rate_hz) as source:
        assert player.wait_for_subscriber(StopRequest())
        wait_until(lambda: player._camera_infos.get_subscription_count() > 0, "camera_info is heard")
        if options.clock:
            wait_until(lambda: player._clock_publisher.get_subscription_count() > 0, "/clock is heard")
        report = player.play(source, StopRequest())
        sent = len(report.stamps_ns)
        wait_until(lambda: len(viewer.images) + len(viewer.compressed) == sent, f"{sent} images")
        wait_until(lambda: len(viewer.infos) == sent, f"{sent} camera_infos")
    player.destroy_node()
    viewer.node.destroy_node()
    return viewer, report


def assert_kept_time(report: PlayReport, seconds: float) -> None:
    """It took this long, or longer where images were late, which a busy machine makes them."""
    assert report.seconds > 0.75 * seconds
    assert report.seconds < seconds + 0.15 or report.late > 0


def test_images_come_whole_with_their_camera_at_the_rate_asked_for(context: Context, sequence: Path) -> None:
    viewer, report = play(context, sequence, PlayOptions(rate_hz=RATE, wait_for_subscriber_s=10, frame_id="eye"))
    assert [stamp_ns(image.header) for image in viewer.images] == report.stamps_ns
    assert [stamp_ns(info.header) for info in viewer.infos] == report.stamps_ns
    assert {image.header.frame_id for image in viewer.images} == {"eye"}
    for number, image in enumerate(viewer.images):
        assert (image.encoding, image.width, image.height, image.step) == ("rgb8", 64, 48, 192)
        assert np.array_equal(np.frombuffer(image.data, np.uint8).reshape(48, 64, 3), textured_image(number))
    assert viewer.infos[0].k.tolist() == [60, 0, 31.5, 0, 61, 23.5, 0, 0, 1]
    assert_kept_time(report, (COUNT - 1) / RATE)


def test_recorded_stamps_and_clock(context: Context, sequence: Path) -> None:
    options = PlayOptions(recorded_stamps=True, clock=True, wait_for_subscriber_s=10)
    viewer, report = play(context, sequence, options)
    assert [stamp_ns(image.header) for image in viewer.images] == [recorded(number) for number in range(COUNT)]
    clocks = [message.clock.sec * 10**9 + message.clock.nanosec for message in viewer.clocks]
    assert clocks == sorted(clocks)
    assert set(report.recorded_ns) <= set(clocks)  # each image's time, and time goes on between images
    assert len(clocks) > COUNT
    assert_kept_time(report, 0.02 * (COUNT - 1))  # as recorded


def test_recording_that_counts_from_zero_gets_no_zero_stamp(context: Context, sequence: Path, tmp_path: Path) -> None:
    (tmp_path / "rgb").symlink_to(sequence / "rgb")
    (tmp_path / "intrinsics.txt").write_text((sequence / "intrinsics.txt").read_text())
    viewer, report = play(context, tmp_path, PlayOptions(rate_hz=RATE, recorded_stamps=True, wait_for_subscriber_s=10))
    assert report.recorded_ns[0] == 0
    assert stamp_ns(viewer.images[0].header) == 10**9


def test_compressed_images(context: Context, sequence: Path) -> None:
    viewer, _ = play(context, sequence, PlayOptions(rate_hz=RATE, compressed=True, wait_for_subscriber_s=10))
    assert len(viewer.compressed) == COUNT
    assert "jpeg" in viewer.compressed[0].format
    difference = decode_compressed(viewer.compressed[3].data).astype(int) - textured_image(3)
    assert np.abs(difference).mean() < 4


D, P = np.array([-0.3, 0.1, 0, 0, 0]), np.array([42.0, 0, 30, 0, 0, 43, 20, 0, 0, 0, 1, 0])
TURNED = np.array([0.0, -1, 0, 1, 0, 0, 0, 0, 1])


@pytest.mark.parametrize(("topic", "focal_as_taken"), [("/eye/image_raw", 60), ("/eye/image_rect", 42)])
def test_camera_info_of_a_bag_serves_either_setting_of_rectified(
    context: Context, tmp_path: Path, topic: str, focal_as_taken: float
) -> None:
    info = replace(info_message(10**9, 64, 48, 60.0), d=D, r=TURNED, p=P)
    image = image_message(10**9, textured_image(0))
    bag = write_bag(tmp_path / "bag", "mcap", [("/eye/camera_info", 10**9, info), (topic, 10**9, image)])
    viewer, _ = play(context, bag, PlayOptions(wait_for_subscriber_s=10))
    (played,) = viewer.infos
    is_rectified = focal_as_taken == 42
    as_taken, rectified = (camera_from_message(played, rectified=rectified) for rectified in (False, True))
    assert (as_taken.fx, as_taken.distortion) == (focal_as_taken, () if is_rectified else tuple(D))
    assert (rectified.fx, rectified.fy, rectified.cx, rectified.cy, rectified.distortion) == (42, 43, 30, 20, ())
    assert played.r.tolist() == (np.eye(3).ravel() if is_rectified else TURNED).tolist()


@pytest.mark.parametrize(
    ("topic", "expected"),
    [("image", "/robot1/camera_info"), ("eye/image", "/robot1/eye/camera_info"), ("/image", "/camera_info")],
)
def test_camera_info_goes_beside_the_image(context: Context, topic: str, expected: str) -> None:
    of_robot = Context()
    of_robot.init(args=["--ros-args", "-r", "__ns:=/robot1"], domain_id=context.get_domain_id())
    given = Player(PlayOptions(topic=topic), of_robot)
    assert given._camera_infos.topic_name == expected
    given.destroy_node()
    of_robot.try_shutdown()


def test_report_survives_its_file(tmp_path: Path) -> None:
    report = PlayReport([1, 2], [3, 4], 0.5, 1)
    report.write(tmp_path / "report.json")
    assert PlayReport.read(tmp_path / "report.json") == report


def run_main(*words: str) -> int:
    parser = argparse.ArgumentParser()
    player.add_arguments(parser)
    arguments = parser.parse_args(words)
    arguments.ros_arguments = []
    return player.main(arguments)


class Refused(Source):
    """None of its images can be used; a third pass over it fails."""

    def __init__(self, begin: Callable[[], None] = lambda: None) -> None:
        super().__init__("refused images", 30.0, 3)
        self._begin, self._passes = begin, 0

    def _frames(self) -> Iterator[Frame]:
        self._passes += 1
        assert self._passes < 3, "again and again"
        self._begin()
        self._report("0.png left out")
        yield from ()


@pytest.mark.parametrize("words", [[], ["--loop"]])
def test_images_that_are_all_refused_end_it(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(player, "open_source", lambda *_, **__: Refused())
    assert run_main("refused", *words) == 1
    said = capsys.readouterr().err
    assert "0.png left out" in said and said.endswith("refused images: no image could be sent\n")


@pytest.mark.parametrize(
    ("words", "unset", "reason"),
    [(["--ros-args", "-r", "bad"], "ROS_LOG_DIR", "bad"), ([], "HOME", "failed to initialize logging")],
)
def test_start_that_rclpy_refuses_is_told_in_a_line(words: list[str], unset: str, reason: str, sequence: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in (unset, "ROS_LOG_DIR", "ROS_HOME")}
    command = [sys.executable, "-m", "slam3r_ros.cli.main", "play", str(sequence), *words]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("slam3r_ros play: "))
    assert reason in line


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_being_stopped_before_the_first_image_is_no_failure(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player, "open_source", lambda *_, **__: Refused(lambda: signal.raise_signal(number)))
    assert run_main("refused") == 0


def test_command_line_says_what_is_wrong(tmp_path: Path, sequence: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(str(sequence), "--clock", "--start-now") == 2
    assert "--clock follows the recorded stamps" in capsys.readouterr().err
    assert run_main(str(sequence), "--topic", "/camera/image-raw") == 2
    assert "Invalid topic name" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_main(str(sequence), "--rate", "0")
    assert "expected a number above 0, got '0'" in capsys.readouterr().err
