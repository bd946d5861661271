"""The constants of metric scale that were tuned by hand, with what each of them does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetricScaleTuning:
    """The tuned constants of scale estimation. Lengths are metres unless they say otherwise."""

    most_observations: int = 1000
    """Number of observations above which every second one is forgotten, so that memory and work stay bounded."""
    least_sigma: float = 0.005
    """Smallest standard deviation of the logarithm of an observation's ratio: no sensor is calibrated better."""
    kernel_width: float = 3.0
    """Width of Geman and McClure's kernel on the observations' errors, in their standard deviations."""
    iterations: int = 20
    """Largest number of iterations of iteratively re-weighted least squares; it converges in far fewer."""
    floor_sigma: float = 0.003
    """Smallest standard deviation of the estimate, which systematic errors of the sensor do not let average away."""
    min_observations: int = 5
    """Number of observations below which there is no estimate."""

    min_chord_m: float = 0.3
    """Distance that the camera has to move, by odometry, from one compared position to the next."""
    max_chord_s: float = 20.0
    """Time after which a comparison that has not reached the distance begins anew: odometry drifts meanwhile."""
    position_sigma_m: float = 0.01
    """Standard deviation of a metric position relative to one a chord before."""
    chord_sigma: float = 0.03
    """Standard deviation of the ratio of two chords that comes from everything else, as a fraction."""
    max_gap_s: float = 0.5
    """Longest time between two metric poses over which a pose between them is interpolated."""
    min_scene_share: float = 0.2
    """A chord is left out where the camera moved less than this share of what the scale so far predicts: the wheels
    have slipped, or the camera was lost."""

    min_depth_pixels: int = 200
    """Number of pixels with both depths below which a depth image says nothing."""
    min_depth_m: float = 0.1
    """Depths of a sensor below this are not used."""
    max_depth_m: float = 10.0
    """Depths of a sensor beyond this are not used: the error of a depth camera grows with the square of the depth."""
    depth_sigma: float = 0.03
    """Standard deviation that all pixels of one depth image share, as a fraction: their errors are not independent."""
    max_depth_spread: float = 0.35
    """Spread of the ratios of one depth image, as a fraction, above which the two images do not show the same."""

    tag_views: int = 5
    """Number of keyframes with the tag from which one observation is made."""
    tag_pixel_sigma: float = 0.4
    """Standard deviation of a corner of the tag, pixels."""
    min_tag_parallax_rad: float = 0.05
    """Largest angle between the directions in which the keyframes see the tag, below which it is not triangulated."""
    max_tag_error_px: float = 2.0
    """Median reprojection error of the triangulated corners above which the poses or the tag are not to be trusted."""
    max_tag_sigma: float = 0.1
    """Standard deviation above which the length of the tag's sides says nothing."""


TUNING = MetricScaleTuning()
"""The values in use."""
