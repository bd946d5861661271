"""The settings of a run, as the page offers them: some of the engine's, and how images are taken from the source."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from slam3r_ros.geometry.camera import Camera, CameraError
from slam3r_ros.io.camera_info import camera_of_size
from slam3r_ros.setting_spec import (
    SettingError,
    SettingSpec,
    SettingValue,
    check_values,
    setting,
    specs_of,
    with_values,
)
from slam3r_ros.settings import LOOKAHEAD_OF_RADIUS, SlamSettings
from slam3r_ros.types import Frame

OFFERED = (
    "window.radius",
    "initialize.window_size",
    "window.stride",
    "map.point_confidence",
    "map.voxel_size",
    "loops.close",
)
"""The engine's settings that the page offers, in its order."""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How images are taken from a source, and what is known of its camera."""

    every: int = setting(
        1,
        "Of how many images of the source one is mapped. 1 maps all; more is faster, but a camera that moves far from "
        "one image to the next gets lost.",
        unit="images",
        minimum=1,
        maximum=1000,
    )
    field_of_view: float = setting(
        0.0,
        "Horizontal field of view of the camera, for an image without distortion. 0 estimates it from the images.",
        unit="degrees",
        minimum=0,
        maximum=170,
    )
    intrinsics: str = setting(
        "",
        "Focal lengths and principal point of the camera in pixels, as four numbers fx fy cx cy. Empty takes those of "
        "the source where it has any, or the field of view.",
    )

    def __post_init__(self) -> None:
        check_values(self)
        if self._numbers() and self.field_of_view:
            raise SettingError("intrinsics: give either the intrinsics or the field of view, not both")

    def camera(self, width: int, height: int) -> Camera | None:
        """The camera of images of a size; None where nothing is given. Raises SettingError for numbers that are no
        camera of this size."""
        numbers = self._numbers()
        try:
            if numbers:
                return Camera(width, height, *numbers)
            if self.field_of_view:
                focal_px = width / 2 / math.tan(math.radians(self.field_of_view) / 2)
                return Camera(width, height, focal_px, focal_px, (width - 1) / 2, (height - 1) / 2)
        except CameraError as error:
            raise SettingError(f"intrinsics: {error}") from error
        return None

    def frames(self, source: Iterator[Frame]) -> Iterator[Frame]:
        """The frames of a source that are mapped, with the camera that is given. Raises SettingError as `camera`
        does."""
        given: Camera | None = None
        for number, frame in enumerate(source):
            if number % self.every:
                continue
            height, width = frame.image.shape[:2]
            if given is None:
                given = self.camera(width, height)
            yield frame if given is None else replace(frame, camera=camera_of_size(given, width, height))

    def _numbers(self) -> tuple[float, float, float, float] | None:
        """The four numbers of `intrinsics`; None where it is empty. Raises SettingError for another text."""
        words = self.intrinsics.replace(",", " ").split()
        if not words:
            return None
        try:
            fx, fy, cx, cy = (float(word) for word in words)
        except ValueError:
            raise SettingError(f"intrinsics: expected four numbers fx fy cx cy, got '{self.intrinsics[:80]}'") from None
        return fx, fy, cx, cy


@dataclass(frozen=True, slots=True)
class RunSettings:
    """All settings of a run."""

    source: SourceSettings = field(default_factory=SourceSettings)
    engine: SlamSettings = field(
        default_factory=lambda: SlamSettings().with_values({"window.lookahead": LOOKAHEAD_OF_RADIUS})
    )

    def with_values(self, values: Mapping[str, SettingValue]) -> RunSettings:
        """A copy with public values by the names of `offered_settings`. Raises SettingError naming a wrong one."""
        of_source = {spec.name for spec in specs_of(SourceSettings)}
        source = with_values(self.source, {name: value for name, value in values.items() if name in of_source})
        engine = self.engine.with_values({name: value for name, value in values.items() if name not in of_source})
        return RunSettings(source, engine)

    def live(self) -> RunSettings:
        """The settings for a camera that runs: every image is answered at once, without waiting for later ones."""
        return replace(self, engine=self.engine.with_values({"window.lookahead": 0}))


def offered_settings() -> list[SettingSpec]:
    """The definitions of the settings that the page offers: those of the engine first."""
    engine = {spec.name: spec for spec in specs_of(SlamSettings)}
    return [*(engine[name] for name in OFFERED), *specs_of(SourceSettings)]
