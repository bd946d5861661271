"""What visitors choose to see."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from slam3r_ros.viewer.tuning import TUNING


class Colouring(Enum):
    """What gives the points their colours; the values are what the page calls them."""

    IMAGE = "Image"
    CONFIDENCE = "Confidence"
    HEIGHT = "Height"
    KEYFRAME = "Keyframe"


class TimelineMode(Enum):
    """Which keyframes are shown; the values are what the page calls them."""

    ALL = "All"
    CUMULATIVE = "Up to here"
    SINGLE = "Only this one"


@dataclass(frozen=True, slots=True)
class DisplaySettings:
    """What is shown, and how. All visitors of a page share it."""

    hidden_percent: float = TUNING.default_hidden_percent
    """Share of the points, the least confident ones, that is hidden, percent."""
    point_size_percent: float = TUNING.default_point_size
    """Width of a point as a percentage of the map's size."""
    budget: int = TUNING.default_budget
    """Number of points that are drawn at most."""
    height_band: tuple[float, float] = (0.0, 100.0)
    """Lowest and highest points that are shown, as percentages of the map's height from its floor to its top; at 0 and
    100 nothing is cut off."""
    colouring: Colouring = Colouring.IMAGE
    shows_points: bool = True
    shows_cameras: bool = True
    shows_images: bool = True
    """Whether keyframes are drawn with their images."""
    shows_path: bool = True
    shows_loops: bool = True
    shows_grid: bool = True
    timeline_mode: TimelineMode = TimelineMode.ALL
    timeline_position: int = 0
    """Number of the keyframe at which the timeline stands, among those that there are."""

    @property
    def cuts_height(self) -> bool:
        """Whether the height band hides anything."""
        return self.height_band != (0.0, 100.0)

    def is_shown(self, position: int) -> bool:
        """Whether the keyframe at this position among all is shown."""
        if self.timeline_mode is TimelineMode.ALL:
            return True
        if self.timeline_mode is TimelineMode.CUMULATIVE:
            return position <= self.timeline_position
        return position == self.timeline_position
