"""How long a scene unit is: a single camera cannot observe it, but a user may know it."""

from __future__ import annotations

from slam3r_ros.ros.parameters.node_settings import check_scale


class MapScale:
    """The scale of everything that is published and saved. The mapping thread changes it, every thread may read it."""

    def __init__(self, parameter: float) -> None:
        self.parameter = parameter
        """The value of the parameter `scale`, with which each map begins: metres per scene unit, 0 where unknown."""
        self.metres_per_unit = parameter
        """Metres per scene unit; 0 where unknown."""
        self.is_set_by_user = parameter > 0
        """Whether a user has set it, by the parameter or by ~/set_scale; then it is not estimated."""

    @property
    def unit(self) -> float:
        """Published length of a scene unit: in metres, or 1 where published lengths are scene units."""
        return self.metres_per_unit or 1.0

    @property
    def description(self) -> str:
        """What published lengths are, in words."""
        if not self.metres_per_unit:
            return "lengths are scene units"
        return f"lengths are metres, {self.metres_per_unit:g} to a scene unit"

    def set(self, metres_per_unit: float) -> None:
        """Set the scale, 0 for unknown. Raises SettingError naming a value that cannot be a scale."""
        self.metres_per_unit = check_scale(metres_per_unit)
        self.is_set_by_user = metres_per_unit > 0

    def apply_estimate(self, metres_per_unit: float) -> None:
        """Set the scale that was estimated from other sensors."""
        self.metres_per_unit = metres_per_unit

    def reset(self, of_map: float = 0.0) -> bool:
        """Return to the parameter's scale, else to ``of_map``, that of a loaded map: another map has another unit. True
        if that changes the scale."""
        before, self.metres_per_unit = self.metres_per_unit, self.parameter or of_map
        self.is_set_by_user = self.parameter > 0
        return self.metres_per_unit != before
