"""The parameter file config/slam3r.yaml and the reference doc/parameters.md, generated from the settings' definitions.

The definitions are the dataclasses of ``slam3r_ros/settings.py`` and ``node_settings.py``; a test compares both files
with what is generated here.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from slam3r_ros.ros.parameters.node_settings import node_specs
from slam3r_ros.setting_spec import SettingSpec

_COMMAND = "python -m slam3r_ros.ros.parameters.declaration --write ."
"""The command that writes both files."""


def yaml_text() -> str:
    """Return the parameter file with every parameter at its default, commented."""
    lines = [
        "# Every parameter of the slam3r node at its default.",
        f"# Written by `{_COMMAND}` from slam3r_ros/ros/parameters/node_settings.py and slam3r_ros/settings.py.",
        "/**:",
        "  ros__parameters:",
    ]
    stage = ""
    for spec in node_specs():
        own_stage, _, name = spec.name.rpartition(".")
        if own_stage != stage:
            stage = own_stage
            lines += ["", f"    {stage}:"]
        indent = "      " if own_stage else "    "
        lines += [f"{indent}{line}" for line in _comment(spec)]
        lines += [f"{indent}{name}: {_yaml_value(spec.default)}"]
    return "\n".join(lines) + "\n"


def markdown_text() -> str:
    """Return the reference of all parameters in Markdown: a table of the node's and one of each stage of the engine."""
    lines = [
        "# Parameters of the node",
        "",
        f"This file is written by `{_COMMAND}` from",
        "`slam3r_ros/ros/parameters/node_settings.py` and `slam3r_ros/settings.py`: edit those, not this. The node",
        "reads its parameters when it is configured; it refuses unknown names and values out of range with a message",
        "that names them. `config/slam3r.yaml` holds every parameter at its default: copy it, and give the copy to the",
        "launch file as `config:=FILE`.",
        "",
        "The column *set* says when a parameter can be set (`ros2 param set /slam3r NAME VALUE`): *at any time*, and",
        "it holds from the next keyframe or message on; *while inactive*, and it holds from the next activation on; or",
        "only *before configuring*. At another time the node refuses, and says what has to be done first. Several",
        "parameters in one request of `~/set_parameters_atomically` are all taken, or none.",
    ]
    stage = None
    for spec in node_specs():
        own_stage = spec.name.rpartition(".")[0]
        if own_stage != stage:
            stage = own_stage
            title = f"The engine: `{stage}`" if stage else "The node"
            lines += ["", f"## {title}", "", "| parameter | default | range | set | meaning |", "|---|---|---|---|---|"]
        unit = f" [{spec.unit}]" if spec.unit else ""
        facts = (f"`{spec.name}`", f"`{_yaml_value(spec.default)}`", spec.range_text, spec.change_time.value)
        lines.append(f"| {' | '.join(facts)} | {spec.meaning}{unit} |")
    return "\n".join(lines) + "\n"


def write_documents(root: Path) -> list[Path]:
    """Write both files into the source tree at ``root``; returns those that have changed."""
    texts = {root / "config" / "slam3r.yaml": yaml_text(), root / "doc" / "parameters.md": markdown_text()}
    changed = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
    for path in changed:
        path.write_text(texts[path])
    return changed


def _comment(spec: SettingSpec) -> list[str]:
    unit = f" [{spec.unit}]" if spec.unit else ""
    limits = f" ({spec.range_text})" if spec.range_text else ""
    return textwrap.wrap(f"{spec.meaning}{unit}{limits}", 110, initial_indent="# ", subsequent_indent="# ")


def _yaml_value(value: bool | int | float | str) -> str:
    """Return a value as YAML, in JSON's spelling; small floats need a dot for YAML 1.1 to read them as floats."""
    if isinstance(value, float) and "e" in repr(value):
        return f"{value:f}"
    return json.dumps(value)
