"""``slam3r_lab distributions FOLDER ...``: whether each distribution has all of ROS that this repository uses."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slam3r_lab.distributions.check import check
from slam3r_lab.distributions.sources import Distribution

_REPOSITORY = Path(__file__).resolve().parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab distributions``."""
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        help="sources of one distribution each: rclpy, launch, launch_ros, geometry2, common_interfaces, "
        "rcl_interfaces, on the distribution's branches",
    )
    parser.add_argument("--list-unknown", action="store_true", help="name what the sources do not tell")


def main(arguments: argparse.Namespace) -> int:
    """Print a row for each distribution and what it lacks; 1 if one lacks something, 2 for a folder without sources."""
    failed = False
    for folder in arguments.folders:
        try:
            report = check(_REPOSITORY, Distribution(folder))
        except FileNotFoundError as error:
            print(f"slam3r_lab distributions: {error}", file=sys.stderr)
            return 2
        print(
            f"{folder.name}: {report.uses} names, attributes and keywords and {report.methods} calls of methods; "
            f"{len(report.missing)} missing, {len(report.optional)} done without, {len(report.unknown)} not told"
        )
        for text in report.missing:
            print(f"  missing: {text}")
        for text in report.optional:
            print(f"  done without: {text}")
        for text in report.unknown if arguments.list_unknown else ():
            print(f"  not told: {text}")
        failed |= bool(report.missing)
    return int(failed)
