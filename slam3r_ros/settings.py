"""Every setting of the engine: one frozen dataclass a stage, each field once with default, meaning, unit and range.

ROS parameters, the YAML file, the command line and the tables of the documentation are derived from here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from slam3r_ros.networks.weights import WeightSettings


class SettingError(ValueError):
    """A setting is unknown, of the wrong type or out of range; the message names it."""


def setting(
    default: bool | int | float | str,
    meaning: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field that is a setting: its default, meaning, unit and inclusive range or choices."""
    return field(default=default, metadata={"spec": (meaning, unit, minimum, maximum, choices)})


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """What is known of one setting, for declarations and tables."""

    name: str
    """Dotted: stage and field, for example ``window.radius``."""
    default: bool | int | float | str
    meaning: str
    unit: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]

    def check(self, value: object) -> Any:
        """``value`` as the setting's type, or SettingError saying what was expected and what came."""
        kind = type(self.default)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if isinstance(value, bool) and {"on", "off"} <= set(self.choices):
            value = "on" if value else "off"  # what YAML, and so ROS, reads an unquoted on or off as
        if type(value) is not kind:
            raise SettingError(f"{self.name}: expected {kind.__name__}, got {value!r}")
        if isinstance(value, float) and math.isnan(value):
            raise SettingError(f"{self.name}: expected a number, got NaN")
        if self.choices and value not in self.choices:
            raise SettingError(f"{self.name}: expected one of {', '.join(self.choices)}, got {value!r}")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            low, high = self.minimum, self.maximum
            if (low is not None and value < low) or (high is not None and value > high):
                raise SettingError(f"{self.name}: expected {self.range_text}, got {value!r}")
        return value

    @property
    def range_text(self) -> str:
        """The range or choices in words, empty if there is none."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"at least {self.minimum:g}"
        return f"at most {self.maximum:g}" if self.maximum is not None else ""


def specs_of(settings_class: type, prefix: str = "") -> Iterator[SettingSpec]:
    """The specs of a settings dataclass in order, those of nested dataclasses under ``<field>.``."""
    for f in fields(settings_class):
        if "spec" in f.metadata:
            yield SettingSpec(prefix + f.name, f.default, *f.metadata["spec"])  # type: ignore[arg-type]
        else:
            yield from specs_of(f.default_factory, f"{prefix}{f.name}.")  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """Which frames form the window of a frame t: t and t +- i * stride, i = 1..radius."""

    stride: int = setting(
        0,
        "distance between the members of a window; 0: as the weights recommend; -1 chooses it from the first frames",
        unit="frames",
        minimum=-1,
        maximum=100,
    )
    radius: int = setting(
        0, "members on each side of the reference; 0: as the weights recommend", unit="views", minimum=0, maximum=50
    )
    lookahead: int = setting(
        0,
        "later members waited for before a frame is answered: adds lookahead * stride / camera rate of latency; "
        "0 answers at once; as many as the radius, or -1, give the offline result",
        unit="views",
        minimum=-1,
        maximum=50,
    )
    adapt_frames: int = setting(
        121, "first frames from which stride -1 chooses", unit="frames", minimum=7, maximum=2000
    )


@dataclass(frozen=True, slots=True)
class InitializeSettings:
    """How the first frames set up the world."""

    window_size: int = setting(5, "frames of the initial window", unit="views", minimum=2, maximum=50)
    shrink_below: float = setting(
        -1.0,
        "drop the newest frame of the initial window (down to 3) while its confidence is below this; "
        "-1: as the weights recommend",
        minimum=-1,
    )
    minimum_confidence: float = setting(
        -1.0,
        "mean confidence below which initialisation fails and goes on with newer frames; -1: as the weights recommend",
        minimum=-1,
    )
    minimum_texture: float = setting(
        3.0,
        "standard deviation of grey levels below which an image says nothing; 0 accepts all",
        unit="grey levels",
        minimum=0,
        maximum=255,
    )
    minimum_motion: float = setting(
        0.5,
        "mean difference of the initial window's images below which the camera has not moved; 0 accepts all",
        unit="grey levels",
        minimum=0,
        maximum=255,
    )


@dataclass(frozen=True, slots=True)
class RegisterSettings:
    """How frames are registered into the world."""

    point_confidence: float = setting(
        -1.0, "I2P confidence below which a point is zeroed before L2W; -1: as the weights recommend", minimum=-1
    )
    scene_frames: int = setting(
        0,
        "keyframes retrieved as references of one registration; 0: as the weights recommend",
        unit="views",
        minimum=0,
        maximum=100,
    )
    retrieval_interval: int = setting(
        0,
        "rounds between retrievals, which also follow every change of the buffer; rounds between take the scene frames "
        "of the last one; 0: as the weights recommend",
        unit="rounds",
        minimum=0,
        maximum=1000,
    )
    shortlist: int = setting(
        0,
        "keyframes that retrieval scores exactly, chosen by their descriptors and last scores: the time of a retrieval "
        "then no longer grows with the buffer; three times scene_frames agrees well; 0 scores the whole buffer",
        unit="keyframes",
        minimum=0,
        maximum=10000,
    )
    together_max: int = setting(
        10,
        "most frames registered at once: with lookahead, rounds of (stride + 1) / 2 frames; without, as many as wait",
        unit="frames",
        minimum=1,
        maximum=100,
    )
    only_keyframes: bool = setting(
        True,
        "with image tracks: I2P and L2W see only frames that the tracks make keyframes of, or lose; the tracks give "
        "the poses between; false: every frame is registered",
    )
    normalise_input: bool = setting(False, "divide L2W's input points by their mean distance, and undo it after")


@dataclass(frozen=True, slots=True)
class KeyframeSettings:
    """The buffering set: the keyframes that retrieval chooses from."""

    buffer_size: int = setting(
        0,
        "keyframes kept for retrieval, at least those of the initial window; 0: as the weights recommend; "
        "-1 keeps all (memory grows)",
        unit="keyframes",
        minimum=-1,
        maximum=10000,
    )
    strategy: str = setting(
        "reservoir", "which keyframe leaves a full buffer: a random one, or the oldest", choices=("reservoir", "fifo")
    )
    interval: int = setting(
        0,
        "stretches between updates of the buffer; a stretch is stride frames; 0: as the weights recommend",
        unit="stretches",
        minimum=0,
        maximum=1000,
    )
    seed: int = setting(42, "seed of the reservoir's draws", minimum=0, maximum=2**31 - 1)


@dataclass(frozen=True, slots=True)
class PoseSettings:
    """Camera poses from world pointmaps, and when tracking counts as lost."""

    use_camera_info: bool = setting(
        True, "use known intrinsics where a frame has them; otherwise estimate the focal length"
    )
    inlier_threshold: float = setting(
        -1.0,
        "reprojection error below which a point is an inlier, as a fraction of the image's width; "
        "-1: as the weights recommend",
        minimum=-1,
        maximum=0.5,
    )
    minimum_inliers: float = setting(0.3, "fraction of inliers below which a frame is lost", minimum=0, maximum=1)
    minimum_confidence: float = setting(
        -1.0, "mean L2W confidence below which a frame is lost; -1: as the weights recommend", minimum=-1
    )
    tracks: str = setting(
        "auto",
        "follow corners from image to image and take the motion that explains them, anchored in the networks' points; "
        "auto: as the weights recommend",
        choices=("auto", "on", "off"),
    )
    hold_map_when_lost: bool = setting(
        True, "lost frames add nothing to map and buffer; false is what the offline script does"
    )


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Putting right what has drifted, when the camera comes back to where it has been. Needs image tracks."""

    close: bool = setting(
        True,
        "correct poses, keyframes and map when the image tracks' keyframes show a place seen before; without image "
        "tracks nothing is",
    )
    most_places: int = setting(
        300,
        "keyframes remembered to recognise places by, about 55 kB each; of more, every second one is forgotten",
        unit="keyframes",
        minimum=40,
        maximum=100_000,
    )


