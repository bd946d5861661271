"""How long a scene unit is: one camera cannot know, a user may."""

from __future__ import annotations

from slam3r_ros.ros.parameters.node_settings import check_scale


class MapScale:
    """The scale of everything published and saved. Changed by the worker thread, read by any."""

    def __init__(self, given: float) -> None:
        """``given`` is the parameter `scale`: metres per scene unit, 0 where unknown."""
        self._given = given
        self.metres_per_unit = given
        """Metres per scene unit; 0 where unknown."""

    @property
    def unit(self) -> float:
        """Length of a scene unit in what is published: in metres, or 1 where lengths are scene units."""
        return self.metres_per_unit or 1.0

    @property
    def lengths(self) -> str:
        """What lengths are, for people."""
        if not self.metres_per_unit:
            return "lengths are scene units"
        return f"lengths are metres, {self.metres_per_unit:g} to a scene unit"

    def set(self, metres_per_unit: float) -> None:
        """Take another scale, 0 for unknown. Raises SettingError naming a value that cannot be one."""
        self.metres_per_unit = check_scale(metres_per_unit)

    def forget(self) -> bool:
        """The world is a new one, of another unit: only what the parameter says stays. True if that changes it."""
        changes = self.metres_per_unit != self._given
        self.metres_per_unit = self._given
        return changes
