"""A map for other programs: ``slam3r_ros export RESULT --format FORMAT``."""

from __future__ import annotations

import argparse
from pathlib import Path

from slam3r_ros.cli.map_result import map_file_in
from slam3r_ros.export.formats import FORMATS, export
from slam3r_ros.export.scene import ExportOptions
from slam3r_ros.io.arguments import not_negative, positive, positive_integer
from slam3r_ros.io.files import FileFormatError, OutputError
from slam3r_ros.io.save import NothingMappedError
from slam3r_ros.io.terminal import say
from slam3r_ros.map_file.reader import MapFile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_ros export``."""
    parser.add_argument("result", type=Path, help="map file NAME.slam3r, or a folder that holds one")
    formats = "; ".join(f"{name}: {each.content}" for name, each in FORMATS.items())
    parser.add_argument("--format", choices=FORMATS, default="glb", help=f"(default: %(default)s) {formats}")
    parser.add_argument(
        "--out", type=Path, help="the file, or for colmap the folder (default: beside the map file, with its name)"
    )
    parser.add_argument(
        "--confidence", type=not_negative, default=0.0, metavar="C", help="leave out points below this confidence"
    )
    parser.add_argument("--max-points", type=positive_integer, metavar="N", help="at most so many points, drawn evenly")
    parser.add_argument(
        "--metres-per-unit", type=positive, metavar="M",
        help="metres of a scene unit (default: as the map file knows it; where it does not, lengths stay scene units)",
    )  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Write the export; 1 where there is nothing to export or the file cannot be read, 2 where it cannot be written."""
    options = ExportOptions(arguments.confidence, arguments.max_points, arguments.metres_per_unit)
    try:
        source = map_file_in(arguments.result.expanduser())
        out = default_target(source, arguments.format) if arguments.out is None else arguments.out.expanduser()
        with MapFile(source) as file:
            exported = export(file.reconstruction(), arguments.format, out, options)
    except (FileFormatError, NothingMappedError) as error:
        say(f"slam3r_ros export: {error}", is_trouble=True)
        return 1
    except OutputError as error:
        say(f"slam3r_ros export: {error}", is_trouble=True)
        return 2
    say(f"{exported.count} {exported.what} in {exported.path}, lengths in {exported.lengths}")
    return 0


def default_target(map_file: Path, format_name: str) -> Path:
    """Where an export goes if nothing else is said: NAME.glb beside NAME.slam3r, and NAME_colmap for a folder."""
    suffix = FORMATS[format_name].suffix
    return map_file.with_suffix(suffix) if suffix else map_file.with_name(f"{map_file.stem}_{format_name}")
