"""What a baseline gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from slam3r_ros.types import MapPoints, StampedPose


class BaselineError(RuntimeError):
    """A baseline is unknown or cannot run here; the message says what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class BaselineResult:
    """Poses and points as an engine's run has them."""

    trajectory: list[StampedPose]
    """In the order of the stamps; frames without a pose are left out."""
    points: MapPoints | None
    """In the trajectory's world; None for a baseline without points."""
    seconds: float
    """What it took, without the reading of images."""
    problems: list[str] = field(default_factory=list)
    """What went wrong or was left out, one sentence each."""
