"""The player: stamps, rate, frames, counts, /clock."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from ros_harness import spinning, wait_until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from synthetic import textured_image

from slam3r_ros.io.image_decoding import decode_compressed
from slam3r_ros.io.sources import open_source
from slam3r_ros.ros import player
from slam3r_ros.ros.player import Player, PlayOptions, PlayReport

COUNT, RATE = 12, 60.0
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
        assert player.wait_for_subscriber(threading.Event())
        wait_until(lambda: player._camera_infos.get_subscription_count() > 0, "camera_info is heard")
        if options.clock:
            wait_until(lambda: player._clock_publisher.get_subscription_count() > 0, "/clock is heard")
        report = player.play(source, threading.Event())
        sent = len(report.stamps_ns)
        wait_until(lambda: len(viewer.images) + len(viewer.compressed) == sent, f"{sent} images")
        wait_until(lambda: len(viewer.infos) == sent, f"{sent} camera_infos")
    player.destroy_node()
    viewer.node.destroy_node()
    return viewer, report


def test_images_come_whole_with_their_camera_at_the_rate_asked_for(context: Context, sequence: Path) -> None:
    viewer, report = play(context, sequence, PlayOptions(rate_hz=RATE, wait_for_subscriber_s=10, frame_id="eye"))
    assert [stamp_ns(image.header) for image in viewer.images] == report.stamps_ns
    assert [stamp_ns(info.header) for info in viewer.infos] == report.stamps_ns
    assert {image.header.frame_id for image in viewer.images} == {"eye"}
    for number, image in enumerate(viewer.images):
        assert (image.encoding, image.width, image.height, image.step) == ("rgb8", 64, 48, 192)
        assert np.array_equal(np.frombuffer(image.data, np.uint8).reshape(48, 64, 3), textured_image(number))
    assert viewer.infos[0].k.tolist() == [60, 0, 31.5, 0, 61, 23.5, 0, 0, 1]
    intervals = np.diff(report.stamps_ns) * 1e-9
    assert report.seconds == pytest.approx((COUNT - 1) / RATE, abs=0.15)
    assert np.mean(intervals) == pytest.approx(1 / RATE, rel=0.5)


def test_recorded_stamps_and_clock(context: Context, sequence: Path) -> None:
    options = PlayOptions(recorded_stamps=True, clock=True, wait_for_subscriber_s=10)
    viewer, report = play(context, sequence, options)
    assert [stamp_ns(image.header) for image in viewer.images] == [recorded(number) for number in range(COUNT)]
    clocks = [message.clock.sec * 10**9 + message.clock.nanosec for message in viewer.clocks]
    assert clocks == sorted(clocks)
    assert set(report.recorded_ns) <= set(clocks)  # each image's time, and time goes on between images
    assert len(clocks) > COUNT
    assert report.seconds == pytest.approx(0.02 * (COUNT - 1), abs=0.15)  # as recorded


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


def test_command_line_says_what_is_wrong(tmp_path: Path, sequence: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(str(sequence), "--clock", "--start-now") == 2
    assert "--clock follows the recorded stamps" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_main(str(sequence), "--rate", "0")
    assert "expected a number above 0, got '0'" in capsys.readouterr().err