@dataclass(frozen=True, slots=True)
class MapSettings:
    """The map: confident points, one a voxel."""

    point_confidence: float = setting(
        -1.0, "L2W confidence below which a point stays out of the map; -1: as the weights recommend", minimum=-1
    )
    voxel_size: float = setting(0.02, "side of a voxel", unit="scene units", minimum=1e-6, maximum=100)
    maximum_points: int = setting(
        2_000_000,
        "most points kept: at this number the voxels' side doubles",
        unit="points",
        minimum=1000,
        maximum=100_000_000,
    )


@dataclass(frozen=True, slots=True)
class SlamSettings:
    """All settings of the engine. The defaults are the live ones; `published` gives those of the offline script."""

    window: WindowSettings = field(default_factory=WindowSettings)
    initialize: InitializeSettings = field(default_factory=InitializeSettings)
    register: RegisterSettings = field(default_factory=RegisterSettings)
    keyframes: KeyframeSettings = field(default_factory=KeyframeSettings)
    pose: PoseSettings = field(default_factory=PoseSettings)
    loops: LoopSettings = field(default_factory=LoopSettings)
    map: MapSettings = field(default_factory=MapSettings)

    def __post_init__(self) -> None:
        for spec in specs_of(type(self)):
            spec.check(self.value(spec.name))
        if 0 < self.window.radius < self.window.lookahead:
            raise SettingError(
                f"window.lookahead: expected at most window.radius = {self.window.radius}, got {self.window.lookahead}"
            )

    def value(self, name: str) -> Any:
        """The value of a dotted name; raises SettingError for an unknown one."""
        stage, _, field_name = name.partition(".")
        try:
            return getattr(getattr(self, stage), field_name)
        except AttributeError:
            raise SettingError(
                f"unknown setting '{name}'; known: {', '.join(s.name for s in specs_of(type(self)))}"
            ) from None

    def with_values(self, values: Mapping[str, Any]) -> SlamSettings:
        """A copy with values by dotted name; raises SettingError naming an unknown or wrong one."""
        specs = {spec.name: spec for spec in specs_of(type(self))}
        stages = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in values.items():
            if name not in specs:
                raise SettingError(f"unknown setting '{name}'; known: {', '.join(specs)}")
            stage, _, field_name = name.partition(".")
            stages[stage] = replace(stages[stage], **{field_name: specs[name].check(value)})
        return SlamSettings(**stages)

    def resolved(self, recommended: WeightSettings) -> SlamSettings:
        """Every value that is left to the weights (thresholds of -1, numbers of 0) replaced by what they recommend.

        Raises SettingError when a value does not go with what is recommended.
        """
        of_weights = {
            "window.stride": (0, recommended.stride),
            "window.radius": (0, recommended.radius),
            "initialize.shrink_below": (-1, recommended.shrink_below),
            "initialize.minimum_confidence": (-1, recommended.initialize_confidence),
            "register.point_confidence": (-1, recommended.point_confidence),
            "register.scene_frames": (0, recommended.scene_frames),
            "register.retrieval_interval": (0, recommended.retrieval_interval),
            "keyframes.buffer_size": (0, recommended.buffer_size),
            "keyframes.interval": (0, recommended.keyframe_interval),
            "pose.inlier_threshold": (-1, recommended.inlier_threshold),
            "pose.minimum_confidence": (-1, recommended.tracking_confidence),
            "pose.tracks": ("auto", "on" if recommended.tracks else "off"),
            "map.point_confidence": (-1, recommended.map_confidence),
        }
        settings = self.with_values({n: value for n, (open_, value) in of_weights.items() if self.value(n) == open_})
        if settings.window.lookahead == -1:
            return settings.with_values({"window.lookahead": settings.window.radius})
        return settings

    @classmethod
    def published(cls) -> SlamSettings:
        """The settings of the published offline script: everything registered, nothing held back, nothing skipped."""
        return cls().with_values(
            {
                "window.stride": -1,
                "window.radius": 5,
                "window.lookahead": 5,
                "initialize.shrink_below": 5.0,
                "initialize.minimum_confidence": 0.0,
                "initialize.minimum_texture": 0.0,
                "initialize.minimum_motion": 0.0,
                "register.point_confidence": 1.5,
                "register.scene_frames": 10,
                "register.retrieval_interval": 1,
                "keyframes.buffer_size": 100,
                "keyframes.interval": 1,
                "pose.inlier_threshold": 0.02,
                "pose.minimum_inliers": 0.0,
                "pose.minimum_confidence": 0.0,
                "pose.tracks": "off",
                "pose.hold_map_when_lost": False,
                "map.point_confidence": 12.0,
            }
        )
