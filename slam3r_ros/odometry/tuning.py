"""The constants of visual odometry that were tuned by hand, all in one place.

Unless a field says otherwise, lengths are scene units and angles radians. Lengths in the image are pixels of the
nominal image, whose shorter side has 224; in another one they are larger or smaller with it (`pixel_unit`). "Sigma" is
a standard deviation, and an error "in sigmas" is one divided by its standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OdometryTuning:
    """Values that depend on the cameras, scenes and networks of today, and not on a user's taste."""

    # ---- tracking ------------------------------------------------------------------------------------------------

    tracked_landmarks: int = 300
    """Number of landmarks that are tracked; a new keyframe adds corners up to this number."""
    min_inliers: int = 15
    """Fewest tracks that must agree with a frame's pose. With fewer, the tracks are lost, and L2W's pose of the frame
    holds."""
    min_inlier_share: float = 0.4
    """Smallest share of the tracks found in a frame that must agree with its pose, else the tracks are lost."""
    pixel_sigma: float = 0.15
    """Standard deviation of one coordinate of a tracked corner, in pixels."""
    outlier_px: float = 3.0
    """Reprojection error in pixels beyond which an observation is an outlier and its track is dropped."""
    keyframe_motion: float = 0.04
    """Median motion of the tracks since the last keyframe, as a share of the image's shorter side, that asks for the
    next keyframe."""
    keyframe_track_share: float = 0.7
    """Share of the last keyframe's tracks that must still be alive; with fewer, the next keyframe is made."""
    catch_up_images: int = 12
    """Largest number of images through which tracks are followed, one after the other, from a keyframe to the newest
    image, where no pose says where they are in it."""
    recovery_keyframes: int = 3
    """Number of the newest keyframes whose features are matched with a frame in which the tracks were lost."""
    max_recovery_scale_error: float = 1.2
    """Largest difference between the logarithm of the scale of a recovered pose and that of the last keyframe's scale.
    A larger one refuses the recovered pose."""

    # ---- the scale of a frame ------------------------------------------------------------------------------------

    track_scale_sigma: float = 0.02
    """Standard deviation of the logarithm of a frame's scale as its tracks measure it, to be weighed against L2W's."""
    landmark_scale_share: float = 0.75
    """Share of the landmarks' median depth in what holds the scale of a full window. The fixed keyframes have the
    rest."""
    min_own_points_share: float = 0.1
    """Smallest share of valid points with which a frame's own pointmap is used. With fewer, depths are taken from L2W's
    points, as for frames without a pointmap of their own."""
    max_prior_weight: float = 0.5
    """Largest weight of L2W's depths with which they are still corrected by two-view depth. L2W with a larger weight
    knows better."""
    remembered_scales: int = 101
    """Number of tracked frames whose median scale is the prior where L2W is not to be believed. The unit of I2P's
    pointmaps hardly changes, so an old scale says much of a new one."""

    # ---- sliding window ------------------------------------------------------------------------------------------

    window_keyframes: int = 7
    """Largest number of keyframes in the sliding window."""
    window_landmarks: int = 600
    """Number of landmarks beyond which the oldest of the window that are no longer tracked are removed."""
    fixed_keyframes: int = 2
    """Number of the oldest keyframes that a full window holds fixed. They keep its place and scale in the world (the
    gauge)."""
    covisible_share: float = 0.4
    """Share of the newest keyframe's landmarks that another keyframe must observe for dense two-view depth."""

    # ---- bundle adjustment ---------------------------------------------------------------------------------------

    window_iterations: int = 8
    """Most iterations of bundle adjustment when the window is full. Most windows need two."""
    growing_window_iterations: int = 20
    """Most iterations of bundle adjustment until the window is full, when nothing but the first keyframe is fixed."""
    multi_start_iterations: int = 30
    """Most iterations of bundle adjustment from scratch, which is tried as long as the window is not full."""
    multi_start_cost_ratio: float = 0.9
    """Share of the cost of the estimate so far below which another local minimum, found from scratch, replaces it."""
    reprojection_kernel: float = 2.0
    """Reprojection error, in sigmas, at which Cauchy's kernel halves the weight of an observation."""
    pointmap_depth_kernel: float = 1.0
    """Error of a pointmap's depth, in sigmas, at which Cauchy's kernel halves its weight."""
    pointmap_depth_sigma: float = 1.0
    """Standard deviation of the logarithm of one depth of a pointmap where L2W has no weight. Pointmaps err by less,
    but neighbouring pixels and successive frames err together."""
    max_kernel_factor: float = 16.0
    """Largest factor by which the kernel of reprojection errors is widened at first, for a start that explains them
    badly. A narrow kernel would keep what a bad start happens to explain and take the rest for outliers."""
    good_start_error: float = 1.5
    """Median reprojection error of a keyframe, in sigmas, up to which a start is a good one and the kernel is not
    widened."""
    behind_camera_cost: float = 1e3
    """Cost of one observation whose landmark lies behind the keyframe, where the projection is undefined."""
    initial_damping: float = 1e-4
    """Damping of the first Levenberg-Marquardt iteration, as a share of the normal equations' diagonal."""
    min_damping: float = 1e-6
    """Smallest damping, which is reached after a series of steps that lowered the cost."""
    max_damping: float = 1e2
    """Damping beyond which no step lowers the cost and the search ends."""
    absolute_damping: float = 1e-6
    """Added to the diagonal of the keyframes' normal equations, so that unknowns which nothing observes stay where they
    are."""
    min_cost_decrease: float = 1e-3
    """Share of the cost that an iteration must save to be followed by another."""
    max_step: float = 0.5
    """Largest step of one unknown: radians, mean depths of the landmarks, or a logarithm. A larger one is shortened."""

    min_window_correction: float = 0.03
    """Smallest change of a keyframe after the map took it, of the logarithm of its scale or of its position in
    depths, with which trajectory and map follow the window."""

    # ---- focal-length self-calibration ---------------------------------------------------------------------------

    focal_log_step: float = 0.1
    """Difference between the logarithms of successive focal lengths that are tried on a window."""
    focal_max_steps: int = 6
    """Most such steps in one window, away from the focal length assumed so far."""
    focal_iterations: int = 10
    """Most iterations of bundle adjustment for one focal length that is tried."""
    focal_min_keyframes: int = 5
    """Fewest keyframes of a window that is used for self-calibration."""
    focal_keyframe_interval: int = 3
    """Number of keyframes from one window that is used for self-calibration to the next."""
    focal_min_information: float = 400.0
    """Smallest information (1 / variance of the logarithm) with which a window counts: a sigma of 0.05."""
    focal_max_information: float = 10_000.0
    """Largest information that one window counts for: a sigma of 0.01."""
    focal_enough_information: float = 2_000.0
    """Information of all windows together that must be reached before the focal length is changed."""
    focal_enough_windows: int = 12
    """Number of windows that count, after which self-calibration ends."""
    focal_min_change: float = 0.003
    """Difference of the logarithm of the focal length up to which nothing is changed."""

    # ---- two-view depth from optical flow ------------------------------------------------------------------------

    flow_sigma_px: float = 0.5
    """Standard deviation of dense optical flow in pixels, where the texture is rich and the flow back agrees."""
    flow_max_return_px: float = 1.5
    """Largest distance in pixels between a pixel and where the flow forth and back takes it."""
    flow_max_epipolar_px: float = 1.5
    """Largest distance in pixels between where the flow finds a pixel and its epipolar line."""
    flow_rich_gradient: float = 3.0
    """Gradient along the motion, in grey levels a pixel, at which the variance of the flow is twice its least."""
    flow_texture_window_px: int = 7
    """Side in pixels of the square over which the structure tensor of the texture is averaged."""
    flow_finest_level: int = 1
    """Pyramid level at which the flow ends, as a number of halvings of the image."""
    flow_depth_min_sigma: float = 0.015
    """Smallest standard deviation of the logarithm of a triangulated depth, since poses err too."""
    flow_max_disagreement: float = 9.0
    """Largest sum of squared differences, in sigmas, of the inverse depths of several keyframes from their mean. With a
    larger one the pixel has no depth."""

    # ---- fusion of two-view depths with a pointmap ---------------------------------------------------------------

    fusion_sure_sigma: float = 0.1
    """Standard deviation of the logarithm of a two-view depth below which it is good enough to measure the error of the
    networks' depths."""
    fusion_min_sure_share: float = 0.01
    """Smallest share of pixels with such a two-view depth. With fewer, nothing is fused."""
    fusion_min_network_sigma: float = 0.01
    """Smallest standard deviation of the logarithm of the networks' depths that is assumed."""
    fusion_max_network_sigma: float = 1.0
    """Largest standard deviation of the logarithm of the networks' depths that is assumed."""
    fusion_gate: float = 3.0
    """Difference of a two-view depth from the networks', in sigmas of both together, beyond which the two-view depth is
    taken for an outlier."""
    fusion_reach: float = 0.06
    """Standard deviation of the blur that carries a correction to neighbouring pixels without a two-view depth, as a
    share of the image's width."""
    fusion_zero_weight: float = 0.05
    """Weight of no correction in that blur, where all pixels around with a sure two-view depth weigh 1 together."""

    # ---- correction of a pointmap by its tracks ------------------------------------------------------------------

    correction_grid: int = 28
    """Rows and columns of the grid on which the field of corrections is computed; it is interpolated in between."""
    correction_reach: float = 0.12
    """Distance in the image over which a track corrects its neighbours (sigma of a Gaussian weight), as a share of the
    image."""
    correction_depth_reach: float = 0.3
    """Difference of the depths' logarithms over which a track corrects its neighbours (sigma of a Gaussian weight).
    What lies behind an edge is another surface."""
    correction_zero_weight: float = 0.1
    """Weight of no correction, where a track that lies right there weighs 1."""
    correction_max_log_ratio: float = 0.7
    """Logarithm of a correction beyond which a track is taken for an outlier."""


TUNING = OdometryTuning()
"""The values that are used."""
