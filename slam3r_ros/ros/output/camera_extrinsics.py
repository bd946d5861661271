"""The camera's extrinsics: where the robot's base, often the frame `base_link`, is seen from its camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener

from slam3r_ros.geometry.se3 import rigid, rotation_from_quat_xyzw
from slam3r_ros.ros.throttled_log import ThrottledLog


@dataclass(frozen=True, slots=True, eq=False)
class BasePose:
    """Where the base is on the map; without a base frame the base is the camera itself, with its optical axes."""

    frame: str
    """Name of the base's frame, or of the camera's optical frame."""
    T_map_base: NDArray[np.float64]
    """(4, 4): takes points of the base to the map, published lengths."""
    T_camera_base: NDArray[np.float64]
    """(4, 4): takes points of the base to the camera, metres; the identity where the base is the camera."""


class CameraExtrinsics:
    """Looks the transform from the base to the camera up in TF."""

    def __init__(self, node: Node, base_frame: str, log: ThrottledLog) -> None:
        """``base_frame`` may be empty: the base is then the camera, and nothing is looked up."""
        self._base_frame = base_frame
        self._log = log
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node) if base_frame else None

    def base_pose(self, stamp_ns: int, camera_frame: str, T_map_camera: NDArray[np.float64]) -> BasePose | None:
        """Return the base's pose at the time when the camera was at ``T_map_camera`` (4, 4).

        It never waits for a transform. None where no transform connects the two, and a warning says so.
        """
        if self._base_frame in ("", camera_frame):
            return BasePose(camera_frame, T_map_camera, np.eye(4))
        T_camera_base = self._lookup(camera_frame, self._base_frame, stamp_ns)
        if T_camera_base is None:
            return None
        return BasePose(self._base_frame, T_map_camera @ T_camera_base, T_camera_base)

    def clear(self) -> None:
        """Forget the transforms that are not static.

        After a backward jump of time tf2 would keep those that lie in the future now, and refuse those that come.
        """
        self._buffer.clear()

    def destroy(self) -> None:
        """Destroy the subscriptions."""
        if self._listener is not None:
            self._listener.unregister()

    def _lookup(self, target: str, source: str, stamp_ns: int) -> NDArray[np.float64] | None:
        """Return T_target_source (4, 4) at a time, else the newest one; None where there is none."""
        try:
            try:
                found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
            except TransformException:
                found = self._buffer.lookup_transform(target, source, Time())
        except TransformException as error:
            self._log.warn(
                "no extrinsics",
                f"no TF and no odometry published: base_frame '{source}' has no transform to the camera's frame "
                f"'{target}' ({error})",
            )
            return None
        t, q = found.transform.translation, found.transform.rotation
        return rigid(rotation_from_quat_xyzw([q.x, q.y, q.z, q.w]), [t.x, t.y, t.z])
