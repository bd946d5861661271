"""Two sessions in one map file, in real processes over DDS: ``slam3r_lab bench sessions DIR``.

A node maps the whole sequence. Another one maps its first part, and is killed (SIGKILL) in the middle of a save. A
third one is localized in the map file that is left, by images that the first part has shown already, and goes on with
the rest. How far the trajectory of both is from the truth is compared with that of the one session. It takes twice as
long as the sequence.
"""

from __future__ import annotations

import argparse
import array
import os
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from slam3r_ros.msg import SlamStatus
from slam3r_ros.srv import SaveMap
from tf2_msgs.msg import TFMessage

from slam3r_lab.benchmarks.accuracy import protocol_for
from slam3r_lab.benchmarks.report import measured_by
from slam3r_lab.evaluation.trajectory import TrajectoryMetrics, compare_trajectories
from slam3r_lab.sequences.readers import open_sequence
from slam3r_lab.sequences.sequence import ImageSequence, SequenceFrame
from slam3r_lab.soak.node_process import NodeProcess, SoakError, node_process
from slam3r_ros.cli.process_guard import ProcessGuard, guarding
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.ros.output.messages import camera_info_message, header

WEIGHTS = "embedded"
_BEGIN_NS = 1_700_000_000_000_000_000
_SESSION_NS = 1_000_000_000_000
"""Time from the stamps of one session to those of the next."""
_INTO_SAVE_S = 0.05
"""Seconds from the request to save to the kill."""
_END_S = 60.0


@dataclass(slots=True)
class Heard:
    """What a node has published in a session."""

    poses: list[PoseStamped] = field(default_factory=list)
    odometry: list[Odometry] = field(default_factory=list)
    transforms: list[TFMessage] = field(default_factory=list)
    images_before_pose: int | None = None
    """Images that were shown before the first pose came; None where none came."""
    too_early: int = 0
    """Messages of pose, odometry and TF that came before an image in which the state was not LOCALIZING."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench sessions``."""
    parser.description = __doc__
    parser.add_argument("sequence", type=Path, metavar="DIR", help="a sequence with true poses")
    parser.add_argument("--split", type=float, default=0.5, help="share of the first part (default: %(default)s)")
    parser.add_argument("--overlap", type=int, default=40, help="its last images, which come again (default: 40)")
    parser.add_argument("--rate", type=float, help="images a second (default: those of the sequence)")


def main(arguments: argparse.Namespace) -> int:
    """Run the three nodes and print what has become of their maps."""
    sequence = open_sequence(arguments.sequence)
    frames, rate_hz = sequence.frames, arguments.rate or sequence.rate_hz
    at = round(arguments.split * len(frames))
    first, second = frames[:at], frames[max(0, at - arguments.overlap) :]
    with guarding() as guard, tempfile.TemporaryDirectory() as made:
        folder, domain = Path(made), int(os.environ.get("ROS_DOMAIN_ID", 101 + os.getpid() % 100))
        run = _Runs(guard, folder, domain, sequence, rate_hz)
        one = run.session(folder / "one.slam3r", frames, 0)
        run.killed(folder / "two.slam3r", first)
        with MapFile(folder / "two.slam3r") as file:
            print(f"after SIGKILL: {len(file.keyframe_ids())} keyframes of {len(first)} images", flush=True)
        two = run.session(folder / "two.slam3r", second, 1)
        print(measured_by())
        print(f"\n{sequence.name}, {rate_hz:g} images a second, known intrinsics, embedded weights, real time:")
        alone, joined = (_error(folder / name, run.truth) for name in ("one.slam3r", "two.slam3r"))
    print(f"one session: {len(one.poses)} poses; {_in_words(alone)}")
    print(
        f"two sessions: localized after {two.images_before_pose} images, {two.too_early} messages before that; "
        f"{_in_words(joined)}, {joined.ate_rmse_m / alone.ate_rmse_m:.2f} times as much"
    )
    return 0 if two.images_before_pose is not None and not two.too_early else 1


