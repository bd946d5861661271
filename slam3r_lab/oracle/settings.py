"""What is wrong with an oracle's answers, read from text such as ``noise=0.05,outliers=0.02,calibrated``."""

from __future__ import annotations

from dataclasses import dataclass

from slam3r_ros.setting_spec import SettingError, SettingValue, check_values, setting, specs_of, with_values


class OracleSettingError(SettingError):
    """An oracle setting is unknown or out of range; the message lists those there are."""


@dataclass(frozen=True, slots=True)
class OracleSettings:
    """The errors of an oracle's answers; the default is none. Deterministic by ``seed``."""

    noise: float = setting(
        0.0,
        "mean error of a point over its distance to the camera, smooth over the image and mostly along depth",
        minimum=0.0,
        maximum=1.0,
    )
    outliers: float = setting(
        0.0, "share of the pixels, in blobs, whose depth is wrong by a factor of 0.4 to 2.5", minimum=0.0, maximum=0.9
    )
    placement: float = setting(
        0.0,
        "misplacement of a whole view in the other's frame, over the mean distance of its points",
        minimum=0.0,
        maximum=1.0,
    )
    shrink: float = setting(
        0.0,
        "share by which L2W answers a camera too close to the middle of the scene frames'",
        minimum=0.0,
        maximum=1.0,
    )
    scale_drift: float = setting(
        0.0, "growth of L2W's scale in every metre of the path, as a fraction", minimum=0.0, maximum=1.0
    )
    pose_drift: float = setting(
        0.0, "rotation of L2W's world in every metre of the path", unit="rad", minimum=0.0, maximum=1.0
    )
    calibrated: bool = setting(False, "confidence falls where the answer is wrong; otherwise it is the same all over")
    seed: int = setting(0, "of all that is random", minimum=0, maximum=2**31 - 1)

    def __post_init__(self) -> None:
        try:
            check_values(self)
        except SettingError as error:
            raise OracleSettingError(f"oracle setting {error}") from error

    @classmethod
    def parse(cls, text: str) -> OracleSettings:
        """The settings of ``exact`` or of a list such as ``noise=0.05,calibrated``; raises OracleSettingError."""
        specs = {spec.name: spec for spec in specs_of(cls)}
        values: dict[str, SettingValue] = {}
        for word in [word.strip() for word in text.split(",") if word.strip() not in ("", "exact")]:
            name, equals, value = word.partition("=")
            if name not in specs:
                known = ", ".join(f"{spec.name} ({spec.meaning})" for spec in specs.values())
                raise OracleSettingError(f"oracle setting '{word}' is unknown; known: exact, {known}")
            is_switch = type(specs[name].default) is bool and not equals
            try:
                values[name] = True if is_switch else specs[name].parse(value)
            except SettingError as error:
                raise OracleSettingError(f"oracle setting '{word}': {error}") from error
        return with_values(cls(), values)

    @property
    def is_exact(self) -> bool:
        """Whether the answers are the truth."""
        return not any((self.noise, self.outliers, self.placement, self.shrink, self.scale_drift, self.pose_drift))


ORACLE_SETTINGS = tuple(spec.name for spec in specs_of(OracleSettings))
"""Names of the settings that ``oracle:`` takes."""
