"""The node's parameters: those of the node itself, defined here, and the engine's settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from slam3r_ros.networks.hub import AUTO
from slam3r_ros.ros.parameters.frames import check_frames
from slam3r_ros.setting_spec import (
    ChangeTime,
    SettingError,
    SettingSpec,
    check_values,
    nearest,
    setting,
    specs_of,
    with_values,
)
from slam3r_ros.settings import SlamSettings

LEAST_SCALE = 1e-6
"""Smallest scale, in metres per scene unit, that is not 0: far below it lengths would vanish in a 32-bit float."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """All parameters of the node. The names of its own have no dot; those of the engine are ``<stage>.<name>``."""

    autostart: bool = setting(
        True,
        "Whether the node configures and activates itself at start, and ends with exit status 2 where it cannot. "
        "Otherwise a lifecycle manager has to do it.",
    )
    weights: str = setting(
        AUTO,
        "Which networks are loaded. 'auto' takes the published ones if they are on this machine, else 'embedded'. "
        "'embedded' comes with the package. A directory must hold i2p/ and l2w/. A hub id, such as "
        "'siyan824/slam3r', is downloaded where it is not on this machine.",
    )
    device: str = setting(
        "auto", "Device on which the networks run: cpu, cuda, cuda:1 and so on. 'auto' takes CUDA where there is a GPU."
    )
    precision: str = setting(
        "auto",
        "Floating-point type of the networks. 'auto' takes float16 on CUDA and float32 elsewhere.",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    attention: str = setting(
        "auto",
        "Implementation of attention in the networks. 'auto' takes the fastest one of this machine.",
        choices=("auto", "sdpa", "xformers", "plain"),
    )
    threads: int = setting(
        1,
        "Number of CPU threads that the networks use. More of them help large networks only, and take cores from the "
        "camera and from DDS. 0 leaves the number to torch.",
        minimum=0,
        maximum=1024,
    )

    image_transport: str = setting(
        "raw",
        "How images are transported: raw on the topic `image`, or compressed on the topic `image/compressed`.",
        choices=("raw", "compressed"),
        change_time=ChangeTime.WHILE_INACTIVE,
    )
    image_qos: str = setting(
        "sensor_data",
        "Quality of service of the image subscription. sensor_data is best effort and receives from every camera; "
        "reliable receives from cameras that publish reliably only.",
        choices=("sensor_data", "reliable"),
        change_time=ChangeTime.WHILE_INACTIVE,
    )
    image_queue: int = setting(
        3,
        "Number of images that are kept while the engine is busy; if more come the oldest ones are dropped. A few are "
        "useful where frames differ in their cost, as with visual odometry. With 1 the latency is lowest where every "
        "frame takes longer than the camera's period.",
        unit="images",
        minimum=1,
        maximum=100,
    )
    rectified: bool = setting(
        False,
        "Whether the images are rectified. The intrinsics are then those of camera_info's P, without distortion.",
    )
    image_timeout: float = setting(
        5.0,
        "Time without an image after which diagnostics warn.",
        unit="s",
        minimum=0.1,
        maximum=3600,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    flush_after: float = setting(
        2.0,
        "Time without an image after which frames that wait for later ones are mapped without these. 0 lets them wait.",
        unit="s",
        minimum=0,
        maximum=3600,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    time_jump: float = setting(
        1.0,
        "Largest time by which an image may be older than the newest one without counting as a jump of time. An older "
        "image within it is dropped; beyond it a new map is started.",
        unit="s",
        minimum=0,
        maximum=3600,
        change_time=ChangeTime.WHILE_ACTIVE,
    )

    map_frame: str = setting(
        "map",
        "Frame of map, poses and TF. Its axes are x forward, y left and z up at the first camera (REP-103).",
    )
    map_up: str = setting(
        "first_camera",
        "What makes the map upright: first_camera, the vertical axis of the first picture, as if that camera were "
        "level. base: the z axis of base_frame, as if the robot stood level. floor: the floor that keyframes see. imu: "
        "gravity on the topic `imu`. The map is turned once, as soon as the vertical is known.",
        choices=("first_camera", "base", "floor", "imu"),
    )
    base_frame: str = setting(
        "",
        "Frame whose pose TF and ~/odometry give. TF must connect it with the camera's optical frame. Empty takes the "
        "camera's optical frame itself.",
    )
    tf_mode: str = setting(
        "map_to_base",
        "Which transform is published on TF: map_to_base from map_frame to base_frame, or none. map_to_odom is for "
        "robots with odometry (REP-105): from map_frame to odom_frame, so that odom_frame to base_frame stays "
        "odometry's. It needs base_frame and a known scale. map_to_odom_to_base is for cameras without other odometry: "
        "from map_frame to odom_frame, which corrections move, and from there to base_frame by visual odometry, which "
        "never jumps.",
        choices=("none", "map_to_base", "map_to_odom", "map_to_odom_to_base"),
    )
    odom_frame: str = setting(
        "odom",
        "Frame of the robot's odometry, in which TF has base_frame, with tf_mode map_to_odom and scale_source tf. Else "
        "the frame of visual odometry: of ~/visual_odometry, and of TF with tf_mode map_to_odom_to_base.",
    )
    correction_speed: float = setting(
        0.5,
        "Largest speed at which a correction of the map, by a closed loop or an adjusted keyframe, moves the pose on "
        "~/pose, ~/odometry and TF, beside the camera's motion. 0 moves it at once, as after a loss of tracking.",
        unit="published lengths per second",
        minimum=0,
        maximum=1000,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    correction_turn: float = setting(
        0.5, "The same for its rotation.", unit="rad/s", minimum=0, maximum=1000, change_time=ChangeTime.WHILE_ACTIVE
    )
    tf_tolerance: float = setting(
        0.1,
        "Time by which the transform from map_frame to odom_frame is dated into the future, so that others can use it "
        "until the next one.",
        unit="s",
        minimum=0,
        maximum=10,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    tf_rate: float = setting(
        20.0,
        "How often the newest transform from map_frame to odom_frame is published again. 0 publishes it with each pose "
        "only.",
        unit="Hz",
        minimum=0,
        maximum=1000,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    invert_tf: bool = setting(
        False,
        "Whether TF is published from base_frame to map_frame instead, which a base_frame needs that has a parent "
        "already.",
    )
    scale: float = setting(
        0.0,
        "Length of a scene unit, where that is known: everything published and saved is then in metres. With 0 it is "
        "unknown, and lengths are scene units. ~/set_scale sets it later, until the next reset.",
        unit="m per scene unit",
        minimum=0,
        maximum=1e6,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    scale_source: str = setting(
        "none",
        "What the scale is estimated by. odometry: the topic `odom`. tf: odom_frame and base_frame on TF. depth: depth "
        "images in metres on the topic `depth`, with `depth/camera_info`. tag: an AprilTag of the family 36h11 in the "
        "picture. known: the parameter scale, which has to be given. none: nothing, scale may still be given.",
        choices=("none", "known", "odometry", "tf", "depth", "tag"),
    )
    scale_sigma: float = setting(
        0.03,
        "Standard deviation of the estimated scale, as a fraction, below which it is applied.",
        minimum=0.001,
        maximum=1,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    tag_id: int = setting(0, "Number of the AprilTag for scale_source tag.", minimum=0, maximum=586)
    tag_size: float = setting(
        0.0,
        "Length of a side of the AprilTag's black square for scale_source tag.",
        unit="m",
        minimum=0,
        maximum=100,
    )

    publish_views: bool = setting(
        True,
        "Whether keyframes are published with image, depth and confidence on ~/keyframe_view and kept for late "
        "subscribers, which the live page (slam3r_viewer) shows. Set while mapping, it begins with the next keyframe.",
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    publish_grid: bool = setting(
        False,
        "Whether the occupancy grid ~/grid is made, of the keyframes' depths. It needs lengths in metres and a map "
        "whose z axis is up.",
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    grid_resolution: float = setting(
        0.05,
        "Side of a cell of the occupancy grid.",
        unit="m",
        minimum=0.005,
        maximum=10,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    grid_min_height: float = setting(
        0.1,
        "Height above the floor from which a point is an obstacle in the grid.",
        unit="m",
        minimum=-10,
        maximum=100,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    grid_max_height: float = setting(
        1.5,
        "Height above the floor up to which a point is an obstacle in the grid; the robot passes under what is higher.",
        unit="m",
        minimum=-10,
        maximum=100,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    grid_base_height: float = setting(
        0.0,
        "Height of base_frame above the floor, for the grid; without a base_frame that of the camera.",
        unit="m",
        minimum=-10,
        maximum=100,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    grid_period: float = setting(
        1.0,
        "Shortest time between two messages of the grid.",
        unit="s",
        minimum=0.05,
        maximum=3600,
        change_time=ChangeTime.WHILE_ACTIVE,
    )

    cloud_max_points: int = setting(
        30_000,
        "Largest number of points of a message on ~/cloud, 20 bytes each. A larger one is thinned evenly.",
        unit="points",
        minimum=100,
        maximum=100_000_000,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    map_cloud_max_points: int = setting(
        200_000,
        "The same of ~/map_cloud. Saved maps have all points.",
        unit="points",
        minimum=100,
        maximum=100_000_000,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    map_period: float = setting(
        1.0,
        "Shortest time between two messages of the whole map.",
        unit="s",
        minimum=0.05,
        maximum=3600,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    path_period: float = setting(
        0.2,
        "Shortest time between two messages of the path, and of the list of keyframes.",
        unit="s",
        minimum=0,
        maximum=3600,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    path_length: int = setting(
        1000,
        "Largest number of poses in the path, and in the list of keyframes. When it is reached every second pose is "
        "left out.",
        unit="poses",
        minimum=2,
        maximum=100_000,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    status_period: float = setting(
        1.0,
        "Time between two messages of the status.",
        unit="s",
        minimum=0.05,
        maximum=3600,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    save_path: str = setting(
        "slam3r_map.ply",
        "File or directory that ~/save_map writes if its request names none. The trajectory is written beside the map.",
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    save_on_exit: str = setting(
        "",
        "File or directory to which the map is saved when the node ends or is cleaned up, unless nothing is mapped. A "
        "map that a jump of time ends is saved beside it, as NAME-1 and so on. Empty does not save them.",
        change_time=ChangeTime.WHILE_ACTIVE,
    )

    map_file: str = setting(
        "",
        "Map file NAME.slam3r that is written while the node maps, a keyframe at a time, so that nothing is lost "
        "however the node ends. Where there is a file of that name the node goes on from it: it is localized in that "
        "map and extends it. What cannot be gone on from is kept as NAME.1.slam3r, as at ~/reset. Empty writes none.",
    )
    mode: str = setting(
        "mapping",
        "What is done with the map of map_file: mapping extends it, localization only finds the camera in it and "
        "leaves it as it is.",
        choices=("mapping", "localization"),
    )

    slam: SlamSettings = field(default_factory=SlamSettings)
    """The settings of the engine; as parameters their names begin with the stage."""

    def __post_init__(self) -> None:
        check_values(self)
        for name in ("weights", "device", "map_frame", "save_path"):
            if not getattr(self, name):
                raise SettingError(f"{name}: expected a name, got an empty one")
        check_scale(self.scale)
        self._check_scale_source()
        if self.mode == "localization" and not self.map_file:
            raise SettingError("map_file: expected the map file that mode: localization needs, got an empty name")
        if self.map_up == "base" and not self.base_frame:
            raise SettingError("base_frame: expected a name, which map_up: base needs")
        if self.grid_min_height >= self.grid_max_height:
            heights = f"{self.grid_min_height:g} and {self.grid_max_height:g}"
            raise SettingError(f"grid_min_height: expected less than grid_max_height, got {heights}")
        check_frames(self)

    def _check_scale_source(self) -> None:
        """Raise SettingError naming a parameter that the source of the scale needs."""
        if self.scale_source == "known" and not self.scale:
            raise SettingError("scale: expected metres per scene unit, which scale_source: known needs, got 0")
        if self.scale_source == "tag" and not self.tag_size:
            raise SettingError("tag_size: expected the tag's side in metres, which scale_source: tag needs, got 0")
        if self.scale_source == "tf" and not (self.base_frame and self.odom_frame):
            raise SettingError("base_frame, odom_frame: expected names, which scale_source: tf needs")

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> NodeSettings:
        """Return settings from values by parameter name, else the defaults; raises SettingError naming a wrong one."""
        checked = {name: spec_of(name).check(value) for name, value in values.items()}
        return with_values(cls(), {f"slam.{name}" if "." in name else name: value for name, value in checked.items()})


def node_specs() -> Iterator[SettingSpec]:
    """Yield the definitions of all parameters in order: the node's own, then those of the engine."""
    for spec in specs_of(NodeSettings):
        yield spec if not spec.name.startswith("slam.") else _without_prefix(spec)


def spec_of(name: str) -> SettingSpec:
    """Return the definition of one parameter; raises SettingError for an unknown name, with the nearest known ones."""
    known = {spec.name: spec for spec in node_specs()}
    if name not in known:
        raise SettingError(unknown_parameter(name))
    return known[name]


def check_scale(value: float) -> float:
    """Return ``value`` if it is 0 or a scale in metres per scene unit; raises SettingError naming what was expected."""
    scale = float(spec_of("scale").check(value))
    if 0 < scale < LEAST_SCALE:
        raise SettingError(f"scale: expected 0 or {LEAST_SCALE:g} to 1e+06, got {value!r}")
    return scale


def unknown_parameter(name: str) -> str:
    """Return the sentence that rejects a parameter that does not exist, with the nearest names."""
    return f"unknown parameter '{name}'; {nearest(name, [spec.name for spec in node_specs()])}"


def _without_prefix(spec: SettingSpec) -> SettingSpec:
    return replace(spec, name=spec.name.removeprefix("slam."))
