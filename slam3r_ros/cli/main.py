"""The command line ``slam3r_ros``: one subcommand a module, imported only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from slam3r_ros.networks.cpu import prepare_process

COMMANDS = {
    "run": ("slam3r_ros.cli.run", "map a video, image directory or bag without ROS, into files"),
    "play": ("slam3r_ros.ros.tools.player", "publish a video, image directory, bag or webcam as a camera topic"),
    "demo": ("slam3r_ros.cli.demo", "play a source to the real node and leave map, trajectory, picture and report"),
    "evaluate": (
        "slam3r_lab.commands.evaluate",
        "measure weights on sequences with truth: poses, clouds, networks, cost",
    ),
    "render": ("slam3r_lab.commands.render", "render a video of a procedural room, with truth"),
    "train": ("slam3r_lab.commands.train", "train the embedded weights"),
    "parity": ("slam3r_lab.commands.parity", "compare the networks and the engine with golden numbers"),
}
"""Module and purpose of each subcommand; a module has add_arguments(parser) and main(arguments) -> exit status."""
_ROS_MODULES = {
    "builtin_interfaces", "diagnostic_msgs", "geometry_msgs", "lifecycle_msgs", "nav_msgs", "rcl_interfaces", "rclpy",
    "rosgraph_msgs", "sensor_msgs", "slam3r_ros.msg", "slam3r_ros.srv", "std_msgs", "std_srvs", "tf2_msgs",
}  # fmt: skip
_ROS_ARGUMENTS, _END_OF_ROS_ARGUMENTS = "--ros-args", "--"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns its exit status, 2 for a command line that cannot be understood, 130 for Ctrl-C."""
    prepare_process()  # before the subcommand's module imports torch
    own, ros_arguments = split_ros_arguments(list(sys.argv[1:] if arguments is None else arguments))
    name = own[0] if own else "--help"
    if name in ("-h", "--help"):
        print(overview())
        return 0 if own else 2
    if name not in COMMANDS:
        print(f"slam3r_ros: unknown command '{name}'; known: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return run_command(name, own[1:], ros_arguments)
    except KeyboardInterrupt:  # where the command does not end in its own way, as while torch is being imported
        return 130


def run_command(name: str, arguments: list[str], ros_arguments: list[str]) -> int:
    """Run a subcommand that there is."""
    path, purpose = COMMANDS[name]
    try:
        module = importlib.import_module(path)
        parser = argparse.ArgumentParser(prog=f"slam3r_ros {name}", description=f"{purpose[0].upper()}{purpose[1:]}.")
        module.add_arguments(parser)
        parsed = parser.parse_args(arguments)
        parsed.ros_arguments = ros_arguments
        return int(module.main(parsed))
    except ModuleNotFoundError as error:
        if error.name is None or not _is_ros(error.name):
            raise
        print(
            f"slam3r_ros {name}: this command needs ROS 2 and this package's messages ('{error.name}' is not there): "
            "source your distribution's setup.bash and this workspace's install/setup.bash, or run 'make setup' and "
            "source environment/activate.sh",
            file=sys.stderr,
        )
        return 2


def overview() -> str:
    """What there is."""
    lines = ["usage: slam3r_ros COMMAND ...", "", "commands (slam3r_ros COMMAND --help tells more):"]
    return "\n".join([*lines, *(f"  {name:<8} {purpose}" for name, (_, purpose) in COMMANDS.items())])


def split_ros_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """A command line without and with what belongs to ROS: from --ros-args to the next -- or the end."""
    if _ROS_ARGUMENTS not in arguments:
        return arguments, []
    begin = arguments.index(_ROS_ARGUMENTS)
    rest = arguments[begin:]
    end = rest.index(_END_OF_ROS_ARGUMENTS) if _END_OF_ROS_ARGUMENTS in rest else len(rest)
    return arguments[:begin] + rest[end + 1 :], rest[:end]


def _is_ros(module: str) -> bool:
    return module in _ROS_MODULES or module.partition(".")[0] in _ROS_MODULES


if __name__ == "__main__":
    sys.exit(main())
