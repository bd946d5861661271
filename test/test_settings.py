import pytest

from slam3r_ros.setting_spec import RECOMMENDED, SettingError, SettingSpec, specs_of
from slam3r_ros.settings import SlamSettings, WindowSettings


def weights_that_recommend(values: dict[str, object]) -> SlamSettings:
    """The published weights' recommendation, but for these values."""
    return SlamSettings.of_published_weights().with_values(values)


def test_every_setting_has_a_meaning_and_a_default_in_its_range() -> None:
    specs = list(specs_of(SlamSettings))
    assert len({spec.name for spec in specs}) == len(specs) > 20
    for spec in specs:
        assert (spec.meaning.endswith(".") and spec.meaning[0].isupper()) or spec.meaning[0] in '0-"'
        assert spec.check(spec.default) == spec.default


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window.radious": 3}, "unknown setting 'window.radious'; did you mean window.radius"),
        ({"window.radius": -1}, "window.radius: expected 0 to 50, got -1"),
        ({"window.radius": 2.5}, "window.radius: expected int, got 2.5"),
        ({"window.stride": -2}, "window.stride: expected -1 to 100, got -2"),
        ({"window.radius": 2, "window.lookahead": 3}, "window.lookahead: expected at most window.radius = 2, got 3"),
        ({"keyframes.strategy": "lifo"}, "keyframes.strategy: expected one of reservoir, fifo, got 'lifo'"),
        ({"keyframes.buffer_size": -2}, "keyframes.buffer_size: expected -1 to 10000, got -2"),
        ({"map.voxel_size": float("nan")}, "map.voxel_size: expected a number, got NaN"),
        ({"map.voxel_size": -1.0}, "map.voxel_size: expected 0 to 100, got -1.0"),
        ({"pose.use_camera_info": 1}, "pose.use_camera_info: expected bool, got 1"),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message.replace("(", r"\(")):
        SlamSettings().with_values(values)


def test_whole_numbers_are_welcome_where_a_real_one_is_meant() -> None:
    assert SlamSettings().with_values({"map.voxel_size": 1}).map.voxel_size == 1.0


def test_thresholds_that_are_not_set_come_from_the_weights() -> None:
    weights = weights_that_recommend(
        {
            "register.point_confidence": 1.1,
            "initialize.shrink_below": 2.2,
            "initialize.minimum_confidence": 3.3,
            "pose.minimum_confidence": 4.4,
            "map.point_confidence": 5.5,
            "pose.inlier_threshold": 0.06,
        }
    )
    settings = SlamSettings().with_values({"map.point_confidence": 9.0}).resolved(weights)
    assert settings.register.point_confidence == 1.1
    assert settings.initialize.shrink_below == 2.2
    assert settings.initialize.minimum_confidence == 3.3
    assert settings.pose.minimum_confidence == 4.4
    assert settings.map.point_confidence == 9.0
    assert settings.pose.inlier_threshold == 0.06


def test_work_that_is_not_set_comes_from_the_weights() -> None:
    weights = weights_that_recommend(
        {
            "window.stride": 7,
            "window.radius": 3,
            "register.scene_frames": 6,
            "register.retrieval_interval": 2,
            "keyframes.buffer_size": -1,
            "keyframes.interval": 4,
        }
    )
    settings = SlamSettings().with_values({"window.radius": 4, "window.lookahead": -1}).resolved(weights)
    assert (settings.window.stride, settings.window.radius, settings.window.lookahead) == (7, 4, 4)
    assert (settings.register.scene_frames, settings.register.retrieval_interval) == (6, 2)
    assert (settings.keyframes.buffer_size, settings.keyframes.interval) == (-1, 4)


@pytest.mark.parametrize(("said", "recommended", "used"), [
    ("auto", "on", "on"), ("auto", "off", "off"), ("off", "on", "off"), ("on", "off", "on"),
])  # fmt: skip
def test_tracks_are_used_as_the_weights_recommend_or_as_is_said(said: str, recommended: str, used: str) -> None:
    weights = weights_that_recommend({"pose.tracks": recommended})
    settings = SlamSettings().with_values({"pose.tracks": said}).resolved(weights)
    assert settings.pose.tracks == used
    assert SlamSettings.published().resolved(weights).pose.tracks == "off"


def test_a_lookahead_beyond_the_radius_that_the_weights_recommend_is_refused() -> None:
    with pytest.raises(SettingError, match=r"window.lookahead: expected at most window.radius = 2, got 3"):
        SlamSettings().with_values({"window.lookahead": 3}).resolved(weights_that_recommend({"window.radius": 2}))


def test_what_is_left_to_the_weights_has_one_value_inside_and_its_own_one_outside() -> None:
    left = SlamSettings().with_values({"window.stride": 0, "map.point_confidence": -1, "pose.tracks": "auto"})
    assert left == SlamSettings()
    for spec in specs_of(SlamSettings):
        value = left.value(spec.name)
        assert (value is RECOMMENDED) is (spec.published is not None)
        assert spec.to_public(value) == spec.default
        assert left.with_values({spec.name: value}) == left
    published = SlamSettings.of_published_weights()
    assert all(published.value(spec.name) is not RECOMMENDED for spec in specs_of(SlamSettings))
    assert published.resolved(weights_that_recommend({"window.stride": 9})) == published


def test_the_outer_word_for_recommended_is_none_inside() -> None:
    with pytest.raises(SettingError, match="window.stride: expected a value or RECOMMENDED, got 0"):
        SlamSettings(window=WindowSettings(stride=0))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("window.stride", "3", 3),
        ("map.voxel_size", "1e-2", 0.01),
        ("map.voxel_size", "1", 1.0),
        ("pose.hold_map_when_lost", "False", False),
        ("pose.hold_map_when_lost", "on", True),
        ("pose.tracks", "on", "on"),
        ("pose.tracks", "auto", "auto"),
    ],
)
def test_texts_become_values_of_the_setting_s_type(name: str, text: str, value: object) -> None:
    parsed = spec(name).parse(text)
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("window.stride", "many", "window.stride: expected int, got 'many'"),
        ("window.stride", "101", "window.stride: expected -1 to 100, got 101"),
        ("map.voxel_size", "nan", "map.voxel_size: expected a number, got NaN"),
        ("pose.hold_map_when_lost", "2", "pose.hold_map_when_lost: expected bool, got '2'"),
        ("pose.tracks", "maybe", "pose.tracks: expected one of auto, on, off, got 'maybe'"),
    ],
)
def test_texts_that_mean_no_value_are_refused_by_name(name: str, text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        spec(name).parse(text)


def spec(name: str) -> SettingSpec:
    return next(spec for spec in specs_of(SlamSettings) if spec.name == name)
