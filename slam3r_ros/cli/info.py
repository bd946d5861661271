"""What is inside a map file: ``slam3r_ros info FILE``."""

from __future__ import annotations

import argparse
from pathlib import Path

from slam3r_ros.io.files import OutputError
from slam3r_ros.io.terminal import say
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.salvage import salvage
from slam3r_ros.map_file.summary import summarise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_ros info``."""
    parser.add_argument("file", type=Path, help="map file NAME.slam3r, which may be being written")
    parser.add_argument(
        "--salvage", type=Path, metavar="NEW", help="copy what can be read of a damaged file into NEW.slam3r"
    )


def main(arguments: argparse.Namespace) -> int:
    """Print the summary, or save what can be read; 1 where the file cannot be read, 2 where nothing can be written."""
    path = arguments.file.expanduser()
    try:
        if arguments.salvage is not None:
            for line in salvage(path, arguments.salvage).lines():
                say(line)
            return 0
        with MapFile(path) as file:
            for line in summarise(file).lines():
                say(line)
        return 0
    except MapFileError as error:
        say(f"slam3r_ros info: {error}", is_trouble=True)
        return 1
    except OutputError as error:
        say(f"slam3r_ros info: {error}", is_trouble=True)
        return 2
