"""A source played as a camera topic to the real node: ``slam3r_ros demo [SOURCE] [--out DIRECTORY]``."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.cli.demo_page import USUAL_PORT, live_page, page_port
from slam3r_ros.cli.demo_report import DemoReport, StepTimes, transport_errors
from slam3r_ros.cli.demo_results import (
    FILM_NAME,
    GLB_NAME,
    MAP_FILE_NAME,
    PICTURE_NAME,
    make_results,
    set_former_map_aside,
)
from slam3r_ros.cli.process_guard import guarding
from slam3r_ros.cli.progress import Progress
from slam3r_ros.cli.trajectory_error import Comparison, compare_with_truth
from slam3r_ros.io.arguments import parameter_assignment, positive
from slam3r_ros.io.files import FileFormatError, OutputError, make_writable
from slam3r_ros.io.save import MAP_NAME, TRAJECTORY_NAME
from slam3r_ros.io.sources import SourceError, open_source
from slam3r_ros.io.sources.example import EXAMPLE
from slam3r_ros.io.stop_signals import stop_on_signals
from slam3r_ros.io.terminal import say
from slam3r_ros.io.tum import read_trajectory

if TYPE_CHECKING:
    from slam3r_ros.ros.tools.player import PlayReport
    from slam3r_ros.ros.tools.recorder import ReceivedMessage, Recorder

_REPORT_NAME = "report.json"
_RESULTS = (MAP_NAME, TRAJECTORY_NAME, MAP_FILE_NAME, PICTURE_NAME, GLB_NAME, FILM_NAME, _REPORT_NAME)
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

    source: str
    """A video, a directory of images or of a video, or a bag."""
    out: Path
    weights: str
    rate_hz: float | None
    parameters: tuple[str, ...]
    """NAME:=VALUE of the node."""
    bag_topic: str | None = None
    """Which images of a bag that has several topics of them."""
    view: bool = False
    """Whether the page stays open at the end."""
    port: int = USUAL_PORT
    """TCP port of the page."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_ros demo``."""
    parser.add_argument(
        "source",
        nargs="?",
        default=str(EXAMPLE),
        help="video, directory of images or bag (default: a clip of a room, with its truth)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="directory for the results (default: %(default)s)"
    )
    parser.add_argument(
        "--weights",
        default="embedded",
        help="'embedded', a directory or a hub id (default: %(default)s)",
    )
    parser.add_argument("--rate", type=positive, metavar="HZ", help="images a second (default: as recorded)")
    parser.add_argument("--bag-topic", help="image topic inside a bag that has several")
    parser.add_argument("--view", action="store_true", help="keep the page open at the end, until Ctrl-C")
    parser.add_argument(
        "-p",
        dest="parameters",
        action="append",
        default=[],
        type=parameter_assignment,
        metavar="NAME:=VALUE",
        help="parameter of the node",
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the demo; 1 if something failed on the way, 2 if the source cannot be opened, 128 + N after signal N."""
    import slam3r_ros.ros.tools.recorder  # noqa: F401  here, so that nothing is made where there is no ROS

    options = DemoOptions(
        source=arguments.source,
        out=arguments.out.absolute(),
        weights=arguments.weights,
        rate_hz=arguments.rate,
        parameters=tuple(arguments.parameters),
        bag_topic=arguments.bag_topic,
        view=arguments.view,
        port=page_port(),
    )
    former = results_in(options.out)
    with stop_on_signals(process_ends=False, second_interrupts=True) as stop:
        try:
            with stop.interrupting():
                return show_demo(options, former)
        except KeyboardInterrupt:
            saved = sorted(name for name, _ in results_in(options.out).items() - former.items())
            say(f"slam3r_ros demo: interrupted; saved: {', '.join(saved) or 'nothing'}", is_trouble=True)
            return stop.exit_status


def show_demo(options: DemoOptions, former: dict[str, int]) -> int:
    """Run the demo and print its report, or what has failed; returns the exit status. ``former`` are the results that
    were there before."""
    from slam3r_ros.ros.start import RosStartError

    try:
        make_writable(options.out)
    except OutputError as error:
        say(f"slam3r_ros demo: {error}", is_trouble=True)
        return 2
    try:
        report = run_demo(options)
    except (SourceError, RosStartError) as error:
        say(f"slam3r_ros demo: {error}", is_trouble=True)
        return 2
    except (DemoError, OutputError, OSError) as error:
        say(f"slam3r_ros demo: {error}", is_trouble=True)
        old = sorted(name for name, _ in former.items() & results_in(options.out).items())
        if old:
            say(f"slam3r_ros demo: from before, not of this demo: {', '.join(old)} in {options.out}", is_trouble=True)
        return 1
    say(report.text())
    say(f"{', '.join(sorted(results_in(options.out)))} are in {options.out}")
    if not options.view:
        say(f"the map in the browser again: slam3r_ros view {options.out} (make demo ARGS=--view keeps it open)")
        return 0
    from slam3r_ros.cli.view import main as view

    return view(argparse.Namespace(map=options.out, host="127.0.0.1", port=options.port, token="", open=False))


def results_in(out: Path) -> dict[str, int]:
    """The results that are there, and when each was written (ns)."""
    return {name: (out / name).stat().st_mtime_ns for name in _RESULTS if os.path.isfile(out / name)}


def run_demo(options: DemoOptions) -> DemoReport:
    """Play and map, save, measure, draw. Raises DemoError, SourceError, OutputError."""
    with open_source(options.source, rate_hz=options.rate_hz, topic=options.bag_topic) as opened:
        length, description, rate_hz = opened.length, opened.description, opened.rate_hz
    steps = StepTimes()
    expected = "" if length is None else f"about {length / rate_hz:.0f} s, as recorded"
    report, comparison = play_and_map(options, length, description, steps, expected)
    report.write(options.out / _REPORT_NAME)
    truth = None if comparison is None else comparison.truth
    title = f"slam3r_ros: {report.source}, weights '{report.weights}'"
    with steps.step("picture, model and film", "about as long as the playing"):
        results = make_results(options.out, title, truth)
    for problem in results.problems:
        say(f"slam3r_ros demo: {problem}", is_trouble=True)
    say(f"made of the map: {results.text()}")
    return report


def play_and_map(
    options: DemoOptions, length: int | None, description: str, steps: StepTimes, expected: str
) -> tuple[DemoReport, Comparison | None]:
    """Player and node in processes of their own, over DDS in a domain of their own; leaves map and trajectory.

    `expected` says how long the playing will take, where that is known.
    """
    from slam3r_ros.ros.tools.player import PlayReport
    from slam3r_ros.ros.tools.recorder import Recorder

    prepare_environment()
    played, log = options.out / "played.json", options.out / "node.log"
    set_former_map_aside(options.out)
    try:
        with (
            guarding() as guard,
            live_page(guard, options.out / "page.log", options.port) as page,
            Recorder() as recorder,
            guard.running(node_command(options), log) as node,
        ):
            with steps.step("start of the node", "about 10 s, most of it for loading torch and the networks"):
                wait_until_active(recorder, node, log)
            say(page.text())
            playing = guard.running(player_command(options, played), options.out / "player.log")
            with steps.step("playing", expected), playing as player:
                follow(recorder, node, player, length, options.out)
            with steps.step("saving", "a few seconds, until the node has answered every image and ended"):
                wait_until_drained(recorder)
                saved = recorder.save_map(str(options.out), _STOP_LIMIT_S)
                if not saved.success:
                    raise DemoError(saved.message)
                for name in (PICTURE_NAME, GLB_NAME, FILM_NAME, _REPORT_NAME):  # those of an earlier map
                    (options.out / name).unlink(missing_ok=True)
                stop(node, log)
        report = PlayReport.read(played)
        comparison = compare_with_source(options, report)
        errors = transport_errors(log, options.out / "player.log")
        measured = measure(options, description, report, recorder, comparison, errors)
        return replace(measured, step_seconds=steps.seconds), comparison
    except TimeoutError as error:
        raise DemoError(f"{error}; see {log}") from error


def prepare_environment() -> None:
    """A domain of our own and a transport without loss, for this process and those it starts."""
    from slam3r_ros.ros.input.dds_transport import (
        choose_transport,
        installed_profiles,
        shared_memory_room,
        socket_limit,
    )

    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    room = shared_memory_room()
    transport = choose_transport(os.environ, socket_limit(), installed_profiles(), closed=True, shared_bytes=room)
    os.environ.update(transport.variables)
    if transport.advice:
        say(
            f"slam3r_ros demo: /dev/shm has only {room >> 20} MB free, so images go through UDP: {transport.advice}",
            is_trouble=True,
        )


def node_command(options: DemoOptions) -> list[str]:
    """The node as its launcher starts it."""
    parameters = [f"weights:={options.weights}", f"status_period:={_STATUS_PERIOD_S}"]
    parameters += [f"map_file:={options.out / MAP_FILE_NAME}"]
    parameters += [f"save_on_exit:={options.out}", *options.parameters]  # whatever ends the demo
    remappings = [f"image:={_TOPIC}", "camera_info:=/camera/camera_info"]
    given = [word for text in parameters for word in ("-p", text)] + [
        word for text in remappings for word in ("-r", text)
    ]
    return [sys.executable, "-m", "slam3r_ros.ros", "--ros-args", *given]


def player_command(options: DemoOptions, played: Path) -> list[str]:
    """The player, which begins when the node takes images."""
    command = [sys.executable, "-m", "slam3r_ros.cli.main", "play", options.source]
    command += ["--topic", _TOPIC, "--wait-for-subscriber"]
    rate = [] if options.rate_hz is None else ["--rate", str(options.rate_hz)]
    topic = [] if options.bag_topic is None else ["--bag-topic", options.bag_topic]
    return [*command, "--report", str(played), *rate, *topic]


def wait_until_active(recorder: Recorder, node: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the node's first status. Raises DemoError with the node's own words if it does not start."""
    end = time.monotonic() + _START_LIMIT_S
    while recorder.record.status is None:
        if node.poll() is not None or time.monotonic() > end:
            said = log.read_text(errors="replace").strip().splitlines()
            reason = [line for line in said if "not configured:" in line] or said or ["no output"]
            raise DemoError(f"the node did not start: {reason[-1]} (see {log})")
        time.sleep(0.05)


def follow(
    recorder: Recorder, node: subprocess.Popen[bytes], player: subprocess.Popen[bytes], length: int | None, out: Path
) -> None:
    """Show the progress until the player has ended. Raises DemoError if a process fails."""
    with Progress("mapping", length, "frame") as progress:
        while player.poll() is None:
            if node.poll() is not None:
                raise DemoError(f"the node ended with status {node.returncode}: see {out / 'node.log'}")
            show(progress, recorder)
            time.sleep(0.1)
        show(progress, recorder)
    if player.returncode != 0:
        said = (out / "player.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise DemoError(f"the player ended with status {player.returncode}: {''.join(said)}")


def show(progress: Progress, recorder: Recorder) -> None:
    """Bring the progress line up to the newest status."""
    status = recorder.record.status
    if status is not None:
        progress.update(status.frames_received, f"{status.state_name.lower()}, {status.map_points} points")


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


def measure(
    options: DemoOptions,
    description: str,
    played: PlayReport,
    recorder: Recorder,
    comparison: Comparison | None,
    errors: tuple[str, ...] = (),
) -> DemoReport:
    """The report, from what the player sent and the recorder saw; `errors` are those of DDS."""
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
        trajectory_error=None if comparison is None else comparison.error,
        transport_errors=errors,
    )


def latency_percentiles(poses: Sequence[ReceivedMessage]) -> tuple[float | None, float | None]:
    """The 50th and the 95th percentile of their latencies, milliseconds; None without poses."""
    if not poses:
        return None, None
    median, slow = np.percentile([pose.latency_ms for pose in poses], [50, 95]).tolist()
    return median, slow


def compare_with_source(options: DemoOptions, played: PlayReport) -> Comparison | None:
    """Compare with the source's poses.txt, by the stamps that its images were published with; None without one."""
    file = Path(options.source) / "poses.txt"
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
    return compare_with_truth(read_trajectory(options.out / TRAJECTORY_NAME), truth)
