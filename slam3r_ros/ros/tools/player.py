"""Publishes a source of images as a camera topic: ``slam3r_ros play SOURCE``."""

from __future__ import annotations

import argparse
import array
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import rclpy
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.exceptions import NameValidationException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from slam3r_ros.io.arguments import positive
from slam3r_ros.io.files import OutputError, replacing
from slam3r_ros.io.prefetch import prefetched
from slam3r_ros.io.sources import Source, SourceError, open_source
from slam3r_ros.io.sources.bag import BagFrame
from slam3r_ros.io.stop_signals import StopRequest, stop_on_signals
from slam3r_ros.io.terminal import say
from slam3r_ros.ros.output.messages import camera_info_message, header, time_message
from slam3r_ros.ros.parameters.launch_options import beside
from slam3r_ros.ros.start import RosStartError, start_ros
from slam3r_ros.ros.tools.pace import Pace
from slam3r_ros.types import Frame


@dataclass(frozen=True, slots=True)
class PlayerTuning:
    """The hand-tuned values of the player; none of them is an option of the command."""

    clock_period_s: float = 0.01
    """Seconds between two messages on /clock."""
    prefetched_frames: int = 8
    """Frames decoded ahead of a recording, so that one that takes long is not late; a live camera has none."""
    subscriber_poll_s: float = 0.02
    """Seconds between two looks whether somebody has subscribed."""
    acknowledge_limit_s: float = 5.0
    """Longest time, in seconds, to wait at the end until reliable subscribers have received the last image."""
    reported_gaps: int = 5
    """Number of gaps in a recording that are reported one by one."""


_TUNING = PlayerTuning()
"""The values in use."""


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """How a source is played."""

    topic: str = "/camera/image_raw"
    """Name of the image topic; camera_info goes beside it."""
    frame_id: str = "camera_optical_frame"
    """Name of the camera's optical frame in all headers."""
    rate_hz: float | None = None
    """Images per second; None for the rate at which they were recorded."""
    compressed: bool = False
    """Whether JPEG images are published, on the topic's /compressed, instead of raw ones."""
    recorded_stamps: bool = False
    """Whether stamps are those of the recording; otherwise they are the time of publishing."""
    clock: bool = False
    """Whether /clock is published, which follows the recorded stamps."""
    loop: bool = False
    """Whether the source begins again at its end."""
    wait_for_subscriber_s: float = 0.0
    """Longest time, in seconds, to wait for a subscriber before the first image; 0 does not wait."""


@dataclass(slots=True)
class PlayReport:
    """What was published."""

    stamps_ns: list[int] = field(default_factory=list)
    """Stamp of each image as it was published, integer nanoseconds."""
    recorded_ns: list[int] = field(default_factory=list)
    """Stamp of each image in the source, integer nanoseconds."""
    seconds: float = 0.0
    """Time from the first to the last image."""
    late: int = 0
    """Number of images that were published more than half a frame after their time."""

    def write(self, path: Path) -> None:
        """Write it as JSON; raises OutputError if that cannot be done."""
        values = {
            "seconds": self.seconds,
            "late": self.late,
            "stamps_ns": self.stamps_ns,
            "recorded_ns": self.recorded_ns,
        }
        with replacing(path) as file:
            file.write(json.dumps(values).encode())

    @classmethod
    def read(cls, path: Path) -> PlayReport:
        """Read what `write` has written."""
        return cls(**json.loads(path.read_text()))


