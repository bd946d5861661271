"""What the launch files do with their arguments, as plain values, so that it can be tested without `launch`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slam3r_ros.ros.parameters.node_settings import spec_of
from slam3r_ros.setting_spec import SettingError, SettingSpec

PARAMETER_ARGUMENTS = (
    "weights",
    "device",
    "precision",
    "image_transport",
    "image_qos",
    "image_queue",
    "map_frame",
    "map_up",
    "base_frame",
    "tf_mode",
    "odom_frame",
    "invert_tf",
    "scale",
    "scale_source",
    "tag_id",
    "tag_size",
    "publish_grid",
    "grid_base_height",
    "save_on_exit",
    "mode",
    "autostart",
)
"""Launch arguments that are parameters of the node; an empty one keeps the value of the parameter file."""


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """Parameters and remappings that a launch file gives to the node."""

    parameters: tuple[tuple[str, bool | int | float | str], ...]
    """Name and value of each parameter; they override those of the parameter file."""
    remappings: tuple[tuple[str, str], ...]
    """Name in the node and name outside of each topic."""


def node_arguments(config: Path) -> dict[str, tuple[str, str]]:
    """Return default and meaning of each argument of slam3r.launch.py; ``config`` is this package's config/ folder."""
    own = {
        "image": ("image", "image topic; with image_transport:=compressed its /compressed is taken"),
        "camera_info": ("", "camera_info topic (default: beside the image topic)"),
        "odom": ("odom", "topic of the robot's odometry, for scale_source:=odometry"),
        "depth": ("depth", "topic of depth images, for scale_source:=depth; camera_info beside them is taken"),
        "map": ("", _meaning(spec_of("map_file"))),
        "config": (str(config / "slam3r.yaml"), "parameter file"),
        "namespace": ("", "namespace of the node"),
        "use_sim_time": ("false", "take the time from /clock (true or false)"),
        "log_level": ("info", "debug, info, warn, error or fatal"),
        "rviz": ("false", "start RViz too (true or false)"),
        "rviz_config": (str(config / "slam3r.rviz"), "RViz's configuration"),
        "viewer": ("false", "show the map in the browser too, by the node slam3r_viewer (true or false)"),
        "viewer_host": ("127.0.0.1", "address on which the page listens; 0.0.0.0 for every machine in the network"),
        "viewer_port": ("8080", "TCP port of the page"),
        "viewer_token": ("", "text that the page's address must hold; auto: one is made up and printed"),
        "closed": (
            "false",
            "who publishes the images is started by this launch file too, as in replay.launch.py: Fast DDS then uses "
            "shared memory instead of UDP (true or false)",
        ),
    }
    return own | {name: ("", _meaning(spec_of(name))) for name in PARAMETER_ARGUMENTS}


def flag(arguments: Mapping[str, str], name: str) -> bool:
    """Return whether an argument is true, read as launch's own conditions do; raises SettingError naming any other."""
    text = arguments[name].strip().lower()
    if text not in ("true", "1", "false", "0"):
        raise SettingError(f"{name}: expected true or false, got '{arguments[name]}'")
    return text in ("true", "1")


def viewer_arguments(arguments: Mapping[str, str]) -> list[str]:
    """Return the command line of slam3r_viewer from the launch arguments' texts."""
    words = ["--host", arguments["viewer_host"], "--port", arguments["viewer_port"]]
    return [*words, f"--token={arguments['viewer_token']}"] if arguments["viewer_token"] else words


def node_options(arguments: Mapping[str, str]) -> NodeOptions:
    """Return parameters and remappings from the launch arguments' texts; raises SettingError naming a wrong value."""
    parameters = []
    for name in PARAMETER_ARGUMENTS:
        text = arguments.get(name, "")
        if text:
            parameters.append((name, _value(spec_of(name), text)))
    if arguments.get("map"):
        parameters.append(("map_file", str(Path(arguments["map"]).expanduser().absolute())))
    parameters.append(("use_sim_time", flag(arguments, "use_sim_time")))
    image = arguments["image"]
    info = arguments.get("camera_info") or beside(image, "camera_info")
    remappings = [("image", image), ("camera_info", info)]
    if odom := arguments.get("odom"):
        remappings.append(("odom", odom))
    if depth := arguments.get("depth"):
        remappings += [("depth", depth), ("depth/camera_info", beside(depth, "camera_info"))]
    return NodeOptions(tuple(parameters), tuple(remappings))


def beside(topic: str, name: str) -> str:
    """Return the topic of another name in the same namespace, where image_transport expects camera_info."""
    namespace, slash, _ = topic.rpartition("/")
    return f"{namespace}{slash}{name}"


def existing_file(text: str, what: str) -> Path:
    """Return the file that an argument names; raises OSError saying which argument is wrong."""
    path = existing_path(text, what)
    if path.is_dir():
        raise IsADirectoryError(f"{what}: expected a file, '{path.absolute()}' is a directory")
    return path


def existing_path(text: str, what: str) -> Path:
    """Return the file or directory that an argument names; raises FileNotFoundError saying which argument is wrong."""
    path = Path(text).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{what}: there is no '{path.absolute()}'")
    return path


def _meaning(spec: SettingSpec) -> str:
    unit = f" [{spec.unit}]" if spec.unit else ""
    limits = f"{spec.range_text}; " if spec.range_text else ""
    return f"{spec.meaning}{unit} ({limits}default: as in the parameter file)"


def _value(spec: SettingSpec, text: str) -> bool | int | float | str:
    """Return a parameter's value from its text; raises SettingError naming a wrong one."""
    if type(spec.default) is bool:
        return flag({spec.name: text}, spec.name)
    return spec.parse(text)
