"""The node's parameters: those of the node itself, defined here, and the engine's settings."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from slam3r_ros.networks.weights import AUTO
from slam3r_ros.setting_spec import SettingError, SettingSpec, check_values, setting, specs_of, with_values
from slam3r_ros.settings import SlamSettings

LEAST_SCALE = 1e-6
"""Smallest scale that is not 0: far below it lengths would vanish in a float of 32 bits."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Every parameter of the node. Names of the node's own have no dot; those of the engine are ``<stage>.<name>``."""

    autostart: bool = setting(True, "configure and activate at start, without a lifecycle manager")
    weights: str = setting(
        AUTO,
        "'auto': the published networks where they are on this machine, else 'embedded'; 'embedded'; 'embedded-large'; "
        "a directory with i2p/ and l2w/; or a hub id such as 'siyan824/slam3r', downloaded if need be",
    )
    device: str = setting("auto", "where the networks run: auto, cpu, cuda, cuda:1 ...")
    precision: str = setting(
        "auto",
        "of the networks; auto: float16 on CUDA, float32 elsewhere",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    attention: str = setting("auto", "attention backend", choices=("auto", "sdpa", "xformers", "plain"))
    threads: int = setting(
        1,
        "CPU threads of the networks; more help large networks only, and take cores from camera and DDS; "
        "0 leaves the choice to torch",
        minimum=0,
        maximum=1024,
    )

    image_transport: str = setting("raw", "raw: `image`; compressed: `image/compressed`", choices=("raw", "compressed"))
    image_qos: str = setting(
        "sensor_data",
        "sensor_data (best effort) takes images from any camera; reliable only from reliable ones",
        choices=("sensor_data", "reliable"),
    )
    image_queue: int = setting(
        3,
        "newest images kept while the engine is busy; older ones are dropped. Some are worth having where frames "
        "differ in what they cost, as with image tracks; 1 answers soonest where each takes longer than the camera",
        unit="images",
        minimum=1,
        maximum=100,
    )
    rectified: bool = setting(
        False, "the images are rectified: take the intrinsics of camera_info's P, without distortion"
    )
    image_timeout: float = setting(
        5.0, "time without an image after which diagnostics warn", unit="s", minimum=0.1, maximum=3600
    )
    flush_after: float = setting(
        2.0,
        "time without an image after which frames that wait for later ones are answered; 0: never",
        unit="s",
        minimum=0,
        maximum=3600,
    )
    time_jump: float = setting(
        1.0,
        "an image older than the newest by more than this resets the map; by less, it is dropped",
        unit="s",
        minimum=0,
        maximum=3600,
    )

    map_frame: str = setting("map", "frame of map, poses and TF: x forward, y left, z up at the first camera")
    base_frame: str = setting(
        "", "frame that TF and ~/odometry give the pose of, with a transform to the camera's; empty: the camera's frame"
    )
    tf_mode: str = setting(
        "map_to_base",
        "map_to_base publishes TF from map_frame to base_frame; none publishes none",
        choices=("none", "map_to_base"),
    )
    invert_tf: bool = setting(
        False, "publish TF from base_frame to map_frame instead, for a base_frame that has a parent already"
    )
    scale: float = setting(
        0.0,
        "how long a scene unit is, where that is known: everything published and saved is then in metres; 0: unknown, "
        "lengths are scene units. ~/set_scale sets it later, until the next reset",
        unit="m per scene unit",
        minimum=0,
        maximum=1e6,
    )

    map_period: float = setting(
        1.0, "least time between two publications of the whole map", unit="s", minimum=0.05, maximum=3600
    )
    path_period: float = setting(
        0.2, "least time between two publications of the path", unit="s", minimum=0, maximum=3600
    )
    path_length: int = setting(
        1000,
        "most poses in the path; at this number every second one is left out",
        unit="poses",
        minimum=2,
        maximum=100_000,
    )
    status_period: float = setting(
        1.0, "time between two publications of the status", unit="s", minimum=0.05, maximum=3600
    )
    save_path: str = setting(
        "slam3r_map.ply", "where ~/save_map writes if the request names no path; the trajectory goes beside it"
    )
    save_on_exit: str = setting(
        "",
        "where the map is saved when the node ends or is cleaned up, unless nothing is mapped and a map is there; "
        "empty: it is not saved",
    )

    slam: SlamSettings = field(default_factory=SlamSettings)

    def __post_init__(self) -> None:
        check_values(self)
        for name in ("weights", "device", "map_frame", "save_path"):
            if not getattr(self, name):
                raise SettingError(f"{name}: expected a name, got an empty one")
        for name in ("map_frame", "base_frame"):
            if getattr(self, name).startswith("/"):
                raise SettingError(f"{name}: tf2 frames have no leading slash, got '{getattr(self, name)}'")
        check_scale(self.scale)
        if self.map_frame == self.base_frame:
            raise SettingError(f"base_frame: expected another frame than map_frame, got '{self.base_frame}' for both")

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> NodeSettings:
        """Settings from values by parameter name, defaults for the rest; raises SettingError naming what is wrong."""
        checked = {name: spec_of(name).check(value) for name, value in values.items()}
        return with_values(cls(), {f"slam.{name}" if "." in name else name: value for name, value in checked.items()})


def node_specs() -> Iterator[SettingSpec]:
    """The specs of all parameters in order: the node's own, then the engine's."""
    for spec in specs_of(NodeSettings):
        yield spec if not spec.name.startswith("slam.") else _without_prefix(spec)


def spec_of(name: str) -> SettingSpec:
    """The spec of one parameter; raises SettingError for an unknown name, with the nearest known ones."""
    known = {spec.name: spec for spec in node_specs()}
    if name not in known:
        raise SettingError(unknown_parameter(name))
    return known[name]


def check_scale(value: float) -> float:
    """``value`` if it can be a scale in metres per scene unit, or 0; raises SettingError saying what was expected."""
    scale = float(spec_of("scale").check(value))
    if 0 < scale < LEAST_SCALE:
        raise SettingError(f"scale: expected 0 or {LEAST_SCALE:g} to 1e+06, got {value!r}")
    return scale


def unknown_parameter(name: str) -> str:
    """The sentence that refuses a parameter that does not exist, with the nearest names."""
    names = [spec.name for spec in node_specs()]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return f"unknown parameter '{name}'; {hint}"


def _without_prefix(spec: SettingSpec) -> SettingSpec:
    return replace(spec, name=spec.name.removeprefix("slam."))
