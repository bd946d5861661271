"""The command line ``slam3r_ros``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from slam3r_ros.cli.command_line import Command, CommandLine

_ROS_ARGUMENTS, _END_OF_ROS_ARGUMENTS = "--ros-args", "--"
_WITHOUT_ROS_ARGUMENTS = ("run", "demo")
"""Subcommands that are no node of their own; the demo's node gets its parameters by -p."""
COMMAND_LINE = CommandLine(
    "slam3r_ros",
    {
        "run": Command("slam3r_ros.cli.run", "map a video, image directory or bag without ROS, into files"),
        "info": Command(
            "slam3r_ros.cli.info", "tell what is inside a map file, or save what can be read of a damaged one"
        ),
        "merge": Command("slam3r_ros.cli.merge", "make one map of two that show some of the same places"),
        "view": Command("slam3r_ros.cli.view", "show a saved map in the browser"),
        "export": Command(
            "slam3r_ros.cli.export", "write a map for other programs: glTF, PLY, PCD, COLMAP, TUM or NumPy"
        ),
        "film": Command(
            "slam3r_ros.cli.film", "make a film of a map, as it grows, along the path, from above or around it"
        ),
        "play": Command(
            "slam3r_ros.ros.tools.player", "publish a video, image directory, bag or webcam as a camera topic"
        ),
        "app": Command("slam3r_ros.cli.app", "serve a page in the browser that maps what visitors upload"),
        "demo": Command(
            "slam3r_ros.cli.demo", "play a source to the real node and leave map, trajectory, picture and report"
        ),
    },
    moved={
        name: f"'slam3r_ros {name}' is 'slam3r_lab {name}' now, which 'make setup' installs in the source tree"
        for name in ("evaluate", "train", "render", "parity")
    },
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns its exit status, 2 for a command line that cannot be understood, 130 for Ctrl-C."""
    own, ros_arguments = split_ros_arguments(list(sys.argv[1:] if arguments is None else arguments))
    if ros_arguments[1:] and own and own[0] in _WITHOUT_ROS_ARGUMENTS:
        print(f"slam3r_ros {own[0]}: not used: {' '.join(ros_arguments)}", file=sys.stderr)
    return COMMAND_LINE.run(own, argparse.Namespace(ros_arguments=ros_arguments))


def split_ros_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split a command line into the words without those that belong to ROS, and the words that do.

    The latter are those from --ros-args to the next -- or to the end.
    """
    if _ROS_ARGUMENTS not in arguments:
        return arguments, []
    begin = arguments.index(_ROS_ARGUMENTS)
    rest = arguments[begin:]
    end = rest.index(_END_OF_ROS_ARGUMENTS) if _END_OF_ROS_ARGUMENTS in rest else len(rest)
    return arguments[:begin] + rest[end + 1 :], rest[:end]


if __name__ == "__main__":
    sys.exit(main())
