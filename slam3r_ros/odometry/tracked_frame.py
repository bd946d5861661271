"""A frame as the tracks see it, and what they tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.odometry.flow_depth import PosedImage
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.klt import Grey
from slam3r_ros.vision.pose_prior import PosePrior


@dataclass(frozen=True, eq=False)
class OdometryInput:
    """A frame as the tracks see it."""

    grey: Grey
    """(height, width), the pointmap's crop at any resolution."""
    matrix: Array
    """(3, 3) intrinsics of ``grey``."""
    depths: NDArray[np.float32]
    """(H, W) along the optical axis, of the frame's own pointmap, in any unit; NaN where it has none."""
    prior: PosePrior | None
    """What L2W says of the frame; None where it says nothing that counts."""
    log_scale: float | None = None
    """Of the world's length of the depths' unit, by L2W's points; None: the prior's."""
    has_own_depths: bool = True
    """Whether the depths are the frame's own pointmap's; else they are those of L2W's points."""
    is_calibrated: bool = True
    """Whether the intrinsics are known; else the tracks look for a better focal length."""

    @cached_property
    def image(self) -> FeatureImage:
        """One for all who ask, so that it is described once."""
        return FeatureImage(self.grey, self.matrix)


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrame:
    """A frame's pose by its tracks."""

    T_world_camera: Array
    """(4, 4)"""
    scale: float
    """World length of the depths' unit."""
    growth: float
    """The scale over the view's, 1 where that is not known."""
    points: int
    """Tracks that agree with it."""
    share: float
    """Of the tracks found in the frame."""
    error_px: float
    """Median reprojection error of those that agree, pixels of the view's image."""
    focal_px: float
    """Of the view's image."""
    width: int
    """Pixels of the view's image."""
    places: Array
    """(N, 2) where the tracks that tell a depth are, columns and rows as shares of the image."""
    depths: Array
    """(N,) of these tracks along the optical axis, world lengths."""
    trust: float
    """Share of L2W's depths in what the depths there are."""
    frame: PosedImage
    """The frame itself."""
    is_keyframe: bool = False
    """Whether it has become a keyframe, or is to become one."""
    partners: tuple[PosedImage, ...] = ()
    """Keyframes that see the same place from elsewhere, if it has; else none."""
