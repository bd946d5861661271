"""A film of a map: ``slam3r_ros film RESULT --out map.mp4``."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from slam3r_ros.cli.map_result import map_file_in
from slam3r_ros.cli.progress import Progress
from slam3r_ros.film.film import VIEWS, FilmOptions, make_film
from slam3r_ros.io.arguments import not_negative, positive
from slam3r_ros.io.files import FileFormatError, OutputError
from slam3r_ros.io.save import NothingMappedError
from slam3r_ros.io.stop_signals import stop_on_signals
from slam3r_ros.io.terminal import say
from slam3r_ros.map_file.reader import MapFile

_LEAST_PX, _MOST_PX = 160, 7680
"""The smallest and the largest width and height of a film."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_ros film``."""
    parser.add_argument("result", type=Path, help="map file NAME.slam3r, or a folder that holds one")
    parser.add_argument("--out", type=Path, help="the film (default: NAME.mp4 beside the map file)")
    parser.add_argument(
        "--view", choices=VIEWS, default="growing",
        help="growing: the map as it grows, beside the input; path: along the camera's path; above: as it grows, from "
        "above; orbit: a turn around the map (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=film_size, default=(1920, 1080), metavar="WxH", help="pixels (default: 1920x1080)"
    )
    parser.add_argument("--fps", type=positive, default=30.0, help="pictures a second (default: %(default)g)")
    parser.add_argument(
        "--seconds", type=positive, help="duration (default: that of the recording, from 6 to 40; orbit: 12)"
    )
    parser.add_argument(
        "--confidence", type=not_negative, default=0.0, metavar="C", help="leave out points below this confidence"
    )


def main(arguments: argparse.Namespace) -> int:
    """Make the film; 1 where there is nothing to show or the file cannot be read, 2 where it cannot be written, 128 + N
    if signal N ended it (130: Ctrl-C): then the film ends with the last picture that was done."""
    width, height = arguments.size
    options = FilmOptions(arguments.view, width, height, arguments.fps, arguments.seconds, arguments.confidence)
    try:
        source = map_file_in(arguments.result.expanduser())
        out = source.with_suffix(".mp4") if arguments.out is None else arguments.out.expanduser()
        progress = Progress(f"film '{options.view}'", None, "picture")
        with MapFile(source) as file, stop_on_signals(second_interrupts=True) as stop, progress:

            def show(done: int, total: int) -> bool:
                progress.total = total
                progress.update(done)
                return not stop.is_set()

            count = make_film(file.reconstruction(), out, options, show)
    except (FileFormatError, NothingMappedError) as error:
        say(f"slam3r_ros film: {error}", is_trouble=True)
        return 1
    except OutputError as error:
        say(f"slam3r_ros film: {error}", is_trouble=True)
        return 2
    say(f"{count} pictures of {width} x {height}, {count / options.fps:.1f} s, in {out}")
    return stop.exit_status


def film_size(text: str) -> tuple[int, int]:
    """Width and height from WxH; raises argparse.ArgumentTypeError. H.264 takes even numbers only."""
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(_LEAST_PX <= side <= _MOST_PX and side % 2 == 0 for side in size):
        raise argparse.ArgumentTypeError(
            f"expected WIDTHxHEIGHT, even numbers from {_LEAST_PX} to {_MOST_PX}, got '{text}'"
        )
    return size
