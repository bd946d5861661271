"""The constants of levelling that were tuned by hand, with what each of them does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LevellingTuning:
    """The tuned constants of levelling. Angles are radians."""

    min_observations: int = 5
    """Number of directions that have to agree before the map is turned."""
    agreement_rad: float = 0.1
    """Angle to the common direction within which an observation agrees with it."""
    min_agreeing_share: float = 0.6
    """Share of the observations that have to agree."""
    most_observations: int = 200
    """Number of the newest observations that are kept."""
    least_turn_rad: float = 0.01
    """Tilt of the map below which it is left as it is."""

    floor_points: int = 3000
    """Number of points of a keyframe in which a floor is looked for."""
    floor_samples: int = 200
    """Number of planes through three points that are tried."""
    floor_thickness: float = 0.03
    """Distance from a plane within which a point lies on it, as a share of the median depth."""
    max_floor_tilt_rad: float = 0.75
    """Largest angle between a floor's normal and the camera's vertical axis: cameras are seldom tilted by more."""
    min_floor_share: float = 0.15
    """Share of a keyframe's points that a floor has to have."""
    max_share_below: float = 0.05
    """Share of a keyframe's points that may lie below a floor."""


TUNING = LevellingTuning()
"""The values in use."""
