"""The hand-tuned values of what is published, together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutputTuning:
    """Lengths of queues, and the model of the pose's covariance; none of them is a parameter of the node."""

    queue_depth: int = 10
    """Messages that DDS keeps for a reliable subscriber that is slow."""
    waiting_clouds: int = 100
    """Largest number of clouds that wait to be published; a full queue drops the oldest."""
    waiting_depth_images: int = 10
    """Largest number of depth images that wait to be published; a full queue drops the oldest."""
    kept_views: int = 1000
    """Largest number of keyframe views that are kept for subscribers that come late, the newest ones: about 30 kB each
    with the embedded weights."""
    waiting_views: int = 20
    """Largest number of keyframe views that wait to be published; a full queue drops the oldest."""
    view_jpeg_quality: int = 80
    """Quality of a keyframe view's image, of 100."""
    view_confidence_percentile: float = 99.0
    """Percentile of a keyframe view's confidences above which they are published as equal."""
    remembered_clouds: int = 200
    """Number of published clouds that a keyframe's message can refer to. A frame becomes a keyframe at most one
    keyframe interval, which is at most 100 frames, after its cloud."""
    longest_gap_s: float = 1.0
    """Longest time, in seconds, between two poses from which a velocity is computed."""
    unknown_variance: float = 1e6
    """Variance of a velocity that is not known, squared lengths and radians per second: as good as no knowledge."""
    covariance_patches: int = 8
    """Rows and columns of patches in an image. The errors of the points within one patch count as one measurement,
    since the networks' errors are smooth across an image."""
    nearest_depth: float = 0.1
    """Depth, as a fraction of the median depth, below which a point is left out of the covariance: it would outweigh
    all others."""
    least_error_px: float = 0.05
    """Smallest reprojection error, in pixels, that the covariance assumes: nothing is measured better."""
    least_scale_change: float = 0.005
    """Change of the estimated scale, as a fraction, below which everything is not published once more."""
    depth_tolerance_ns: int = 40_000_000
    """Longest time, in nanoseconds, between a keyframe and a depth image that it is compared with."""
    waiting_map_to_odom: int = 30
    """Number of poses that wait for the robot's odometry of their time; the oldest is dropped."""
    most_waiting_for_scale: int = 200
    """Number of keyframes that wait for a metric scale to come into the grid, 200 kB each; of more, every second one is
    forgotten."""
    frustum_depth: float = 0.1
    """Depth of a keyframe's frustum in ~/markers, as a share of the keyframe's median depth."""
    marker_line_width: float = 0.05
    """Width of the lines in ~/markers, as a share of the frustums' size."""


TUNING = OutputTuning()
"""The values in use."""
