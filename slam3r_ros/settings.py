"""Every setting of the engine: one frozen dataclass for each stage, each setting defined once.

ROS parameters, the YAML file, the options of the command line and the tables of the documentation are derived from
here, in the way that `slam3r_ros.setting_spec` describes. A set of weights may recommend values for those settings that
are made by `recommended_setting`; it names them as they are named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slam3r_ros.setting_spec import (
    RECOMMENDED,
    ChangeTime,
    Recommended,
    SettingError,
    SettingValue,
    check_values,
    recommended_setting,
    setting,
    specs_of,
    value_of,
    with_values,
)

CHOSEN_STRIDE = -1
"""The value of `WindowSettings.stride` with which the initializer chooses the stride from the first frames."""
LOOKAHEAD_OF_RADIUS = -1
"""The value of `WindowSettings.lookahead` that means as many views as the radius."""


VOXEL_BY_SCENE = 0.0
"""The value of `MapSettings.voxel_size` with which the depth of the first frames chooses the side of the voxels."""


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """Which frames form the window of a frame t: t and t +- i * stride, i = 1..radius."""

    stride: int = recommended_setting(
        5,
        "Distance in the stream between neighbouring views of a window. -1 chooses it from the first frames.",
        public=0,
        unit="frames",
        minimum=-1,
        maximum=100,
    )
    radius: int = recommended_setting(
        5, "Number of views on each side of a window's reference view.", public=0, unit="views", minimum=0, maximum=50
    )
    lookahead: int = setting(
        0,
        "Number of later views of its window that a frame waits for before it is registered, which adds lookahead * "
        "stride / camera rate of latency. 0 registers it at once. As many as the radius, or -1, give the result of "
        "offline processing.",
        unit="views",
        minimum=-1,
        maximum=50,
    )
    adapt_frames: int = setting(
        121,
        "Number of first frames from which the stride is chosen where window.stride is -1.",
        unit="frames",
        minimum=7,
        maximum=2000,
    )


@dataclass(frozen=True, slots=True)
class InitializeSettings:
    """How the initial map is made of the first frames."""

    window_size: int = setting(5, "Number of frames in the initial window.", unit="views", minimum=2, maximum=50)
    shrink_below: float = recommended_setting(
        5.0,
        "Mean I2P confidence below which the newest frame of the initial window is dropped, down to 3 frames.",
        public=-1.0,
        minimum=-1,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    minimum_confidence: float = recommended_setting(
        1.5,
        "Mean I2P confidence of the initial window below which initialization fails and goes on with newer frames.",
        public=-1.0,
        minimum=-1,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    minimum_texture: float = setting(
        3.0,
        "Standard deviation of an image's grey levels below which initialization refuses it. 0 accepts every image.",
        unit="grey levels",
        minimum=0,
        maximum=255,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    minimum_motion: float = setting(
        0.5,
        "Mean difference between the images of the initial window below which the camera counts as not moved, and "
        "initialization waits. 0 accepts every window.",
        unit="grey levels",
        minimum=0,
        maximum=255,
        change_time=ChangeTime.WHILE_ACTIVE,
    )


@dataclass(frozen=True, slots=True)
class RegisterSettings:
    """How frames are registered into the world by retrieval and Local-to-World (L2W)."""

    point_confidence: float = recommended_setting(
        1.5,
        "I2P confidence below which a point is set to zero before L2W.",
        public=-1.0,
        minimum=-1,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    scene_frames: int = recommended_setting(
        10,
        "Number of keyframes that retrieval chooses as the scene frames of one registration.",
        public=0,
        unit="views",
        minimum=0,
        maximum=100,
    )
    retrieval_interval: int = recommended_setting(
        1,
        "Number of registration batches from one retrieval to the next. A change of the keyframe buffer also brings a "
        "retrieval; the batches between two retrievals take the scene frames of the last one.",
        public=0,
        unit="batches",
        minimum=0,
        maximum=1000,
    )
    shortlist: int = setting(
        0,
        "Number of keyframes that retrieval scores exactly, chosen by their descriptors and last scores. The time of a "
        "retrieval then does not grow with the keyframe buffer; three times register.scene_frames agrees well with "
        "the exact choice. 0 scores the whole buffer.",
        unit="keyframes",
        minimum=0,
        maximum=10000,
    )
    together_max: int = setting(
        10,
        "Largest number of frames that are registered as one batch. With lookahead a batch is (stride + 1) / 2 frames; "
        "without, as many as wait.",
        unit="frames",
        minimum=1,
        maximum=100,
    )
    only_keyframes: bool = setting(
        True,
        "Whether, with image tracks, I2P and L2W see only those frames that visual odometry makes keyframes of, or "
        "loses; visual odometry gives the poses between. If false, every frame is registered.",
    )
    normalise_input: bool = setting(
        False, "Whether L2W's input points are divided by their mean distance, and its output multiplied by it."
    )


@dataclass(frozen=True, slots=True)
class KeyframeSettings:
    """The keyframe buffer, from which retrieval chooses scene frames (the paper's buffering set)."""

    buffer_size: int = recommended_setting(
        100,
        "Number of keyframes that are kept for retrieval, at least those of the initial window. -1 keeps all, so that "
        "memory grows.",
        public=0,
        unit="keyframes",
        minimum=-1,
        maximum=10000,
    )
    strategy: str = setting(
        "reservoir",
        "Which keyframe leaves a full buffer: with reservoir a random one, with fifo the oldest.",
        choices=("reservoir", "fifo"),
    )
    interval: int = recommended_setting(
        1,
        "Number of keyframe intervals, of window.stride frames each, from one update of the keyframe buffer to the "
        "next. The best frame of every interval is proposed to the buffer.",
        public=0,
        unit="intervals",
        minimum=0,
        maximum=1000,
    )
    seed: int = setting(
        42, "Seed of the random numbers with which the reservoir chooses.", minimum=0, maximum=2**31 - 1
    )


@dataclass(frozen=True, slots=True)
class PoseSettings:
    """Camera poses from world pointmaps, and when tracking counts as lost."""

    use_camera_info: bool = setting(
        True,
        "Whether known intrinsics are used where a frame has them. Otherwise the focal length is estimated.",
    )
    inlier_threshold: float = recommended_setting(
        0.02,
        "Reprojection error below which a point is an inlier of the pose, as a fraction of the image's width.",
        public=-1.0,
        minimum=-1,
        maximum=0.5,
    )
    minimum_inliers: float = setting(
        0.3,
        "Fraction of inliers of the pose below which a frame is lost.",
        minimum=0,
        maximum=1,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    minimum_confidence: float = recommended_setting(
        1.5,
        "Mean L2W confidence of a frame's points below which the frame is lost.",
        public=-1.0,
        minimum=-1,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    tracks: str = recommended_setting(
        "on",
        "Whether visual odometry gives the poses: it tracks corners from image to image and estimates the motion that "
        "explains them, anchored in the networks' points.",
        public="auto",
        choices=("auto", "on", "off"),
    )
    image_side: int = setting(
        640,
        "Longer side of the whole image as visual odometry sees it, after undistortion and without a crop. A larger "
        "image is made smaller, and no image is enlarged. A smaller one takes less time and gives less exact poses.",
        unit="pixels",
        minimum=160,
        maximum=1920,
    )
    hold_map_when_lost: bool = setting(
        True,
        "Whether lost frames are excluded from the map and the keyframe buffer. The published offline script adds "
        "them.",
        change_time=ChangeTime.WHILE_ACTIVE,
    )


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Loop closure: the correction of drift when the camera comes back to a place. Needs image tracks."""

    close: bool = setting(
        True,
        "Whether poses, keyframes and map are corrected when visual odometry's keyframes show a place that was seen "
        "before. Without image tracks nothing is corrected.",
    )
    most_places: int = setting(
        300,
        "Number of keyframes that are kept to recognise places by, about 105 kB each. When there are more, every "
        "second one is dropped.",
        unit="keyframes",
        minimum=40,
        maximum=100_000,
    )


@dataclass(frozen=True, slots=True)
class MapSettings:
    """The point map: confident points, one for each voxel."""

    point_confidence: float = recommended_setting(
        12.0,
        "L2W confidence below which a point stays out of the map.",
        public=-1.0,
        minimum=-1,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    voxel_size: float = setting(
        VOXEL_BY_SCENE,
        "Side of a voxel; the map keeps one point for each voxel. 0 chooses it by the depth of the first frames; set "
        "while mapping, by those of the next map.",
        unit="scene units",
        minimum=0,
        maximum=100,
        change_time=ChangeTime.WHILE_ACTIVE,
    )
    dense: bool = setting(
        True,
        "Whether the map is made of the depths of the whole images of keyframes, which are computed in the background "
        "from several images each, and replace the networks' points. Needs image tracks.",
    )
    maximum_points: int = setting(
        2_000_000,
        "Largest number of points in the map. When it is reached, the side of the voxels is doubled.",
        unit="points",
        minimum=1000,
        maximum=100_000_000,
        change_time=ChangeTime.WHILE_ACTIVE,
    )


@dataclass(frozen=True, slots=True)
class SlamSettings:
    """All settings of the engine. The defaults are for live use; `published` gives those of the offline script.

    A setting that is left to the weights is `RECOMMENDED` until `resolved` has replaced it; the stages of the engine
    are made with resolved settings.
    """

    window: WindowSettings = field(default_factory=WindowSettings)
    initialize: InitializeSettings = field(default_factory=InitializeSettings)
    register: RegisterSettings = field(default_factory=RegisterSettings)
    keyframes: KeyframeSettings = field(default_factory=KeyframeSettings)
    pose: PoseSettings = field(default_factory=PoseSettings)
    loops: LoopSettings = field(default_factory=LoopSettings)
    map: MapSettings = field(default_factory=MapSettings)

    def __post_init__(self) -> None:
        check_values(self)
        radius, lookahead = self.value("window.radius"), self.window.lookahead
        if isinstance(radius, int) and radius < lookahead:
            raise SettingError(f"window.lookahead: expected at most window.radius = {radius}, got {lookahead}")

    def value(self, name: str) -> SettingValue | Recommended:
        """The value of a dotted name; raises SettingError for an unknown one."""
        return value_of(self, name)

    def with_values(self, values: Mapping[str, object]) -> SlamSettings:
        """A copy with public values, or `RECOMMENDED`, by dotted name.

        Raises SettingError naming an unknown or wrong one.
        """
        return with_values(self, values)

    def resolved(self, recommended: SlamSettings) -> SlamSettings:
        """The settings to run with: every value that is left to the weights replaced by what they recommend.

        ``recommended``: settings in which nothing is left to the weights, such as `NetworkPair.recommended`. Raises
        SettingError when a value does not go with what is recommended.
        """
        left = [spec.name for spec in specs_of(type(self)) if self.value(spec.name) is RECOMMENDED]
        settings = self.with_values({name: recommended.value(name) for name in left})
        if settings.window.lookahead == LOOKAHEAD_OF_RADIUS:
            return settings.with_values({"window.lookahead": settings.window.radius})
        return settings

    @classmethod
    def of_published_weights(cls) -> SlamSettings:
        """The default settings with what the published weights recommend, live at 30 images a second."""
        return cls().with_values({s.name: s.published for s in specs_of(cls) if s.published is not None})

    @classmethod
    def published(cls) -> SlamSettings:
        """The settings of the published offline script: every frame is registered, and none is excluded or skipped."""
        return cls().with_values(
            {
                "window.stride": CHOSEN_STRIDE,
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