class _Runs:
    """Nodes, each in a process of its own, that are shown images of a sequence."""

    def __init__(self, guard: ProcessGuard, folder: Path, domain: int, sequence: ImageSequence, rate_hz: float) -> None:
        self._guard, self._folder, self._domain = guard, folder, domain
        self._sequence, self._rate_hz = sequence, rate_hz
        self.truth: dict[int, Array | None] = {}
        """True poses by the stamps of all images that were shown."""

    def session(self, map_file: Path, frames: Sequence[SequenceFrame], number: int) -> Heard:
        """Show images, and end the node as Ctrl-C does."""
        with self._node(map_file) as node:
            heard = self._show(node, frames, number)
            time.sleep(2.0)
            node.process.send_signal(signal.SIGINT)
            node.process.wait(_END_S)
        return heard

    def killed(self, map_file: Path, frames: Sequence[SequenceFrame]) -> None:
        """Show images, and kill the node in the middle of a save."""
        with self._node(map_file) as node:
            self._show(node, frames, 0)
            client = node.camera.create_client(SaveMap, "/slam3r/save_map")
            if not client.wait_for_service(_END_S):
                raise SoakError("the node offers no ~/save_map")
            client.call_async(SaveMap.Request(path=str(self._folder / "saved.slam3r")))
            time.sleep(_INTO_SAVE_S)
            node.process.kill()
            node.process.wait(_END_S)

    def _node(self, map_file: Path) -> AbstractContextManager[NodeProcess]:
        """A node whose windows are as wide in time as at the rate that the weights are meant for."""
        values = {
            name.replace(".", "__"): value for name, value in protocol_for(WEIGHTS, self._sequence).values.items()
        }
        given = {"weights": WEIGHTS, "map_file": map_file, "image_qos": "reliable", **values}
        return node_process(self._guard, self._folder, self._domain, **given)

    def _show(self, node: NodeProcess, frames: Sequence[SequenceFrame], number: int) -> Heard:
        """Publish images with their camera_info at the rate; what the node says of them."""
        heard, camera = Heard(), node.camera
        camera.create_subscription(PoseStamped, "/slam3r/pose", heard.poses.append, 100)
        camera.create_subscription(Odometry, "/slam3r/odometry", heard.odometry.append, 100)
        camera.create_subscription(TFMessage, "/tf", heard.transforms.append, 100)
        images = camera.create_publisher(Image, "image", QoSProfile(depth=20))
        infos = camera.create_publisher(CameraInfo, "camera_info", QoSProfile(depth=20))
        node.wait(lambda: bool(images.get_subscription_count() and infos.get_subscription_count()), "a subscription")
        node.wait(lambda: bool(node.statuses), "a status")
        next_s = time.monotonic()
        for count, frame in enumerate(frames):
            was_localizing = node.statuses[-1].state == SlamStatus.LOCALIZING
            if heard.images_before_pose is None and heard.poses:
                heard.images_before_pose = count
            elif was_localizing:
                heard.too_early = len(heard.poses) + len(heard.odometry) + len(heard.transforms)
            stamp_ns = _BEGIN_NS + number * _SESSION_NS + round(1e9 * frame.index / self._rate_hz)
            self.truth[stamp_ns] = frame.T_world_camera
            self._publish(images, infos, frame, stamp_ns)
            next_s += 1 / self._rate_hz
            time.sleep(max(0.0, next_s - time.monotonic()))
        return heard

    def _publish(self, images: Publisher, infos: Publisher, frame: SequenceFrame, stamp_ns: int) -> None:
        image = self._sequence.image(frame)
        height, width = image.shape[:2]
        head, known = header(stamp_ns, "camera"), self._sequence.camera_of(image)
        if known is not None:
            infos.publish(camera_info_message(head, known))
        data = array.array("B", image.tobytes())
        images.publish(Image(header=head, height=height, width=width, encoding="rgb8", step=3 * width, data=data))


def _in_words(metrics: TrajectoryMetrics) -> str:
    return f"ATE {metrics.ate_rmse_m:.3f} m ({metrics.ate_percent_of_path:.2f} % of the path)"


def _error(map_file: Path, truth: Mapping[int, Array | None]) -> TrajectoryMetrics:
    """How far the trajectory of a map file is from the truth."""
    known = {stamp_ns: T for stamp_ns, T in truth.items() if T is not None}
    with MapFile(map_file) as file:
        compared = compare_trajectories(file.trajectory(), known)
    if compared is None:
        raise SoakError("too few poses have a true one")
    return compared.metrics
