"""What the launch files do with their arguments; plain values, so that it can be tested without `launch`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from slam3r_ros.ros.settings import spec_of

PARAMETER_ARGUMENTS = (
    "weights",
    "device",
    "precision",
    "image_transport",
    "image_qos",
    "image_queue",
    "map_frame",
    "base_frame",
    "tf_mode",
    "invert_tf",
    "scale",
    "save_on_exit",
    "autostart",
)
"""Launch arguments that are parameters of the node; an empty one leaves the parameter file's value."""


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What a launch file gives the node."""

    parameters: tuple[tuple[str, bool | int | float | str], ...]
    """Name and value, after those of the parameter file."""
    remappings: tuple[tuple[str, str], ...]


def node_options(arguments: Mapping[str, str]) -> NodeOptions:
    """Parameters and remappings from the launch arguments' texts. Raises SettingError naming a wrong value."""
    parameters = []
    for name in PARAMETER_ARGUMENTS:
        text = arguments.get(name, "")
        if text:
            spec = spec_of(name)
            value = text if isinstance(spec.default, str) else yaml.safe_load(text)
            parameters.append((name, spec.check(value)))
    parameters.append(("use_sim_time", yaml.safe_load(arguments["use_sim_time"]) is True))
    image = arguments["image"]
    info = arguments.get("camera_info") or beside(image, "camera_info")
    return NodeOptions(tuple(parameters), (("image", image), ("camera_info", info)))


def beside(topic: str, name: str) -> str:
    """The topic of another name in the same namespace, where image_transport expects camera_info."""
    namespace, slash, _ = topic.rpartition("/")
    return f"{namespace}{slash}{name}"


def existing_file(text: str, what: str) -> Path:
    """The file that an argument names; raises FileNotFoundError saying which argument."""
    path = Path(text).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{what}: there is no '{path.absolute()}'")
    return path
