import pytest

from slam3r_ros.networks.weights import WeightSettings
from slam3r_ros.settings import SettingError, SlamSettings, specs_of


def test_every_setting_has_a_meaning_and_a_default_in_its_range() -> None:
    specs = list(specs_of(SlamSettings))
    assert len({spec.name for spec in specs}) == len(specs) > 20
    for spec in specs:
        assert spec.meaning
        assert spec.check(spec.default) == spec.default


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window.radious": 3}, "unknown setting 'window.radious'; known: window.stride"),
        ({"window.radius": -1}, "window.radius: expected 0 to 50, got -1"),
        ({"window.radius": 2.5}, "window.radius: expected int, got 2.5"),
        ({"window.stride": -2}, "window.stride: expected -1 to 100, got -2"),
        ({"window.radius": 2, "window.lookahead": 3}, "window.lookahead: expected at most window.radius = 2, got 3"),
        ({"keyframes.strategy": "lifo"}, "keyframes.strategy: expected one of reservoir, fifo, got 'lifo'"),
        ({"keyframes.buffer_size": -2}, "keyframes.buffer_size: expected -1 to 10000, got -2"),
        ({"map.voxel_size": float("nan")}, "map.voxel_size: expected a number, got NaN"),
        ({"map.voxel_size": -1.0}, "map.voxel_size: expected 1e-06 to 100, got -1.0"),
        ({"pose.use_camera_info": 1}, "pose.use_camera_info: expected bool, got 1"),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message.replace("(", r"\(")):
        SlamSettings().with_values(values)


def test_whole_numbers_are_welcome_where_a_real_one_is_meant() -> None:
    assert SlamSettings().with_values({"map.voxel_size": 1}).map.voxel_size == 1.0


def test_thresholds_that_are_not_set_come_from_the_weights() -> None:
    weights = WeightSettings(1.1, 2.2, 3.3, 4.4, 5.5, 0.06)
    settings = SlamSettings().with_values({"map.point_confidence": 9.0}).resolved(weights)
    assert settings.register.point_confidence == 1.1
    assert settings.initialize.shrink_below == 2.2
    assert settings.initialize.minimum_confidence == 3.3
    assert settings.pose.minimum_confidence == 4.4
    assert settings.map.point_confidence == 9.0
    assert settings.pose.inlier_threshold == 0.06


def test_work_that_is_not_set_comes_from_the_weights() -> None:
    weights = WeightSettings(
        stride=7, radius=3, scene_frames=6, retrieval_interval=2, buffer_size=-1, keyframe_interval=4
    )
    settings = SlamSettings().with_values({"window.radius": 4, "window.lookahead": -1}).resolved(weights)
    assert (settings.window.stride, settings.window.radius, settings.window.lookahead) == (7, 4, 4)
    assert (settings.register.scene_frames, settings.register.retrieval_interval) == (6, 2)
    assert (settings.keyframes.buffer_size, settings.keyframes.interval) == (-1, 4)


@pytest.mark.parametrize(("said", "recommended", "used"), [
    ("auto", True, "on"), ("auto", False, "off"), ("off", True, "off"), ("on", False, "on"),
])  # fmt: skip
def test_tracks_are_used_as_the_weights_recommend_or_as_is_said(said: str, recommended: bool, used: str) -> None:
    settings = SlamSettings().with_values({"pose.tracks": said}).resolved(WeightSettings(tracks=recommended))
    assert settings.pose.tracks == used
    assert SlamSettings.published().resolved(WeightSettings(tracks=True)).pose.tracks == "off"


def test_a_lookahead_beyond_the_radius_that_the_weights_recommend_is_refused() -> None:
    with pytest.raises(SettingError, match=r"window.lookahead: expected at most window.radius = 2, got 3"):
        SlamSettings().with_values({"window.lookahead": 3}).resolved(WeightSettings(radius=2))
