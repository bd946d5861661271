"""The constants of dense depth that were tuned by hand, all in one place.

Image lengths are pixels of the image that is given, "parallax" is the motion in the image that is due to the way
between two cameras and not to their rotation, and "sigma" is a standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DenseDepthTuning:
    """Values that depend on cameras and scenes of today, and not on a user's taste."""

    # ---- the choice of partners ----------------------------------------------------------------------------------

    partners: int = 4
    """Number of partner images that a keyframe is compared with."""
    parallax_share: float = 0.0875
    """Median parallax of the partner that is liked best, as a share of the image's width (28 of 320 pixels)."""
    min_parallax_share: float = 0.005
    """Median parallax below which a partner tells nothing, as a share of the image's width."""
    min_partner_score: float = 0.1
    """Score, at most 1, below which an image is no partner."""
    same_place_share: float = 0.7
    """Two partners whose distance is a smaller share of the way from the keyframe repeat each other, so the second one
    counts less."""

    # ---- the stream of keyframes ---------------------------------------------------------------------------------

    image_side: int = 320
    """Longer side in pixels of the depth image of a keyframe."""
    reach: int = 12
    """Number of keyframes before and after a keyframe among which its partners are chosen."""
    later_keyframes: int = 2
    """Number of keyframes after a keyframe that are waited for before it is measured."""
    later_neighbours: int = 2
    """Number of later keyframes that must have been measured before one is compared with its neighbours."""
    neighbours: int = 6
    """Number of keyframes whose depth images one is compared with."""
    remembered_keyframes: int = 24
    """Number of keyframes that are kept, under 2 MB each; one that was not measured until it leaves never is."""
    min_consistent_share: float = 0.15
    """Share of a keyframe's pixels that must be known and consistent; with fewer its poses are taken to be wrong."""

    # ---- the check of poses --------------------------------------------------------------------------------------

    check_corners: int = 200
    """Number of corners that are tracked to every partner."""
    check_corner_quality: float = 0.002
    """Weakest corner as a share of the strongest."""
    check_corner_distance: float = 0.03
    """Smallest distance between corners as a share of the image's width."""
    check_window_px: int = 13
    """Side of the window that is tracked."""
    check_levels: int = 2
    """Halvings of the image at which tracking begins."""
    check_max_return_px: float = 0.7
    """Largest distance from a corner to where tracking forth and back takes it, for the corner to count."""
    min_checked_corners: int = 20
    """Fewest corners that must count for a partner to be used."""
    max_epipolar_share: float = 0.004
    """Largest median distance from the epipolar lines, as a share of the image's width, of a partner that is used."""

    # ---- planes of inverse depth ---------------------------------------------------------------------------------

    nearest_share: float = 0.5
    """Depth of the nearest plane as a share of the near end (2nd percentile) of the guessed depths."""
    farthest_share: float = 3.0
    """Depth of the farthest plane as a share of the far end (98th percentile) of the guessed depths."""
    min_planes: int = 16
    """Smallest number of planes."""
    max_planes: int = 64
    """Largest number of planes; below it a plane is one pixel of parallax of the widest partner from the next."""
    sweep_scale: float = 0.5
    """Size of the images that are swept, as a share of the given ones."""
    alignment_sweep_scale: float = 0.25
    """The same for the first sweep, whose depths serve to correct the partners' poses."""

    # ---- matching costs ------------------------------------------------------------------------------------------

    contrast_window_px: int = 9
    """Side of the window over which grey levels are normalised to mean 0 and deviation 1 before a sweep."""
    contrast_floor: float = 4.0
    """Grey levels added to that deviation, so that noise is not made large."""
    contrast_gain: float = 40.0
    """Units of the normalised image for one deviation."""
    max_cost: int = 40
    """Largest cost of one pixel in one partner, units of the normalised image, so that an outlier is bounded."""
    cost_window_px: int = 5
    """Side of the window over which costs are averaged, pixels of the swept image."""

    # ---- semi-global matching ------------------------------------------------------------------------------------

    small_step_penalty: int = 6
    """Cost of a change by one plane between neighbouring pixels (P1)."""
    large_step_penalty: int = 40
    """Cost of a larger change between pixels of the same grey level (P2)."""
    edge_grey: float = 12.0
    """Difference of grey levels of neighbours at which P2 has fallen to a half."""
    softness: float = 8.0
    """Aggregated cost, summed over the four paths, at which another plane is e times less likely than the best one."""

    step_share: float = 0.7
    """Share of every Gauss-Newton step on image differences that is taken. Whole steps overshoot: the gradient of fine
    texture is larger than its difference over two pixels tells."""

    # ---- pose correction -----------------------------------------------------------------------------------------

    alignment_contrast_window_px: int = 11
    """Window of the normalised images whose difference the pose correction minimises."""
    alignment_contrast_floor: float = 8.0
    """Grey levels added to the deviation in that window."""
    alignment_refinements: int = 3
    """Refinements of the first sweep's depths before the poses are corrected."""
    alignment_stride_px: int = 4
    """Every how many pixels, across and down, one takes part."""
    alignment_steps: int = 4
    """Gauss-Newton steps."""
    alignment_kernel: float = 20.0
    """Difference of the normalised images at which a pixel's weight has fallen to a quarter."""
    alignment_prior_px: float = 0.5
    """Error that is expected of a given relative pose, as motion in the image."""
    independent_share: float = 0.3
    """Share of the compared pixels that count as independent, since neighbours share their window."""
    min_aligned_pixels: int = 200
    """Fewest pixels that a partner must see for its pose to be corrected."""

    # ---- refinement ----------------------------------------------------------------------------------------------

    refinement_contrast_window_px: int = 7
    """Window of the normalised images whose difference the refinement minimises."""
    refinement_contrast_floor: float = 8.0
    """Grey levels added to the deviation in that window."""
    refinement_window_px: int = 9
    """Side of the window that moves as one."""
    refinement_kernel: float = 25.0
    """Root mean square difference in the window at which a partner's weight has fallen to a quarter."""
    refinement_damping: float = 10.0
    """Weight of the depth before, as squared gradients of the normalised image a pixel."""
    max_step_px: float = 1.0
    """Longest step along the epipolar line."""
    smoothing_px: int = 7
    """Diameter of the bilateral filter over the refined inverse depths."""
    smoothing_parallax_px: float = 2.0
    """Its deviation in depth, as parallax in the widest partner."""

    # ---- standard deviation: factors fitted to the errors of rendered and recorded sequences -------

    spread_window_px: int = 9
    """Window over which the spread of inverse depth around a pixel is taken."""
    sigma_floor: float = 0.016
    """Sigma of log depth that no pixel comes below: errors of pose, calibration and interpolation."""
    sigma_per_ambiguity: float = 0.9
    """Share of the spread of the likely planes of a pixel that counts."""
    sigma_per_spread: float = 1.4
    """Share of the spread of inverse depth around the pixel that counts: edges, noise."""
    sigma_per_correction: float = 1.4
    """Share of what the median filter changed that counts."""
    sigma_per_disagreement: float = 1.05
    """Share of the partners' disagreement that counts."""
    max_sigma: float = 0.08
    """Largest sigma of log depth of an answer; pixels with a larger one have none."""
    min_views: float = 0.5
    """Fewest partners that must see a pixel and agree with it, as the sum of their weights, each at most 1."""

    # ---- consistency of neighbouring depth images ----------------------------------------------------------------

    max_agreement_sigmas: float = 2.0
    """Difference of log depth, in sigmas of both together, up to which two depth images agree about a pixel."""
    min_conflict_sigmas: float = 3.0
    """Difference of log depth, in sigmas of both together, from which a neighbour that sees farther than a pixel's
    point has looked through it."""
    shared_error: float = 0.8
    """Share of its sigma that a pixel's depth keeps however many neighbours agree, since neighbours share images."""

    # ---- depth edges -----------------------------------------------------------------------------------------------

    edge_jump: float = 0.1
    """Share by which depth must change among a pixel and its eight neighbours for the pixel to lie on a depth edge."""
    min_island_share: float = 0.0007
    """Smallest connected part of a depth image that stays, as a share of its pixels."""

    # ---- networks' depths ------------------------------------------------------------------------------------------

    min_fit_share: float = 0.02
    """Share of pixels that must have a measured depth and one by the networks for the latter to be fitted."""
    fit_reach: float = 0.06
    """Standard deviation of the distance over which they are fitted, as a share of the image's width."""
    min_fit_weight: float = 0.05
    """Share of measured pixels around a pixel, weighted by distance, below which it is not filled in."""


TUNING = DenseDepthTuning()
"""The values in use."""
