"""Map a source without ROS: ``slam3r_ros run SOURCE --out DIRECTORY``."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.files import OutputError, make_writable
from slam3r_ros.io.save import map_files, save_map
from slam3r_ros.io.sources import Source, SourceError, open_source
from slam3r_ros.networks.attention import BackendError
from slam3r_ros.networks.errors import WeightsError
from slam3r_ros.networks.graph_capture import replayed
from slam3r_ros.networks.weights import load_networks
from slam3r_ros.setting_spec import SettingError, SettingValue, specs_of
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import State


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_ros run``."""
    parser.add_argument(
        "source",
        help="video file, .mcap or .db3 bag, directory of images or of rgb/ (with intrinsics.txt, timestamps.txt or "
        "poses.txt for the stamps, where they are)",
    )
    parser.add_argument("--out", type=Path, default=Path("slam3r_map"), help="directory for map.ply and trajectory.tum")
    parser.add_argument(
        "--weights",
        default="embedded",
        help="'embedded', 'embedded-large', a directory or a hub id (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default: %(default)s)")
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16 or float16 (default: %(default)s)")
    parser.add_argument("--topic", help="image topic of a bag that has several")
    parser.add_argument(
        "--rectified", action="store_true",
        help="a bag's images are rectified: take the intrinsics of camera_info's P, without distortion (the default "
        "where the topic is called so, as image_rect is)",
    )  # fmt: skip
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="NAME=VALUE",
        help="a setting of the engine, for example keyframes.buffer_size=50; may be repeated. "
        "window.lookahead is -1 here unless it is set: every frame waits for its whole window",
    )  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Map the source and write the files; 1 if nothing could be mapped, 2 if something given cannot be used, 130 if
    Ctrl-C ended it (what was mapped until then is written)."""
    try:
        settings = offline_settings(arguments.settings)
        networks = load_networks(arguments.weights, device=arguments.device, precision=arguments.precision)
        slam = Slam(replayed(networks), settings)
        with open_source(arguments.source, topic=arguments.topic, rectified=arguments.rectified) as source:
            make_writable(map_files(arguments.out)[0].parent)
            is_whole = map_source(slam, source)
        if not is_whole and not slam.status().map_points:
            print("slam3r_ros run: interrupted before anything was mapped: nothing is saved", file=sys.stderr)
            return 130
        saved = save_map(slam, arguments.out)
    except (SettingError, WeightsError, BackendError, SourceError, OutputError) as error:
        print(f"slam3r_ros run: {error}", file=sys.stderr)
        return 2
    print(f"{saved.point_count} points in {saved.map_path}, {saved.pose_count} poses in {saved.trajectory_path}")
    if not is_whole:
        return 130
    status = slam.status()
    if status.state in (State.WAITING_FOR_IMAGES, State.INITIALIZING):
        print(f"slam3r_ros run: no map: {status.reason}", file=sys.stderr)
        return 1
    return 0


def offline_settings(assignments: list[str]) -> SlamSettings:
    """Settings from NAME=VALUE texts: every frame waits for its whole window. Raises SettingError."""
    return SlamSettings().with_values({"window.lookahead": -1, **setting_values(assignments)})


def setting_values(assignments: list[str]) -> dict[str, SettingValue]:
    """Values by dotted name from NAME=VALUE texts; raises SettingError for a text without =."""
    specs = {spec.name: spec for spec in specs_of(SlamSettings)}
    values: dict[str, SettingValue] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise SettingError(f"--set: expected NAME=VALUE, got '{assignment}'")
        values[name] = specs[name].parse(text) if name in specs else text  # an unknown name is refused with the values
    return values


def map_source(slam: Slam, source: Source) -> bool:
    """Push every frame of a source, with a progress bar, and flush; False if Ctrl-C ended it."""
    started, count = time.monotonic(), 0
    with (
        first_interrupt() as interrupted,
        tqdm(total=source.length, unit="frame", desc=source.description, mininterval=0.5) as bar,
    ):
        for frame in source:
            if interrupted.is_set():
                bar.write("interrupted: what is mapped is saved (Ctrl-C again to leave it)", file=sys.stderr)
                break
            slam.push(frame)
            count += 1
            bar.update()
            bar.set_postfix_str(f"{slam.status().state.name.lower()}, {slam.status().map_points} points", refresh=False)
        slam.flush()
    for problem in source.problems:
        print(f"slam3r_ros run: {problem}", file=sys.stderr)
    seconds = time.monotonic() - started
    print(f"{count} frames in {seconds:.1f} s, {count / seconds:.1f} a second; {slam.status().reason}")
    return not interrupted.is_set()


@contextmanager
def first_interrupt() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, so that the frame in work is finished; the second raises KeyboardInterrupt as ever."""
    event, usual = threading.Event(), signal.getsignal(signal.SIGINT)

    def interrupt(_number: int, _frame: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, usual)
