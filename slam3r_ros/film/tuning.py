"""Constants of films that were tuned by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FilmTuning:
    """Length, layout and camera moves of films."""

    shortest_s: float = 6.0
    """A film of a shorter recording is slowed down to so many seconds."""
    longest_s: float = 40.0
    """A film of a longer recording is sped up to so many seconds."""
    orbit_s: float = 12.0
    """Duration of a turn around the map."""
    ending_s: float = 1.5
    """So long the last picture of the others stays."""
    most_points: int = 1_000_000
    """About so many points are drawn, at most."""
    panel_share: float = 0.27
    """Width of the panel with the input as a share of the film's."""
    field_degrees: float = 50.0
    """Horizontal field of view of the views from outside."""
    distance_share: float = 0.65
    """Distance of the views from outside as a share of that from which a sphere around the map fills the picture: maps
    are flatter than spheres."""
    down_degrees: float = 35.0
    """How far the views from outside look down."""
    sweep_degrees: float = 30.0
    """How far the view of the growing map swings to each side."""
    outliers_percent: float = 3.0
    """Share of the points that may lie outside the picture at each end of each axis."""
    path_focal_share: float = 0.8
    """Focal length of the view along the path as a share of the camera's, so that it shows more than the camera saw."""
    smooth_s: float = 0.5
    """Standard deviation of the Gaussian that smooths the camera's path, seconds of the film."""
    frustum_share: float = 0.025
    """Depth of the drawn cameras as a share of the map's diagonal; the newest one is drawn four times as large."""
    most_frustums: int = 30
    """Of more keyframes, so many are drawn, evenly."""
    rate_factor: int = 21
    """Constant rate factor of H.264: lower is better and larger."""


TUNING = FilmTuning()
