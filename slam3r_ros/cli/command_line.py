"""A command line of subcommands, each of which is a module that is imported only when the subcommand is asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import NoReturn

from slam3r_ros.io.terminal import ensure_standard_streams, say, silence
from slam3r_ros.networks.cpu import prepare_process
from slam3r_ros.setting_spec import nearest

_ROS_PACKAGES = {
    "ament_index_python", "builtin_interfaces", "diagnostic_msgs", "geometry_msgs", "lifecycle_msgs", "nav_msgs",
    "rcl_interfaces", "rclpy", "rosgraph_msgs", "sensor_msgs", "sensor_msgs_py", "std_msgs", "std_srvs", "tf2_msgs",
    "tf2_ros",
}  # fmt: skip
_EXTRAS = {"trimesh": "export", "viser": "viewer", "websockets": "viewer"}
"""The extra of this distribution that a module comes with."""
_OWN_MESSAGES = {"slam3r_ros.msg", "slam3r_ros.srv"}
_DISTRIBUTION = "slam3r_ros"
_WRONG_COMMAND_LINE, _INTERRUPTED, _PIPE_CLOSED = 2, 130, 141
"""Exit statuses: of a command line that cannot be understood, of Ctrl-C (128 plus the number of SIGINT), and of a pipe
that nobody reads any more (128 plus the number of SIGPIPE)."""


class _Parser(argparse.ArgumentParser):
    """A parser that names the options which are most like one that it does not know."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with status 2."""
        words = message.removeprefix("unrecognized arguments: ").split()
        name = next((word.partition("=")[0] for word in words if word.startswith("--")), "")
        options = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        hint = nearest(name, options, 1) if name and message.startswith("unrecognized arguments: ") else ""
        super().error(f"{message}; {hint}" if hint.startswith("did") else message)


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand."""

    module: str
    """The module of the subcommand. It has the functions `add_arguments(parser)` and `main(arguments)`, where the
    second takes the parsed arguments and returns the exit status. `add_arguments` may replace the description."""
    purpose: str
    """What the subcommand does, as the overview and its own help say it: half a sentence in lower case."""

    @property
    def sentence(self) -> str:
        """The purpose as a sentence."""
        return f"{self.purpose[0].upper()}{self.purpose[1:]}."


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The subcommands of a program."""

    program: str
    """The name of the program, as usage and errors show it."""
    commands: Mapping[str, Command]
    """The subcommands by name, in the order of the overview."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """A sentence for each subcommand that the program no longer has: where it went."""

    def run(self, words: Sequence[str], given: argparse.Namespace | None = None) -> int:
        """Run the subcommand that the first word names with the other words; `given` are values that its `main`
        receives beside the parsed ones.

        Returns the subcommand's exit status, 2 where there is no such subcommand or where it needs ROS and there is
        none, 130 for Ctrl-C. Raises SystemExit for --help of a subcommand and for arguments that it does not take.
        """
        ensure_standard_streams()
        try:
            os.getcwd()
        except FileNotFoundError:
            say(f"{self.program}: the folder that it was started in is gone: change to another one", is_trouble=True)
            return _WRONG_COMMAND_LINE
        prepare_process()  # before the subcommand's module imports torch
        name = words[0] if words else "--help"
        if name in ("-h", "--help"):
            say(self.overview())
            return 0 if words else _WRONG_COMMAND_LINE
        if name == "--version":
            print(f"{self.program} {version(_DISTRIBUTION)}")
            return 0
        if name == "help":
            return self.run([*words[1:2], "--help"], given)
        if name not in self.commands:
            unknown = f"unknown command '{name}'; {nearest(name, list(self.commands), 1)}"
            print(f"{self.program}: {self.moved.get(name, unknown)}", file=sys.stderr)
            return _WRONG_COMMAND_LINE
        try:
            try:
                return self._run(name, words[1:], given)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:  # whoever read what we print has gone, as head does
            silence()
            return _PIPE_CLOSED
        except KeyboardInterrupt:  # where the subcommand does not end in its own way, as while torch is being imported
            return _INTERRUPTED

    def overview(self) -> str:
        """Usage and the list of the subcommands."""
        width = max(map(len, self.commands))
        rows = [f"  {name:<{width}}  {command.purpose}" for name, command in self.commands.items()]
        heading = f"commands ({self.program} COMMAND --help tells more):"
        return "\n".join([f"usage: {self.program} COMMAND ...", "", heading, *rows])

    def _run(self, name: str, words: Sequence[str], given: argparse.Namespace | None) -> int:
        """Run a subcommand that there is."""
        command, program = self.commands[name], f"{self.program} {name}"
        try:
            module = importlib.import_module(command.module)
            parser = _Parser(prog=program, description=command.sentence)
            module.add_arguments(parser)
            return int(module.main(parser.parse_args(words, given)))
        except ModuleNotFoundError as error:
            if error.name in _EXTRAS:
                missing = f"'{error.name}' is not there: pip install 'slam3r_ros[{_EXTRAS[error.name]}]'"
                print(f"{program}: {missing}", file=sys.stderr)
                return _WRONG_COMMAND_LINE
            if error.name is None or not _is_ros(error.name):
                raise
            print(
                f"{program}: this command needs ROS 2 and this package's messages ('{error.name}' is not there): "
                "source your distribution's setup.bash and this workspace's install/setup.bash, or run 'make setup' "
                "and source environment/activate.sh",
                file=sys.stderr,
            )
            return _WRONG_COMMAND_LINE


def _is_ros(module: str) -> bool:
    return module in _OWN_MESSAGES or module.partition(".")[0] in _ROS_PACKAGES
