"""config/slam3r.yaml and the README's table of parameters, made from the one definition in `settings`."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from slam3r_ros.ros.parameters.node_settings import node_specs
from slam3r_ros.settings import SettingSpec

TABLE_BEGIN = "<!-- parameters: begin (written by `python -m slam3r_ros.ros.parameters.declaration --write .`) -->"
TABLE_END = "<!-- parameters: end -->"
_COMMAND = "python -m slam3r_ros.ros.parameters.declaration --write ."


def yaml_text() -> str:
    """The parameter file with every parameter at its default, commented."""
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


def markdown_table() -> str:
    """The table of all parameters."""
    lines = ["| parameter | default | range | meaning |", "|---|---|---|---|"]
    for spec in node_specs():
        unit = f" [{spec.unit}]" if spec.unit else ""
        lines.append(f"| `{spec.name}` | `{_yaml_value(spec.default)}` | {spec.range_text} | {spec.meaning}{unit} |")
    return "\n".join(lines) + "\n"


def write_documents(root: Path) -> list[Path]:
    """Write both into a source tree; returns the files that changed.

    Raises ValueError if the README lacks the table's marks.
    """
    readme = root / "README.md"
    texts = {root / "config" / "slam3r.yaml": yaml_text()}
    if readme.is_file():
        texts[readme] = with_table(readme.read_text())
    changed = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
    for path in changed:
        path.write_text(texts[path])
    return changed


def with_table(text: str) -> str:
    """A document with what lies between the table's marks replaced; raises ValueError if they are not there."""
    before, begin, rest = text.partition(TABLE_BEGIN)
    _, end, after = rest.partition(TABLE_END)
    if not begin or not end:
        raise ValueError(f"expected the lines '{TABLE_BEGIN}' and '{TABLE_END}' around the table of parameters")
    return f"{before}{TABLE_BEGIN}\n{markdown_table()}{TABLE_END}{after}"


def _comment(spec: SettingSpec) -> list[str]:
    unit = f" [{spec.unit}]" if spec.unit else ""
    limits = f" ({spec.range_text})" if spec.range_text else ""
    return textwrap.wrap(f"{spec.meaning}{unit}{limits}", 110, initial_indent="# ", subsequent_indent="# ")


def _yaml_value(value: bool | int | float | str) -> str:
    """JSON's spelling is YAML's; small floats need a dot for YAML 1.1 to read them as floats."""
    if isinstance(value, float) and "e" in repr(value):
        return f"{value:f}"
    return json.dumps(value)
