"""The constants of loop closure that were tuned by hand, all in one place.

"Sigma" is a standard deviation, and an error "in sigmas" is one divided by its standard deviation. A depth as a unit is
the typical depth of what a keyframe sees.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoopClosureTuning:
    """Values that depend on the cameras, scenes and networks of today, and not on a user's taste."""

    # ---- places ------------------------------------------------------------------------------------------------

    min_place_motion: float = 0.1
    """Smallest motion from one place to the next: the rotation in radians and the translation in depths together."""
    place_features: int = 600
    """Largest number of features that are remembered of a place, the strongest of those with a depth first."""
    thumbnail_px: int = 56
    """Side in pixels of the small image that is remembered of a place."""

    # ---- retrieval and geometric verification --------------------------------------------------------------------

    min_places_apart: int = 10
    """Number of newest places that are not compared with a new one: they are in odometry's sliding window, or were
    until just now."""
    compared_places: int = 2
    """Number of earlier places, those with the highest similarity score, that are compared with a new one."""
    matching_places: int = 4
    """Number of earlier places that are compared with a new one besides, those with most features like its own."""
    voting_features: int = 100
    """Number of features of each earlier place, the strongest, among which the features of a new one look for the most
    similar."""
    most_voting_features: int = 9000
    """Largest number of these features of all places together; where there are many places each has fewer."""
    votes: int = 200
    """Number of features of a new place, the strongest, that look for a similar one."""
    least_votes: int = 2
    """Fewest features of a new place that must have their most similar one in an earlier place."""
    expected_places: int = 2
    """Number of earlier places that are compared with a new one besides, those of which the camera should see most
    where it is believed to be."""
    compared_to_localize: int = 10
    """Number of places of an earlier session that are compared with a new one as long as it is not known where in that
    session's world the camera is."""
    min_matches: int = 25
    """Fewest matched features that must agree with the relative pose of two places."""
    min_match_share: float = 0.45
    """Smallest share of the matched features that must agree with the relative pose of two places."""
    min_appearance_similarity: float = 0.62
    """Smallest correlation of the later place's grey levels with those that the earlier place makes expect."""
    appearance_sigma_px: float = 6.0
    """Standard deviation, in pixels of the small image, of the surroundings by whose mean and contrast its grey levels
    are normalised before they are correlated: what light does changes slowly over the image."""
    appearance_least_contrast: float = 4.0
    """Contrast in grey levels, added to that of the surroundings: what has none stays without."""
    min_shared_view: float = 0.25
    """Smallest share of the earlier place's image that must be in view of the later place."""
    min_shared_pixels: int = 50
    """Fewest pixels of the small image that must be in view of both places for a correlation."""
    min_common_depths: int = 10
    """Fewest features with a depth in both places by which the ratio of their lengths is measured."""
    confirmed_within: int = 10
    """Number of places within which a second loop has to agree with the first one before both are believed."""
    agreeing_loops: tuple[float, float, float] = (0.15, 0.25, 0.3)
    """Largest differences between the corrections of two loops that agree: rotation in radians, translation in depths,
    logarithm of the scale."""

    # ---- corrections ---------------------------------------------------------------------------------------------

    min_correction: tuple[float, float, float] = (0.01, 0.03, 0.05)
    """Rotation in radians, translation in depths and logarithm of the scale at the newest place. A correction of the
    world that exceeds none of them is not made."""
    places_between_corrections: int = 10
    """Fewest places from one correction to the next, and the number of places that are not compared after one that is
    where it should be."""
    max_loops: int = 200
    """Largest number of loops that are remembered; what older ones have corrected stays corrected."""

    # ---- sigmas of the edges -------------------------------------------------------------------------------------

    chain_rotation_sigma: tuple[float, float] = (0.003, 0.1)
    """Standard deviation of the rotation between successive places: a constant in radians, and a share of the
    rotation that is added."""
    chain_translation_sigma: tuple[float, float] = (0.005, 0.1)
    """Standard deviation of the translation between successive places: a constant in depths, and a share of the
    translation that is added."""
    chain_scale_sigma: float = 0.02
    """Standard deviation of the logarithm of the ratio of successive places' lengths."""
    lost_sigma_factor: float = 10.0
    """Factor of these sigmas where the camera's tracks had been lost between the two places."""
    session_gap_sigma: float = 1000.0
    """Each of these sigmas from the last place of an earlier session to the first of the next one, between which
    nothing is known."""
    loop_rotation_sigma: float = 0.03
    """Standard deviation of the rotation of a loop, in radians."""
    loop_translation_sigma: float = 0.05
    """Standard deviation of the translation of a loop in depths, where the depths are exact."""
    min_loop_scale_sigma: float = 0.05
    """Smallest standard deviation of the logarithm of a loop's scale."""
    unknown_scale_sigma: float = 10.0
    """Standard deviation of the logarithm of a loop's scale where nothing tells the scale."""

    # ---- scale edges -------------------------------------------------------------------------------------------

    most_scale_observations: int = 1000
    """Number of observations of the scale above which every second one is forgotten."""
    min_scale_observations: int = 10
    """Number of observations of the scale below which the pose graph has no scale edges."""
    scale_edge_kernel: float = 3.0
    """Width of Geman and McClure's kernel on the observations' errors, in their standard deviations."""
    scale_window: int = 10
    """Number of observations on each side of one with which it is compared to see whether it is an outlier."""
    scale_iterations: int = 5
    """Number of times that this is done with the weights that follow from it."""
    min_scale_correction: float = 0.03
    """Change of the logarithm of a node's scale by scale edges that is worth a correction of the world."""

    # ---- pose graph ----------------------------------------------------------------------------------------------

    graph_max_steps: int = 10
    """Largest number of steps of an optimization of the pose graph under one kernel."""
    graph_min_step: float = 1e-4
    """Step below which the optimization of the pose graph ends, in radians, in the logarithm of the scale and in
    lengths of the nodes."""
    graph_min_decrease: float = 1e-3
    """Share of the cost that a step of the pose graph's optimization must save for another one to follow."""
    graph_first_min_decrease: float = 0.1
    """The same share for the first stage of the optimization, in which all loops are believed and the nodes only have
    to come near to where the second stage ends."""
    graph_least_normal: float = 1e-9
    """Value added to the diagonal of the pose graph's normal equations, as a share of the diagonal's mean."""
    graph_loop_kernel: float = 3.0
    """Width of Cauchy's kernel of loops in sigmas, at which a loop's weight has fallen to a half: a wrong loop is
    outvoted by the chain and by the other loops."""


TUNING = LoopClosureTuning()
"""The values in use."""
