"""Declaring and reading the node's parameters.

``python -m slam3r_ros.ros.parameters.declaration --yaml | --markdown | --write ROOT`` prints or writes what documents
them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from slam3r_ros.ros.parameters import documents as parameter_documents
from slam3r_ros.ros.parameters.node_settings import NodeSettings, node_specs, spec_of, unknown_parameter
from slam3r_ros.setting_spec import SettingError, SettingSpec

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

    def accept(self, parameters: Sequence[Parameter], *, configured: bool) -> SetParametersResult:
        """Decide whether the node takes these new values; the reason of a rejection names the parameter."""
        own = {p.name: p.value for p in parameters if not _is_ros_own(p.name)}
        present = {
            spec.name: self.node.get_parameter(spec.name).value
            for spec in node_specs()
            if self.node.has_parameter(spec.name)
        }
        try:
            checked = {name: spec_of(name).check(value) for name, value in own.items()}
            NodeSettings.from_values(present | checked)
        except SettingError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if configured and own:
            names = ", ".join(own)
            return SetParametersResult(
                successful=False,
                reason=f"{names}: parameters are read when the node is configured; deactivate and clean it up first",
            )
        for name in own:
            self.invalid.pop(name, None)
        return SetParametersResult(successful=True)


def declare_parameters(node: Node) -> DeclaredParameters:
    """Declare every parameter with description and range, at the value given at start where that can be used.

    ``node`` must have been made with ``automatically_declare_parameters_from_overrides=True``: that is how rclpy says
    which values were given, unknown ones included. Those are declared again here, or removed.
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
    invalid.update({name: f"{unknown_parameter(name)} (start again without it)" for name in given})
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
