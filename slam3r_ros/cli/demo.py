"""A source through a real camera topic into the real node: ``slam3r_ros demo [SOURCE] [--out DIRECTORY]``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from slam3r_ros.cli.demo_report import DemoReport
from slam3r_ros.cli.figure import draw_map
from slam3r_ros.cli.trajectory_error import TrajectoryError, trajectory_error
from slam3r_ros.io.arguments import at_least, positive
from slam3r_ros.io.files import FileFormatError, OutputError
from slam3r_ros.io.ply import read_ply
from slam3r_ros.io.save import MAP_NAME, TRAJECTORY_NAME
from slam3r_ros.io.sources import SourceError, open_source
from slam3r_ros.io.tum import read_trajectory

if TYPE_CHECKING:
    from slam3r_ros.ros.tools.player import PlayReport
    from slam3r_ros.ros.tools.recorder import Arrived, Recorder

_PICTURE_NAME, _REPORT_NAME = "map.png", "report.json"
_RESULTS = (MAP_NAME, TRAJECTORY_NAME, _PICTURE_NAME, _REPORT_NAME)
_RENDERED_NAME = "rendered.json"
"""In the folder of a rendered video, from the beginning: what was rendered, and whether it is unfinished."""
_TOPIC = "/camera/image_raw"
_START_LIMIT_S = 120.0
_DRAIN_LIMIT_S = 60.0
_STOP_LIMIT_S = 30.0
_STATUS_PERIOD_S = 0.2


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and where to read more."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What is demonstrated, and where the results go."""

    source: str | None
    """None: a rendered video of `seed`."""
    out: Path
    weights: str
    rate_hz: float | None
    seed: int
    frames: int
    parameters: tuple[str, ...]
    """NAME:=VALUE of the node."""
    bag_topic: str | None = None
    """Which images of a bag that has several topics of them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_ros demo``."""
    from slam3r_lab.training.seeds import FIRST_DEMO_SEED

    parser.add_argument("source", nargs="?", help="video, directory of images or bag (default: a rendered room)")
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="directory for the results (default: %(default)s)"
    )
    parser.add_argument(
        "--weights",
        default="embedded",
        help="'embedded', 'embedded-large', a directory or a hub id (default: %(default)s)",
    )
    parser.add_argument(
        "--rate", type=positive, metavar="HZ", help="images a second (default: as recorded; rendered: 30)"
    )
    parser.add_argument("--bag-topic", help="image topic inside a bag that has several")
    parser.add_argument(
        "--seed", type=at_least(0), default=FIRST_DEMO_SEED, help="room to render (default: %(default)s)"
    )
    parser.add_argument("--frames", type=at_least(1), default=300, help="images to render (default: %(default)s)")
    parser.add_argument(
        "-p", dest="parameters", action="append", default=[], metavar="NAME:=VALUE", help="parameter of the node"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the demo; 1 if something failed on the way, 2 if the source cannot be opened."""
    import slam3r_ros.ros.tools.recorder  # noqa: F401  here, so that nothing is rendered in vain where there is no ROS

    options = DemoOptions(
        source=arguments.source,
        out=arguments.out.absolute(),
        weights=arguments.weights,
        rate_hz=arguments.rate,
        seed=arguments.seed,
        frames=arguments.frames,
        parameters=tuple(arguments.parameters),
        bag_topic=arguments.bag_topic,
    )
    former = results_in(options.out)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        report = run_demo(options)
    except SourceError as error:
        print(f"slam3r_ros demo: {error}", file=sys.stderr)
        return 2
    except (DemoError, OutputError, OSError) as error:
        print(f"slam3r_ros demo: {error}", file=sys.stderr)
        old = sorted(name for name, _ in former.items() & results_in(options.out).items())
        if old:
            print(f"slam3r_ros demo: from before, not of this demo: {', '.join(old)} in {options.out}", file=sys.stderr)
        return 1
    print(report.text())
    print(f"{', '.join(_RESULTS)} are in {options.out}")
    return 0


def results_in(out: Path) -> dict[str, int]:
    """The results that are there, and when each was written (ns)."""
    return {name: (out / name).stat().st_mtime_ns for name in _RESULTS if os.path.isfile(out / name)}


def run_demo(options: DemoOptions) -> DemoReport:
    """Render if need be, play and map, save, draw, measure. Raises DemoError, SourceError, OutputError."""
    source = options.source or str(render_video(options))
    with open_source(source, rate_hz=options.rate_hz, topic=options.bag_topic) as opened:
        length, description = opened.length, opened.description
    report = play_and_map(options, source, length, description)
    report.write(options.out / _REPORT_NAME)
    trajectory = read_trajectory(options.out / TRAJECTORY_NAME)
    draw_map(options.out / _PICTURE_NAME, read_ply(options.out / MAP_NAME), trajectory, f"slam3r_ros: {report.source}")
    return report


def render_video(options: DemoOptions) -> Path:
    """The folder of the rendered video; made unless it is there already. Raises DemoError if it cannot be made."""
    from slam3r_lab.training.sequence_files import render_sequence, write_sequence
    from slam3r_lab.worlds.paths.choose import PathSettings
    from slam3r_lab.worlds.paths.curves import NoFreePathError

    folder = options.out / "video"
    recipe = {"seed": options.seed, "frames": options.frames, "rate_hz": 30.0, "size": [640, 480]}
    note = folder / _RENDERED_NAME
    if note.is_file() and note.read_text() == json.dumps(recipe):
        return folder
    make_room(folder)
    note.write_text(json.dumps({**recipe, "unfinished": True}))
    frames = render_sequence(options.seed, PathSettings(options.frames, 30.0), (640, 480))
    try:
        write_sequence(
            iter(tqdm(frames, total=options.frames, unit="image", desc="rendering", mininterval=0.5)), 30.0, folder
        )
    except NoFreePathError as error:
        raise DemoError(str(error)) from error
    note.write_text(json.dumps(recipe))
    return folder


def make_room(folder: Path) -> None:
    """An empty folder for a video, where nothing or an earlier rendering is. Raises DemoError for anything else."""
    if (folder / _RENDERED_NAME).is_file():
        shutil.rmtree(folder)
    elif folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DemoError(
            f"'{folder}' was not rendered by this command (it has no {_RENDERED_NAME}) and stays as it is: "
            "choose another --out for the rendered video"
        )
    folder.mkdir(parents=True, exist_ok=True)


def play_and_map(options: DemoOptions, source: str, length: int | None, description: str) -> DemoReport:
    """Player and node in processes of their own, over DDS in a domain of their own; leaves map and trajectory."""
    from slam3r_ros.ros.tools.player import PlayReport
    from slam3r_ros.ros.tools.recorder import Recorder

    prepare_environment()
    played, log = options.out / "played.json", options.out / "node.log"
    try:
        with Recorder() as recorder, running(node_command(options), log) as node:
            wait_until_active(recorder, node, log)
            with running(player_command(options, source, played), options.out / "player.log") as player:
                follow(recorder, node, player, length, options.out)
            wait_until_drained(recorder)
            saved = recorder.save_map(str(options.out), _STOP_LIMIT_S)
            if not saved.success:
                raise DemoError(saved.message)
            for name in (_PICTURE_NAME, _REPORT_NAME):  # those of an earlier map
                (options.out / name).unlink(missing_ok=True)
            stop(node, log)
        return measure(options, description, source, PlayReport.read(played), recorder)
    except TimeoutError as error:
        raise DemoError(f"{error}; see {log}") from error


def prepare_environment() -> None:
    """A domain of our own and a transport without loss, for this process and those it starts."""
    from slam3r_ros.ros.input.transport import choose_transport, installed_profiles, socket_limit

    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    transport = choose_transport(os.environ, socket_limit(), installed_profiles(), closed=True)
    os.environ.update(transport.variables)


def node_command(options: DemoOptions) -> list[str]:
    """The node as its launcher starts it."""
    parameters = [f"weights:={options.weights}", f"status_period:={_STATUS_PERIOD_S}", *options.parameters]
    remappings = [f"image:={_TOPIC}", "camera_info:=/camera/camera_info"]
    given = [word for text in parameters for word in ("-p", text)] + [
        word for text in remappings for word in ("-r", text)
    ]
    return [sys.executable, "-m", "slam3r_ros.ros", "--ros-args", *given]


def player_command(options: DemoOptions, source: str, played: Path) -> list[str]:
    """The player, which begins when the node takes images."""
    command = [sys.executable, "-m", "slam3r_ros.cli.main", "play", source, "--topic", _TOPIC, "--wait-for-subscriber"]
    rate = [] if options.rate_hz is None else ["--rate", str(options.rate_hz)]
    topic = [] if options.bag_topic is None else ["--bag-topic", options.bag_topic]
    return [*command, "--report", str(played), *rate, *topic]


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose output goes to a file; killed at the end if it still runs."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def wait_until_active(recorder: Recorder, node: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the node's first status. Raises DemoError with the node's own words if it does not start."""
    end = time.monotonic() + _START_LIMIT_S
    while recorder.record.status is None:
        text = log.read_text(errors="replace")
        if node.poll() is not None or "not configured:" in text or time.monotonic() > end:
            raise DemoError(f"the node did not start: {text.strip().splitlines()[-1:] or ['no output']} (see {log})")
        time.sleep(0.05)


def follow(
    recorder: Recorder, node: subprocess.Popen[bytes], player: subprocess.Popen[bytes], length: int | None, out: Path
) -> None:
    """Show the progress until the player has ended. Raises DemoError if a process fails."""
    with tqdm(total=length, unit="frame", desc="mapping", mininterval=0.2) as bar:
        while player.poll() is None:
            if node.poll() is not None:
                raise DemoError(f"the node ended with status {node.returncode}: see {out / 'node.log'}")
            show(bar, recorder)
            time.sleep(0.1)
        show(bar, recorder)
    if player.returncode != 0:
        said = (out / "player.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise DemoError(f"the player ended with status {player.returncode}: {''.join(said)}")


def show(bar: tqdm, recorder: Recorder) -> None:
    """Bring the progress bar up to the newest status."""
    status = recorder.record.status
    if status is not None:
        bar.update(max(0, status.frames_received - bar.n))
        bar.set_postfix_str(
            f"{status.state_name.lower()}, {status.frame_rate:.1f} frames/s, {status.map_points} points", refresh=False
        )


def wait_until_drained(recorder: Recorder) -> None:
    """Wait until the node has answered every image and says nothing new. Raises TimeoutError."""
    end, quiet_since, seen = time.monotonic() + _DRAIN_LIMIT_S, time.monotonic(), -1
    while time.monotonic() - quiet_since < 5 * _STATUS_PERIOD_S:
        if time.monotonic() > end:
            raise TimeoutError(f"the node is still busy {_DRAIN_LIMIT_S:.0f} s after the last image")
        status = recorder.record.status
        now = 0 if status is None else status.frames_processed + status.frames_rejected + status.frames_registered
        if now != seen:
            seen, quiet_since = now, time.monotonic()
        time.sleep(0.05)


def stop(node: subprocess.Popen[bytes], log: Path) -> None:
    """Ctrl-C. Raises DemoError if the node does not end cleanly."""
    node.send_signal(signal.SIGINT)
    try:
        status = node.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise DemoError(f"the node did not end within {_STOP_LIMIT_S:.0f} s of SIGINT: see {log}") from error
    if status != 0:
        raise DemoError(f"the node ended with status {status}: see {log}")


def measure(options: DemoOptions, description: str, source: str, played: PlayReport, recorder: Recorder) -> DemoReport:
    """The report, from what the player sent and the recorder saw."""
    record, status = recorder.record, recorder.record.status
    assert status is not None
    sent = len(played.stamps_ns)
    median, slow = latency_percentiles(record.poses)
    tracked_since_ns = record.poses[0].arrival_ns if record.poses else 0
    tracking_median, tracking_slow = latency_percentiles([p for p in record.poses if p.stamp_ns > tracked_since_ns])
    seconds = max(played.seconds, 1e-9)
    return DemoReport(
        source=description,
        weights=options.weights,
        frames_sent=sent,
        frames_received=status.frames_received,
        frames_lost_in_transport=sent - status.frames_received,
        frames_processed=status.frames_processed,
        frames_dropped=status.frames_dropped,
        frames_rejected=status.frames_rejected,
        frames_tracked=len(record.poses),
        seconds=played.seconds,
        frames_sent_per_second=max(sent - 1, 0) / seconds,
        frames_processed_per_second=max(status.frames_processed - 1, 0) / seconds,
        latency_p50_ms=median,
        latency_p95_ms=slow,
        tracking_latency_p50_ms=tracking_median,
        tracking_latency_p95_ms=tracking_slow,
        state=status.state_name,
        reason=status.reason,
        map_points=status.map_points,
        keyframes=status.keyframes,
        memory_mib=status.memory_resident_bytes >> 20,
        trajectory_error=error_against_truth(options.out / TRAJECTORY_NAME, source, played),
    )


def latency_percentiles(poses: Sequence[Arrived]) -> tuple[float | None, float | None]:
    """The 50th and the 95th percentile of their latencies, milliseconds; None without poses."""
    if not poses:
        return None, None
    median, slow = np.percentile([pose.latency_ms for pose in poses], [50, 95]).tolist()
    return median, slow


def error_against_truth(trajectory: Path, source: str, played: PlayReport) -> TrajectoryError | None:
    """Compare with the source's poses.txt, by the stamps that its images were published with; None without one."""
    file = Path(source) / "poses.txt"
    if not file.is_file():
        return None
    try:
        recorded = {pose.stamp_ns: pose.T_world_camera for pose in read_trajectory(file)}
    except FileFormatError:
        return None
    truth: dict[int, NDArray[np.float64]] = {
        stamp: recorded[original]
        for stamp, original in zip(played.stamps_ns, played.recorded_ns, strict=True)
        if original in recorded
    }
    return trajectory_error(read_trajectory(trajectory), truth)
