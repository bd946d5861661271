"""Two maps of one place become one: ``slam3r_ros merge A.slam3r B.slam3r --out C.slam3r``."""

from __future__ import annotations

import argparse
from pathlib import Path

from slam3r_ros.cli.map_result import map_file_in
from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.files import FileFormatError, OutputError
from slam3r_ros.io.terminal import say
from slam3r_ros.map_file.loading import Describe
from slam3r_ros.map_file.merging import merge_map_files
from slam3r_ros.networks.errors import WeightsError
from slam3r_ros.networks.weights import load_networks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_ros merge``."""
    parser.add_argument(
        "first", type=Path, help="map file NAME.slam3r, or a folder that holds one, whose world and scale stay"
    )
    parser.add_argument("second", type=Path, help="map file of another session that has seen some of the same places")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the map file NAME.slam3r of both")


def main(arguments: argparse.Namespace) -> int:
    """Write the map of both; 1 where a file cannot be read or they do not overlap, 2 where it cannot be written."""
    try:
        first, second = (map_file_in(each.expanduser()) for each in (arguments.first, arguments.second))
        merged = merge_map_files(first, second, arguments.out, _describe_with)
    except (FileFormatError, WeightsError) as error:
        say(f"slam3r_ros merge: {error}", is_trouble=True)
        return 1
    except OutputError as error:
        say(f"slam3r_ros merge: {error}", is_trouble=True)
        return 2
    one, other = merged.keyframe_counts
    say(
        f"{one} and {other} keyframes in {merged.path}, joined by {merged.loop_count} loops; a scene unit of the "
        f"second is {merged.scale:.3g} of the first"
    )
    return 0


def _describe_with(weights: str) -> Describe:
    """What describes places with these weights."""
    return Slam(load_networks(weights)).describe