class Player(Node):
    """Publishes the frames of a source as Image or CompressedImage and CameraInfo."""

    def __init__(self, options: PlayOptions, context: Context | None = None) -> None:
        super().__init__("slam3r_player", context=context)
        self._options = options
        kind, topic = (CompressedImage, f"{options.topic}/compressed") if options.compressed else (Image, options.topic)
        quality = QoSProfile(depth=10)
        self._images = self.create_publisher(kind, topic, quality)
        self._camera_infos = self.create_publisher(CameraInfo, beside(options.topic, "camera_info"), quality)
        self._clock_publisher = self.create_publisher(Clock, "/clock", quality) if options.clock else None

    def wait_for_subscriber(self, stop: StopRequest) -> bool:
        """Wait until somebody subscribes to the images; False if nobody does in time."""
        end = time.monotonic() + self._options.wait_for_subscriber_s
        while not stop.is_set() and self._images.get_subscription_count() == 0:
            if time.monotonic() > end:
                return False
            stop.wait(_TUNING.subscriber_poll_s)
        return True

    def play(self, source: Source, stop: StopRequest) -> PlayReport:
        """Publish every frame at its time until the end or until stopped, and wait until the last has been received.

        A loop ends where none of the source's frames could be published.
        """
        report, pace, gaps = PlayReport(), Pace(self._options.rate_hz, source.rate_hz), 0
        started = 0.0
        while True:
            sent_before = len(report.stamps_ns)
            for frame in prefetched(source, _TUNING.prefetched_frames if source.length is not None else 1):
                due = pace.time_of(frame.stamp_ns)
                if pace.gap_s and (gaps := gaps + 1) <= _TUNING.reported_gaps:
                    say(
                        f"slam3r_ros play: the stamps leap by {pace.gap_s:.1f} s before image {len(report.stamps_ns)}: "
                        f"going on after {pace.longest_wait_s:g} s",
                        is_trouble=True,
                    )
                self._wait_until(due, pace, stop)
                if stop.is_set():
                    break
                report.late += pace.is_late()
                if not report.stamps_ns:
                    started = time.monotonic()
                self._publish(frame, pace, report)
                report.seconds = time.monotonic() - started
            if not self._options.loop or stop.is_set() or len(report.stamps_ns) == sent_before:
                break
            pace.begin_again()
        self._images.wait_for_all_acked(Duration(seconds=_TUNING.acknowledge_limit_s))
        return report

    def _wait_until(self, moment: float, pace: Pace, stop: StopRequest) -> None:
        """Wait until a time of `time.monotonic`, and keep /clock running meanwhile."""
        while (left := moment - time.monotonic()) > 0 and not stop.is_set():
            if self._clock_publisher is None:
                stop.wait(left)
            else:
                stop.wait(min(left, _TUNING.clock_period_s))
                self._clock_publisher.publish(Clock(clock=time_message(pace.recorded_now_ns())))

    def _publish(self, frame: Frame, pace: Pace, report: PlayReport) -> None:
        recorded_ns = pace.shifted(frame.stamp_ns)
        if self._clock_publisher is not None:
            self._clock_publisher.publish(Clock(clock=time_message(recorded_ns)))
        data = _message_data(frame, self._options.compressed)
        recorded = self._options.recorded_stamps
        stamp_ns = recorded_ns if recorded else time.time_ns()
        head = header(stamp_ns, self._options.frame_id)
        if frame.camera is not None:
            rectification = frame.rectification if isinstance(frame, BagFrame) else None
            self._camera_infos.publish(camera_info_message(head, frame.camera, rectification))
        self._images.publish(_image_message(head, frame, data, self._options.compressed))
        report.stamps_ns.append(stamp_ns)
        report.recorded_ns.append(frame.stamp_ns)


