"""The camera's extrinsics: where the robot's base, often the frame `base_link`, is seen from its camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tf2_ros import TransformException

from slam3r_ros.ros.input.frame_transforms import FrameTransforms
from slam3r_ros.ros.throttled_log import ThrottledLog


@dataclass(frozen=True, slots=True, eq=False)
class BaseFrame:
    """The base as the camera sees it; without a base frame the base is the camera itself, with its optical axes."""

    frame: str
    """Name of the base's frame, or of the camera's optical frame."""
    T_camera_base: NDArray[np.float64]
    """(4, 4): takes points of the base to the camera, metres; the identity where the base is the camera."""


@dataclass(frozen=True, slots=True, eq=False)
class BasePose:
    """Where the base is."""

    frame: str
    """Name of the base's frame, or of the camera's optical frame."""
    T_map_base: NDArray[np.float64]
    """(4, 4): takes points of the base to the map, published lengths."""
    T_odom_base: NDArray[np.float64]
    """(4, 4): takes points of the base to the frame of visual odometry, published lengths."""
    T_camera_base: NDArray[np.float64]
    """(4, 4): takes points of the base to the camera, metres; the identity where the base is the camera."""


class CameraExtrinsics:
    """Looks the transform from the base to the camera up in TF."""

    def __init__(self, base_frame: str, transforms: FrameTransforms, log: ThrottledLog) -> None:
        """``base_frame`` may be empty: the base is then the camera, and nothing is looked up."""
        self._base_frame = base_frame
        self._log = log
        self._transforms = transforms
        if base_frame:
            transforms.listen()

    def base(self, stamp_ns: int, camera_frame: str) -> BaseFrame | None:
        """Return where the base was seen from the camera at a time.

        It never waits for a transform. None where no transform connects the two, and a warning says so.
        """
        if self._base_frame in ("", camera_frame):
            return BaseFrame(camera_frame, np.eye(4))
        try:
            T_camera_base = self._transforms.at_or_newest(camera_frame, self._base_frame, stamp_ns)
        except TransformException as error:
            self._log.warn(
                "no extrinsics",
                f"no TF and no odometry published: base_frame '{self._base_frame}' has no transform to the camera's "
                f"frame '{camera_frame}' ({error})",
            )
            return None
        return BaseFrame(self._base_frame, T_camera_base)
