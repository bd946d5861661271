"""Declaring and reading the node's parameters.

``python -m slam3r_ros.ros.parameters.declaration --yaml | --markdown | --write ROOT`` prints or writes what documents
them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from slam3r_ros.ros.parameters import documents as parameter_documents
from slam3r_ros.ros.parameters.node_settings import NodeSettings, node_specs, spec_of, unknown_parameter
from slam3r_ros.setting_spec import ChangeTime, SettingError, SettingSpec

_LARGEST = {int: 2**63 - 1, float: sys.float_info.max}
"""The largest value of a parameter's type, for ranges that have one bound."""
_ROS_OWN = ("use_sim_time", "start_type_description_service")
"""Parameters that rclpy declares itself."""
_ROS_OWN_PREFIX = "qos_overrides."
"""Prefix of the parameters by which rclpy lets users change qualities of service."""


@dataclass(slots=True)
class DeclaredParameters:
    """The parameters of a node, declared from their one definition in `node_settings`."""

    node: Node
    """The node that has declared them."""
    invalid: dict[str, str]
    """Why a value that was given at start cannot be used, by the parameter's name: one sentence each."""

    def read(self) -> NodeSettings:
        """Return the present values; raises SettingError naming every one that cannot be used."""
        if self.invalid:
            raise SettingError("; ".join(self.invalid.values()))
        return NodeSettings.from_values({spec.name: self.node.get_parameter(spec.name).value for spec in node_specs()})

    def accept(self, parameters: Sequence[Parameter], times: Set[ChangeTime]) -> SetParametersResult:
        """Decide whether the node takes these new values, all or none; the reason of a rejection names the parameter.

        ``times``: when the parameters have to be allowed to change for the node to take another value now.
        """
        own = {p.name: p.value for p in parameters if not _is_ros_own(p.name)}
        present = {
            spec.name: self.node.get_parameter(spec.name).value
            for spec in node_specs()
            if self.node.has_parameter(spec.name)
        }
        try:
            checked = {name: spec_of(name).check(value) for name, value in own.items()}
            changed = [name for name, value in checked.items() if value != present.get(name)]
            if fixed := [name for name in changed if spec_of(name).change_time not in times]:
                raise SettingError("; ".join(map(_what_to_do_first, fixed)))
            NodeSettings.from_values(present | checked)
        except SettingError as error:
            return SetParametersResult(successful=False, reason=str(error))
        for name in own:
            self.invalid.pop(name, None)
        return SetParametersResult(successful=True)


def names_for_every_node(words: Sequence[str]) -> set[str]:
    """Return the names of the parameters that parameter files on a command line give to every node, as under ``/**``.

    A file that cannot be read is passed over: rclpy has refused it before.
    """
    paths = [after for word, after in pairwise(words) if word == "--params-file"]
    paths += [word.partition("=")[2] for word in words if word.startswith("--params-file=")]
    names: set[str] = set()
    for path in paths:
        with suppress(OSError, ValueError, yaml.YAMLError):
            names |= {name for node, name in _given_names(yaml.safe_load(Path(path).read_text())) if "*" in node}
    return names


def _given_names(content: object, node: str = "") -> Iterator[tuple[str, str]]:
    """Yield node and dotted name of each parameter in the content of a parameter file."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if key == "ros__parameters":
            yield from ((node, name) for name in _dotted_names(value))
        else:
            yield from _given_names(value, str(key).rpartition("/")[2])


def _dotted_names(values: object, prefix: str = "") -> Iterator[str]:
    for key, value in values.items() if isinstance(values, dict) else ():
        yield from _dotted_names(value, f"{prefix}{key}.") if isinstance(value, dict) else (f"{prefix}{key}",)


def declare_parameters(node: Node, for_every_node: Set[str] = frozenset()) -> DeclaredParameters:
    """Declare every parameter with description and range, at the value given at start where that can be used.

    ``node`` must have been made with ``automatically_declare_parameters_from_overrides=True``: that is how rclpy says
    which values were given, unknown ones included. Those are declared again here, or removed. An unknown one makes the
    parameters invalid, unless it is in ``for_every_node``: it may be meant for another node then, and is told.
    """
    given = {name: p.value for name, p in node.get_parameters_by_prefix("").items() if not _is_ros_own(name)}
    for name in given:
        node.undeclare_parameter(name)
    invalid: dict[str, str] = {}
    for spec in node_specs():
        value = spec.default
        if spec.name in given:
            try:
                value = spec.check(given.pop(spec.name))
            except SettingError as error:
                invalid[spec.name] = str(error)
        node.declare_parameter(spec.name, value, describe(spec), ignore_override=True)
    for name in sorted(given.keys() & for_every_node):
        node.get_logger().warning(
            f"passed over, since a parameter file gives it to every node: {unknown_parameter(name)}"
        )
    invalid |= {n: f"{unknown_parameter(n)} (start again without it)" for n in given if n not in for_every_node}
    return DeclaredParameters(node, invalid)


def describe(spec: SettingSpec) -> ParameterDescriptor:
    """Return the ROS descriptor of a parameter: its meaning with unit, and its range or choices."""
    unit = f" [{spec.unit}]" if spec.unit else ""
    descriptor = ParameterDescriptor(
        description=spec.meaning + unit,
        additional_constraints=spec.range_text,
        dynamic_typing=True,  # `DeclaredParameters.accept` rejects other types by name, rclpy would not
    )
    kind = type(spec.default)
    if kind in _LARGEST and (spec.minimum is not None or spec.maximum is not None):
        low = -_LARGEST[kind] if spec.minimum is None else spec.minimum
        high = _LARGEST[kind] if spec.maximum is None else spec.maximum
        if kind is int:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
    return descriptor


def _what_to_do_first(name: str) -> str:
    """Why a parameter cannot change now, and what has to be done first."""
    if spec_of(name).change_time is ChangeTime.WHILE_INACTIVE:
        return f"{name}: read when the node is activated; deactivate first"
    return f"{name}: read when the node is configured; deactivate first, and clean up"


def _is_ros_own(name: str) -> bool:
    return name in _ROS_OWN or name.startswith(_ROS_OWN_PREFIX)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print or write the documents of the parameters."""
    parser = argparse.ArgumentParser(
        prog="python -m slam3r_ros.ros.parameters.declaration", description="Documents of the node's parameters."
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--yaml", action="store_true", help="print config/slam3r.yaml")
    action.add_argument("--markdown", action="store_true", help="print doc/parameters.md")
    action.add_argument("--write", type=Path, metavar="ROOT", help="write both into the source tree at ROOT")
    chosen = parser.parse_args(arguments)
    if chosen.write:
        for path in parameter_documents.write_documents(chosen.write):
            print(f"wrote {path}")
    else:
        print(parameter_documents.yaml_text() if chosen.yaml else parameter_documents.markdown_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