def _message_data(frame: Frame, compressed: bool) -> array.array[int]:
    """Return the data of a message as an array.array, which rclpy takes as it is; bytes would be checked one by one."""
    data = array.array("B")
    if compressed:
        data.frombytes(cv2.imencode(".jpg", frame.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    else:
        data.frombytes(frame.image.tobytes())
    return data


def _image_message(head: Header, frame: Frame, data: array.array[int], compressed: bool) -> Image | CompressedImage:
    if compressed:
        return CompressedImage(header=head, format="rgb8; jpeg compressed bgr8", data=data)
    height, width = frame.image.shape[:2]
    return Image(header=head, height=height, width=width, encoding="rgb8", step=3 * width, data=data)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_ros play``."""
    default = PlayOptions()
    parser.add_argument("source", help="video file, directory of images, .mcap or .db3 bag, webcam or webcam:NUMBER")
    parser.add_argument("--rate", type=positive, metavar="HZ", help="images a second (default: as recorded)")
    parser.add_argument(
        "--topic", default=default.topic, help="image topic; camera_info goes beside it (default: %(default)s)"
    )
    parser.add_argument("--bag-topic", help="image topic inside a bag that has several")
    parser.add_argument("--compressed", action="store_true", help="publish CompressedImage on TOPIC/compressed")
    parser.add_argument("--frame-id", default=default.frame_id, help="frame of the camera (default: %(default)s)")
    parser.add_argument(
        "--clock", action="store_true", help="publish /clock from the recorded stamps; implies --recorded"
    )
    stamps = parser.add_mutually_exclusive_group()
    stamps.add_argument("--start-now", action="store_true", help="stamp images when they are published (default)")
    stamps.add_argument("--recorded", action="store_true", help="keep the recorded stamps")
    parser.add_argument("--loop", action="store_true", help="begin again at the end, until stopped")
    parser.add_argument(
        "--wait-for-subscriber", type=positive, nargs="?", const=60.0, default=0.0, metavar="SECONDS",
        help="begin when somebody takes the images; fail after SECONDS (default: 60)",
    )  # fmt: skip
    parser.add_argument("--report", type=Path, help="write the stamps of what was published, as JSON")


def main(arguments: argparse.Namespace) -> int:
    """Play a source; 1 if nobody subscribes or there are no images, 2 if source or topic cannot be opened."""
    if arguments.clock and arguments.start_now:
        say("slam3r_ros play: --clock follows the recorded stamps: leave --start-now out", is_trouble=True)
        return 2
    is_live = arguments.source.partition(":")[0] == "webcam"  # paced and stamped by the camera
    options = PlayOptions(
        topic=arguments.topic,
        frame_id=arguments.frame_id,
        rate_hz=None if is_live else arguments.rate,
        compressed=arguments.compressed,
        recorded_stamps=arguments.recorded or arguments.clock or is_live,
        clock=arguments.clock,
        loop=arguments.loop,
        wait_for_subscriber_s=arguments.wait_for_subscriber,
    )
    try:
        start_ros(arguments.ros_arguments)
    except RosStartError as error:
        say(f"slam3r_ros play: {error}", is_trouble=True)
        return 2
    with stop_on_signals() as stop:
        try:
            with open_source(arguments.source, rate_hz=arguments.rate, topic=arguments.bag_topic) as source:
                return _play(source, options, stop, arguments.report)
        except (SourceError, OutputError, NameValidationException) as error:
            say(f"slam3r_ros play: {error}", is_trouble=True)
            return 2
        finally:
            rclpy.try_shutdown()


def _play(source: Source, options: PlayOptions, stop: StopRequest, report_path: Path | None) -> int:
    player = Player(options)
    try:
        if options.wait_for_subscriber_s and not player.wait_for_subscriber(stop):
            say(
                f"slam3r_ros play: nobody took '{options.topic}' within {options.wait_for_subscriber_s:g} s",
                is_trouble=True,
            )
            return 1
        say(f"playing {source.description} on {options.topic}")
        report = player.play(source, stop)
    finally:
        player.destroy_node()
    for problem in source.problems:
        say(f"slam3r_ros play: {problem}", is_trouble=True)
    sent = len(report.stamps_ns)
    rate = (sent - 1) / report.seconds if sent > 1 and report.seconds > 0 else 0.0
    say(f"sent {sent} images in {report.seconds:.2f} s, {rate:.2f} a second, {report.late} late")
    if report_path is not None:
        report.write(report_path)
    if not sent and not stop.is_set():
        say(f"slam3r_ros play: {source.description}: no image could be sent", is_trouble=True)
        return 1
    return 0
