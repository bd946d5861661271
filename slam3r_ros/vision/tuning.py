"""The constants of classical vision that were tuned by hand, all in one place.

"Sigma" is a standard deviation, and an error "in sigmas" is one divided by its standard deviation. Normalized image
coordinates are x / z and y / z. Lengths in pixels are those of the nominal image, whose shorter side has 224 pixels; in
another image they are larger or smaller with it (`pixel_unit`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VisionTuning:
    """Values that depend on the cameras, scenes and networks of today, and not on a user's taste."""

    min_working_side_px: int = 224
    """Shorter side in pixels up to which small images are enlarged for tracking."""

    # ---- corners and optical flow --------------------------------------------------------------------------------

    corner_cell_px: int = 12
    """Side in pixels of the cells of the grid on which corners are detected; each cell holds at most one corner."""
    corner_window_px: int = 3
    """Side in pixels of the window over which the structure tensor is averaged whose smaller eigenvalue is a corner's
    strength."""
    corner_quality: float = 0.01
    """Smallest strength of a corner relative to the strongest corner of the image."""
    min_corner_strength: float = 2e-4
    """Smallest strength of a corner, for grey levels from 0 to 1; weaker ones are noise."""
    corner_border_px: int = 4
    """Width in pixels of the image's border in which no corner is detected or tracked."""
    same_corner_px: float = 2
    """Distance in pixels up to which two corners are the same one after their refinement to fractions of a pixel."""
    flow_window_px: int = 9
    """Side in pixels of the window of Lucas and Kanade's method."""
    brightness_window_px: int = 20
    """Side in pixels of the square whose mean grey level is taken off before corners are tracked."""
    flow_pyramid_levels: int = 1
    """Number of times that Lucas and Kanade's method halves the image; the dense flow brings larger motions."""
    flow_iterations: int = 20
    """Largest number of iterations of Lucas and Kanade's method at each level."""
    flow_min_step_px: float = 0.02
    """Step in pixels below which Lucas and Kanade's method ends."""
    flow_guess_level: int = 2
    """Number of halvings of the finest image on which the dense flow is computed where it only starts the tracking."""
    dense_flow_refinements: int = 2
    """Variational refinements of the dense flow. OpenCV's preset of 5 takes a third longer, with no better map."""
    min_dense_flow_px: int = 32
    """Shorter side in pixels from which on there is a dense flow to start the tracking from."""
    round_trip_px: float = 0.7
    """Largest distance in pixels between a corner and where tracking it forth and back leads."""

    # ---- SIFT features -------------------------------------------------------------------------------------------

    sift_side_px: int = 336
    """Shorter side in pixels, at most, of the image in which SIFT's features are found. Their cost grows with its
    square."""
    sift_contrast_threshold: float = 0.01
    """SIFT's contrast threshold (Lowe 2004). It is a low one: the images are small, and RANSAC finds false matches."""
    sift_edge_threshold: float = 20.0
    """SIFT's edge threshold (Lowe 2004), a permissive one for the same reason as the contrast threshold."""

    # ---- perspective-n-point -------------------------------------------------------------------------------------

    min_pnp_points: int = 8
    """Fewest finite points with which perspective-n-point, or a step of the pose's refinement, is tried."""
    ransac_points: int = 200
    """Largest number of points of the RANSAC search, evenly spread over those observed. The time of the search grows
    with them, its success hardly."""
    ransac_iterations: int = 60
    """Largest number of RANSAC samples of three points. With 50 % of inliers, one sample of 8 holds nothing else, with
    30 % one of 37."""

    # ---- refinement of a pose on pixels and pointmap -------------------------------------------------------------

    refined_points: int = 300
    """Largest number of points on which a pose is refined, evenly spread over those observed."""
    refinement_steps: int = 5
    """Largest number of Gauss-Newton steps of the refinement."""
    refinement_min_step: float = 3e-4
    """Step, in radians and in mean depths, after which the refinement ends."""
    refinement_kernel: float = 9.0
    """Squared width of Geman and McClure's kernel over the inliers' median squared residual."""
    min_median_square: float = 1e-14
    """Smallest median squared residual that is assumed; it is what float32 leaves of exact points."""
    pointmap_weight: float = 2 / 3
    """Weight of the three residuals of a point in space beside its two residuals on the image plane."""
    min_inliers_kept: float = 0.9
    """Share of the start's inliers below which the refined pose is refused."""

    # ---- motion-only bundle adjustment ---------------------------------------------------------------------------

    motion_only_kernel: float = 2.0
    """Width of Cauchy's kernel of the reprojection errors, in sigmas."""
    motion_only_steps: int = 6
    """Largest number of Gauss-Newton steps of motion-only bundle adjustment."""
    motion_only_min_step: float = 1e-3
    """Step, in radians and in mean depths, after which motion-only bundle adjustment ends."""
    min_motion_only_points: int = 3
    """Fewest points in front of the camera for a step of motion-only bundle adjustment."""
    behind_camera_square: float = 1e12
    """Squared residual, over the squared width of the kernel, of a point that is not in front of the camera."""

    # ---- L2W's pose as a prior -----------------------------------------------------------------------------------

    prior_rotation_sigma: float = 0.3
    """Standard deviation in radians of L2W's orientation of a frame, at a sigma factor of 1."""
    prior_position_sigma: float = 0.5
    """Standard deviation of L2W's position of a frame, in mean depths, at a sigma factor of 1."""
    prior_scale_sigma: float = 0.1
    """Standard deviation of the logarithm of L2W's scale of a frame, at a sigma factor of 1. That of one frame errs by
    more, but those of a window have to agree."""
    prior_kernel: float = 1.0
    """Width of Charbonnier's kernel of the prior, in sigmas. Beyond it a disagreement pulls with a constant force, so
    that one that lasts is not forgotten."""
    full_sigma_error: float = 0.005
    """Median reprojection error of L2W's points, in normalized image coordinates, from which on the sigma factor of
    L2W's pose is 1."""
    min_sigma_factor: float = 1e-5
    """Smallest sigma factor of L2W's pose."""

    # ---- confidence ----------------------------------------------------------------------------------------------

    confidence_times_error: float = 0.2
    """Product of a point's confidence and its expected relative error. It is what training drives the two to
    (`CONFIDENCE_WEIGHT` of the training's losses)."""

    # ---- relative pose from features -----------------------------------------------------------------------------

    match_ratio: float = 0.8
    """Largest ratio of the distance of a feature's best match to that of its second best (Lowe 2004)."""
    match_outlier_px: float = 3.0
    """Reprojection error in pixels of a point of known depth beyond which its match is wrong."""
    match_sigma_px: float = 1.0
    """Distance in pixels to the epipolar line beyond which a match is wrong, and the sigma of a matched feature."""
    min_matches: int = 15
    """Fewest matches that must agree with a relative pose."""
    min_match_share: float = 0.4
    """Smallest share of all matches that must agree with a relative pose."""
    sufficient_pnp_share: float = 0.7
    """Share of matches that agree with the pose by perspective-n-point from which on the essential matrix is not
    asked."""
    min_match_spread: float = 0.05
    """Smallest standard deviation of the inliers' pixels along the direction in which they spread least, over the
    image's shorter side."""
    min_known_depths: int = 6
    """Fewest known depths in the first image."""
    max_scale_spread: float = 0.5
    """Largest half distance between the quartiles of the logarithm of the translation's length, beyond which the
    essential matrix gives no relative pose."""
    max_triangulation_distance: float = 200.0
    """Largest depth of a triangulated point over the length of the baseline."""


TUNING = VisionTuning()
"""The values in use."""
