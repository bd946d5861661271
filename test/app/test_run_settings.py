"""The settings of a run are checked by the one framework, and intrinsics reach the frames."""

from __future__ import annotations

import numpy as np
import pytest

from slam3r_ros.app.run_settings import OFFERED, RunSettings, SourceSettings, offered_settings
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.setting_spec import SettingError, specs_of
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame


def frames(count: int, width: int = 64, height: int = 48, camera: Camera | None = None) -> list[Frame]:
    image = np.zeros((height, width, 3), np.uint8)
    return [Frame(number, image, camera) for number in range(count)]


def test_every_offered_setting_has_a_meaning_and_is_the_engines_own() -> None:
    names = [spec.name for spec in offered_settings()]
    assert names == [*OFFERED, "every", "field_of_view", "intrinsics"]
    assert all(spec.meaning.endswith(".") for spec in offered_settings())
    assert set(OFFERED) <= {spec.name for spec in specs_of(SlamSettings)}


def test_values_reach_engine_and_source_and_wrong_ones_are_named() -> None:
    settings = RunSettings().with_values({"window.radius": 3, "every": 2, "initialize.window_size": 2})
    assert settings.engine.value("window.radius") == 3 and settings.engine.initialize.window_size == 2
    assert settings.engine.window.lookahead == -1 and settings.source.every == 2
    assert settings.live().engine.window.lookahead == 0 and settings.live().source == settings.source
    with pytest.raises(SettingError, match="^window.radius: expected 0 to 50, got 51$"):
        RunSettings().with_values({"window.radius": 51})
    with pytest.raises(SettingError, match="^every: expected 1 to 1000, got 0$"):
        RunSettings().with_values({"every": 0})
    with pytest.raises(SettingError, match="^unknown setting 'speed'"):
        RunSettings().with_values({"speed": 1})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"intrinsics": "500 500 320"}, "intrinsics: expected four numbers fx fy cx cy, got '500 500 320'"),
        ({"intrinsics": "a b c d"}, "intrinsics: expected four numbers fx fy cx cy, got 'a b c d'"),
        (
            {"intrinsics": "5 5 3 2", "field_of_view": 60.0},
            "intrinsics: give either the intrinsics or the field of view",
        ),
    ],
)
def test_wrong_intrinsics_are_refused_before_the_run(values: dict[str, str | float], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        RunSettings().with_values(values)


def test_the_camera_of_a_field_of_view_sees_it() -> None:
    camera = SourceSettings(field_of_view=90.0).camera(640, 480)
    assert camera is not None and (camera.width, camera.height, camera.cx, camera.cy) == (640, 480, 319.5, 239.5)
    assert camera.fx == camera.fy == pytest.approx(320.0)
    assert SourceSettings().camera(640, 480) is None
    with pytest.raises(SettingError, match="intrinsics: focal lengths must be positive"):
        SourceSettings(intrinsics="-1, 5, 3, 2").camera(6, 4)


def test_every_nth_frame_is_taken_with_the_camera_that_is_given() -> None:
    own = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
    assert [frame.stamp_ns for frame in SourceSettings(every=3).frames(iter(frames(8)))] == [0, 3, 6]
    assert next(SourceSettings().frames(iter(frames(1, camera=own)))).camera == own
    given = next(SourceSettings(intrinsics="50 51 32 24").frames(iter(frames(1, camera=own)))).camera
    assert given == Camera(64, 48, 50.0, 51.0, 32.0, 24.0)
    mixed = [*frames(1), *frames(1, width=128, height=96), *frames(1, width=64, height=64)]
    cameras = [frame.camera for frame in SourceSettings(intrinsics="50 50 31.5 23.5").frames(iter(mixed))]
    assert cameras[1] is not None and (cameras[1].width, cameras[1].fx) == (128, 100.0) and cameras[2] is None
