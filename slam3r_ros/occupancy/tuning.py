"""The constants of the occupancy grid that were tuned by hand, with what each of them does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OccupancyTuning:
    """The tuned constants of the grid."""

    bearing_step_rad: float = 0.01
    """Angle between two rays of a virtual scan."""
    min_obstacle_points: int = 3
    """Number of points within the heights of obstacles that a ray needs: the obstacle is where that many are nearer."""
    max_range: float = 12.0
    """Distance beyond which points are not used, published lengths: depth is poor there."""
    log_odds_free: float = -0.4
    """Change of a cell's log-odds when a ray passes through it."""
    log_odds_occupied: float = 0.85
    """Change of a cell's log-odds when a ray ends in it at an obstacle."""
    most_log_odds: float = 4.0
    """Bound of a cell's log-odds, so that a cell can change again after it was seen often."""
    known_log_odds: float = 0.3
    """Log-odds beyond which a cell counts as free or occupied; between them it is unknown."""
    most_scans: int = 5000
    """Number of scans above which every second one is forgotten."""
    undrawn_scans: int = 12
    """Number of the newest scans that are not drawn for good, since a better one may replace them: dense depth comes
    some keyframes after the networks'."""
    most_cells: int = 16_000_000
    """Number of cells that the grid may have; what lies outside is left out."""
    margin_cells: int = 32
    """Number of cells by which the grid grows beyond what it has to hold."""


TUNING = OccupancyTuning()
"""The values in use."""
