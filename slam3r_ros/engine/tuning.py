"""The hand-tuned constants of the engine, all in one place. What a user may want to change is a setting instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineTuning:
    """Values that depend on the networks and machines of today, and not on a user's taste."""

    # ---- encoder -------------------------------------------------------------------------------------------------

    max_kept_pixels: int = 2_500_000
    """Largest image, as a number of pixels, that is kept whole until a window needs it. Of a larger one, whose pixels
    would take much memory, the crop is made at once."""

    # ---- initial map ---------------------------------------------------------------------------------------------

    min_shrunk_window: int = 3
    """Number of frames below which an initial window of low confidence is not shrunk further."""

    # ---- choice of the stride ------------------------------------------------------------------------------------

    max_stride: int = 20
    """Largest stride that is tried when the stride is chosen from the stream (SLAM3R, supplement A)."""
    stride_window_radius: int = 3
    """Radius of the windows with which strides are compared (SLAM3R, supplement A)."""
    windows_per_stride: int = 10
    """Number of random windows whose mean confidence stands for one stride (SLAM3R, supplement A)."""
    stride_batch_size: int = 2
    """Number of windows that I2P sees at once while the stride is chosen, which bounds the memory that takes."""

    # ---- retrieval -----------------------------------------------------------------------------------------------

    descriptor_bands: int = 4
    """Number of horizontal bands of the image whose mean tokens make up a frame's retrieval descriptor."""
    shortlist_best_share: float = 0.5
    """Share of the shortlist for the keyframes that scored best when they were last scored."""
    shortlist_oldest_share: float = 1 / 6
    """Share of the shortlist for the keyframes whose last score is the oldest. The descriptors choose the rest."""

    # ---- camera pose ---------------------------------------------------------------------------------------------

    pose_points: int = 1500
    """Largest number of points that a camera pose is computed from and tested on."""
    similarity_points: int = 400
    """Largest number of points for the similarity between a frame's own pointmap and its world pointmap."""
    good_start_inlier_share: float = 0.4
    """Inlier share of the similarity's pose from which on PnP is refined from there, without a search."""
    min_pnp_inlier_share: float = 0.08
    """Inlier share below which PnP has failed: some wrong pose explains as many points of pure noise by chance."""
    sure_confidence_quantile: float = 0.95
    """Quantile of a frame's confidences that stands for its sure points."""
    min_relative_confidence: float = 0.1
    """Points are tested whose confidence exceeds 1, the value of no knowledge, by this share of what sure points do."""
    remembered_focal_lengths: int = 101
    """Number of frames over which the running median of the focal length is taken."""

    # ---- keyframe buffer -----------------------------------------------------------------------------------------

    min_buffer_keyframes: int = 2
    """Number of keyframes below which the keyframe buffer is not shrunk when the device's memory is full."""
    first_buffer_slots: int = 16
    """Number of slots set aside at the start; it doubles when they are full, up to the size of the buffer."""

    # ---- point map and trajectory --------------------------------------------------------------------------------

    reserved_map_points: int = 2_000_000
    """Number of points that memory is set aside for at the start; beyond that it doubles. The system gives the memory
    only as it is used."""
    max_share_after_coarsening: float = 0.75
    """Share of the largest number of points that may remain after the voxels' side has doubled; if more remain, it
    doubles once more."""
    voxel_share: float = 0.005
    """Side of the map's voxels as a share of the median depth of the first frames, where the setting leaves it to the
    scene: a little more than a pixel of a dense depth image covers there."""
    voxel_size_before_scene: float = 0.02
    """The same in scene units, where no depth of the first frames is known."""
    views_that_carve: int = 3
    """Number of keyframes that must look through a voxel, without one that adds a point to it in between, for it to be
    emptied."""
    free_space_sigmas: float = 3.0
    """Number of standard deviations before a depth up to which the space counts as free."""
    carved_at_once: int = 1 << 17
    """Number of points that are compared with free space at once, which bounds the memory that it takes."""
    first_trajectory_poses: int = 1024
    """Number of poses that memory is set aside for at the start; it doubles when they are full."""

    # ---- warm-up -------------------------------------------------------------------------------------------------

    warm_up_limit_s: float = 5.0
    """Time in seconds after which warming up ends on a CPU. A larger network, whose first frames take little longer
    than its others, is left as it is then."""
    warm_up_limit_gpu_s: float = 30.0
    """Time in seconds after which warming up ends on a GPU, where large networks are worth capturing too."""
    warm_up_pushes: int = 40
    """Number of pushes after the initial map: until the keyframe buffer is full and retrieval has run several times."""
    warm_up_batch_size: int = 4
    """Largest number of frames pushed at once during the warm-up. Larger batches are rare, and their shapes are not
    waited for."""


TUNING = EngineTuning()
"""The values that are used."""
