"""Map a source without ROS: ``slam3r_ros run SOURCE --out DIRECTORY``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from slam3r_ros.cli.map_session import MapSession
from slam3r_ros.cli.progress import Progress
from slam3r_ros.engine.events import Update
from slam3r_ros.engine.failures import engine_failure
from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.files import OutputError
from slam3r_ros.io.save import NothingMappedError, map_files, prepare_map_files, save_map
from slam3r_ros.io.sources import Source, SourceError, open_source
from slam3r_ros.io.stop_signals import StopRequest, stop_on_signals
from slam3r_ros.io.terminal import say
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.map_file.facts import MapFacts
from slam3r_ros.networks.attention import BackendError
from slam3r_ros.networks.errors import WeightsError
from slam3r_ros.networks.graph_capture import with_cuda_graphs
from slam3r_ros.networks.weights import load_networks
from slam3r_ros.setting_spec import SettingError, SettingValue, specs_of
from slam3r_ros.settings import SlamSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_ros run``."""
    parser.add_argument(
        "source",
        help="video file, .mcap or .db3 bag, directory of images or of rgb/ (with intrinsics.txt, timestamps.txt or "
        "poses.txt for the stamps, where they are)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("slam3r_map"),
        help="directory for map.ply, trajectory.tum and the map file map.slam3r, or a file NAME.ply, NAME.pcd or "
        "NAME.slam3r (default: %(default)s)",
    )
    parser.add_argument(
        "--map",
        type=Path,
        metavar="FILE",
        help="map file NAME.slam3r of an earlier session to go on from: it is localized in that map and extends it",
    )
    parser.add_argument(
        "--localize", action="store_true", help="only localize the camera in the map of --map, and leave that as it is"
    )
    parser.add_argument(
        "--weights",
        default="embedded",
        help="'embedded', a directory or a hub id (default: %(default)s)",
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
    """Map the source and write the files; 1 if nothing could be mapped or the engine failed, 2 if something given
    cannot be used, 128 + N if signal N ended it (130: Ctrl-C). What was mapped until then is written in every case."""
    try:
        settings = offline_settings(arguments.settings)
        with open_source(arguments.source, topic=arguments.topic, rectified=arguments.rectified) as source:
            folder = map_files(arguments.out)[0].parent
            is_new = not folder.exists()
            prepare_map_files(arguments.out)
            networks = load_networks(arguments.weights, device=arguments.device, precision=arguments.precision)
            slam = Slam(with_cuda_graphs(networks), settings)
            session = MapSession.begin(slam, MapFacts.of(networks, slam.settings), arguments)
            with stop_on_signals(process_ends=False, second_interrupts=True) as stop, session:
                try:
                    outcome = map_source(slam, source, stop, session.take)
                except Exception:  # of a kind that nobody has foreseen: it is shown when the map is safe
                    engine_failure(slam.flush)
                    with suppress(NothingMappedError):
                        saved = save_map(slam, arguments.out, session.scale.metres_per_unit)
                        _say_trouble(f"an unforeseen error; what is mapped is saved in {saved.map_path}")
                    raise
                saved = save_map(slam, arguments.out, session.scale.metres_per_unit)
                written = session.finish()
    except NothingMappedError as error:
        say(f"slam3r_ros run: {error}; {slam.status().reason}", is_trouble=True)
        if is_new:
            with suppress(OSError):  # somebody has put something there
                folder.rmdir()
        return outcome or 1
    except (SettingError, WeightsError, BackendError, SourceError, OutputError, MapFileError) as error:
        for each in (error.__context__, error):  # the disk may refuse the points and then the map file, too
            if each is error or isinstance(each, OutputError):
                _say_trouble(str(each))
        return 2
    say(f"{saved.point_count} points in {saved.map_path}, {saved.pose_count} poses in {saved.trajectory_path}")
    if written is not None:
        say(f"{written.keyframe_count} keyframes in {written.path}")
    if not slam.is_localized:
        _say_trouble(f"not localized: nothing in the images was found again in '{arguments.map}'")
        return outcome or 1
    return outcome


def _say_trouble(text: str) -> None:
    say(f"slam3r_ros run: {text}", is_trouble=True)


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


def map_source(slam: Slam, source: Source, stop: StopRequest, take: Callable[[Update], None]) -> int:
    """Push every frame of a source, with a progress bar, and flush; ``take`` is called with every event. Returns 0, 1
    where the engine failed, or 128 and the number of the signal that ended it."""

    def take_all(step: Callable[[], list[Update]]) -> None:
        for event in step():
            take(event)

    started, count, failure = time.monotonic(), 0, ""
    with Progress(source.description, source.length, "frame") as progress:
        for frame in source:
            if stop.is_set():
                progress.message("interrupted: what is mapped is saved (Ctrl-C again to leave it)")
                break
            failure = engine_failure(partial(take_all, partial(slam.push, frame)))
            if failure:
                break
            count += 1
            status = slam.status()
            progress.update(count, f"{status.state.name.lower()}, {status.map_points} points")
        flush_failure = engine_failure(partial(take_all, slam.flush))
    failure = failure or flush_failure
    if failure:
        failure = f"the engine failed at frame {count}: {failure}; what is mapped is saved"
    for problem in [*source.problems, *([failure] if failure else [])]:
        say(f"slam3r_ros run: {problem}", is_trouble=True)
    seconds = time.monotonic() - started
    say(f"{count} frames in {seconds:.1f} s, {count / seconds:.1f} a second; {slam.status().reason}")
    return stop.exit_status or (1 if failure else 0)
