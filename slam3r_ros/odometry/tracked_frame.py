"""What visual odometry takes of a registered frame, and what it finds of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.crop import WHOLE_IMAGE, CropRegion
from slam3r_ros.geometry.dead_reckoning import DeadReckoning
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.odometry.flow_depth import PosedImage
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.klt import Grey
from slam3r_ros.vision.pose_prior import PosePrior

Relocalize = Callable[[FeatureImage], "tuple[Array, float | None] | None"]
"""Relocalization: takes the image of a frame that tracking has lost, and returns T_world_camera (4, 4) and, where it is
known, the logarithm of the scale of the frame's own pointmap; returns None where no remembered place shows the same."""


@dataclass(frozen=True, eq=False)
class OdometryInput:
    """What visual odometry takes of a registered frame: its image, its depths and a prior of its pose."""

    grey: Grey
    """(height, width) whole grey image, at any resolution."""
    matrix: Array
    """(3, 3) intrinsics of ``grey``."""
    depths: NDArray[np.float32]
    """(H, W) along the optical axis, of the frame's own pointmap, in any unit; NaN where it has none."""
    prior: PosePrior | None
    """The prior of pose and scale by L2W; None where L2W has lost the frame and no scale is known."""
    log_scale: float | None = None
    """Logarithm of the scale of the depths by L2W's points: scene units for one unit of the depths; None where it is
    the prior's."""
    has_own_depths: bool = True
    """Whether the depths are those of the frame's own pointmap, by I2P; else they are those of its world points, by
    L2W."""
    is_calibrated: bool = True
    """Whether the intrinsics are known; else self-calibration looks for a better focal length."""
    crop: CropRegion = WHOLE_IMAGE
    """The part of the image that the depths are of."""
    index: int = 0
    """Number of the frame."""

    @cached_property
    def image(self) -> FeatureImage:
        """The image with its features, made once, since computing them is slow."""
        return FeatureImage(self.grey, self.matrix, self.crop)


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrame:
    """A frame's pose by visual odometry, with the landmarks that it sees."""

    T_world_camera: Array
    """(4, 4) rigid transform that takes points of the camera to the world."""
    scale: float
    """Scene units for one unit of the depths of the frame's own pointmap."""
    scale_ratio: float
    """The scale by visual odometry divided by that of L2W; 1 where the latter is not known."""
    points: int
    """Number of the tracks that agree with the pose."""
    share: float
    """The share of the tracks found in the frame that agree with the pose."""
    error_px: float
    """Median reprojection error of the tracks that agree with the pose, pixels of the grey image."""
    places: Array
    """(N, 2) where the landmarks of known depth are seen in the networks' crop: columns and rows as shares of its width
    and height."""
    depths: Array
    """(N,) depths of these landmarks along the optical axis, scene units."""
    prior_weight: float
    """Weight, from 0 to 1, that the prior by L2W has against the landmarks in the scale."""
    frame: PosedImage
    """The image of the frame with its pose, for two-view depth."""
    reckoning: DeadReckoning
    """Where the camera is by the sum of its motions, which nothing corrects."""
    is_keyframe: bool = False
    """Whether it has become a keyframe, or is to become one."""
    partners: tuple[PosedImage, ...] = ()
    """Keyframes that see the same place from elsewhere, for two-view depth; empty unless the frame has become a
    keyframe."""
