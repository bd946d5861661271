"""What is wrong with an oracle's answers, read from text such as ``noise=0.05,outliers=0.02,calibrated``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any


class OracleSettingError(ValueError):
    """An oracle setting is unknown or out of range; the message lists those there are."""


def _setting(default: bool | int | float, meaning: str, maximum: float) -> Any:
    return field(default=default, metadata={"meaning": meaning, "maximum": maximum})


@dataclass(frozen=True, slots=True)
class OracleSettings:
    """The errors of an oracle's answers; the default is none. Deterministic by ``seed``."""

    noise: float = _setting(
        0.0, "mean error of a point over its distance to the camera, smooth over the image and mostly along depth", 1.0
    )
    outliers: float = _setting(
        0.0, "share of the pixels, in blobs, whose depth is wrong by a factor of 0.4 to 2.5", 0.9
    )
    placement: float = _setting(
        0.0, "misplacement of a whole view in the other's frame, over the mean distance of its points", 1.0
    )
    shrink: float = _setting(
        0.0, "share by which L2W answers a camera too close to the middle of the scene frames'", 1.0
    )
    scale_drift: float = _setting(0.0, "growth of L2W's scale in every metre of the path, as a fraction", 1.0)
    pose_drift: float = _setting(0.0, "rotation of L2W's world in every metre of the path, radians", 1.0)
    calibrated: bool = _setting(
        False, "confidence falls where the answer is wrong; otherwise it is the same all over", 1
    )
    seed: int = _setting(0, "of all that is random", 2**31 - 1)

    def __post_init__(self) -> None:
        for each in fields(self):
            value, maximum = getattr(self, each.name), each.metadata["maximum"]
            if not (math.isfinite(value) and 0 <= value <= maximum):
                raise OracleSettingError(f"oracle setting {each.name}: expected 0 to {maximum:g}, got {value!r}")

    @classmethod
    def parse(cls, text: str) -> OracleSettings:
        """The settings of ``exact`` or of a list such as ``noise=0.05,calibrated``; raises OracleSettingError."""
        values: dict[str, bool | int | float] = {}
        exact = cls()
        kinds = {each.name: type(getattr(exact, each.name)) for each in fields(cls)}
        for word in [word.strip() for word in text.split(",") if word.strip() not in ("", "exact")]:
            name, equals, value = word.partition("=")
            kind = kinds.get(name)
            if kind is None:
                raise OracleSettingError(f"oracle setting '{word}' is unknown; known: exact, {_known()}")
            if kind is bool and not equals:
                values[name] = True
                continue
            try:
                values[name] = {"true": True, "false": False}[value.lower()] if kind is bool else kind(value)
            except (ValueError, KeyError) as error:
                raise OracleSettingError(f"oracle setting '{word}': expected {name}={kind.__name__}") from error
        return cls(**values)  # type: ignore[arg-type]

    @property
    def is_exact(self) -> bool:
        """Whether the answers are the truth."""
        return not any((self.noise, self.outliers, self.placement, self.shrink, self.scale_drift, self.pose_drift))


ORACLE_SETTINGS = tuple(each.name for each in fields(OracleSettings))
"""Names of the settings that ``oracle:`` takes."""


def _known() -> str:
    return ", ".join(f"{each.name} ({each.metadata['meaning']})" for each in fields(OracleSettings))
