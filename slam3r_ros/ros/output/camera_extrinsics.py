"""What carries the camera: the base frame, and where the camera sits on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.time import Time

from slam3r_ros.geometry.se3 import rigid, rotation_from_quat_xyzw
from slam3r_ros.ros.pipeline.throttled_log import ThrottledLog
from slam3r_ros.ros.stand_ins import HAS_TF2_ROS, Buffer, TransformException, TransformListener


@dataclass(frozen=True, slots=True, eq=False)
class BasePose:
    """Where the base is; without a base frame it is the camera itself, with its optical axes."""

    frame: str
    T_map_base: NDArray[np.float64]
    """(4, 4), published lengths."""
    T_camera_base: NDArray[np.float64]
    """(4, 4), the identity for the camera itself."""


class CameraExtrinsics:
    """Knows by TF where the base is, seen from the camera. A mount is in metres, as all of TF."""

    def __init__(self, node: Node, base_frame: str, notices: ThrottledLog) -> None:
        """``base_frame`` may be empty: the base is then the camera."""
        self._base_frame = base_frame
        self._notices = notices
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node) if base_frame else None

    def base_pose(self, stamp_ns: int, camera_frame: str, T_map_camera: NDArray[np.float64]) -> BasePose | None:
        """The base at a time when the camera was at ``T_map_camera`` (4, 4). Never waits for a transform.

        None, and the user told, where no transform connects the two.
        """
        if self._base_frame in ("", camera_frame):
            return BasePose(camera_frame, T_map_camera, np.eye(4))
        T_camera_base = self._lookup(camera_frame, self._base_frame, stamp_ns)
        if T_camera_base is None:
            return None
        return BasePose(self._base_frame, T_map_camera @ T_camera_base, T_camera_base)

    def forget(self) -> None:
        """Time may have jumped back: tf2 would keep transforms that lie in the future now, and refuse those that come.
        Static ones stay.
        """
        if HAS_TF2_ROS:
            self._buffer.clear()

    def destroy(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.unregister()

    def _lookup(self, target: str, source: str, stamp_ns: int) -> NDArray[np.float64] | None:
        """T_target_source at a time, else the newest."""
        try:
            try:
                found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
            except TransformException:
                found = self._buffer.lookup_transform(target, source, Time())
        except TransformException as error:
            self._notices.warn(
                "no mount",
                f"no TF and no odometry published: base_frame '{source}' has no transform to the camera's frame "
                f"'{target}' ({error})",
            )
            return None
        t, q = found.transform.translation, found.transform.rotation
        return rigid(rotation_from_quat_xyzw([q.x, q.y, q.z, q.w]), [t.x, t.y, t.z])
