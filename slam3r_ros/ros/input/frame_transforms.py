"""Transforms between frames of other nodes, by TF, as 4 x 4 matrices; nothing here ever waits for one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener

from slam3r_ros.geometry.se3 import rigid, rotation_from_quat_xyzw


class FrameTransforms:
    """Looks transforms up, for all parts of the node that need them: TF is subscribed to once. Any thread may use it;
    TF comes in with the executor's."""

    def __init__(self, node: Node) -> None:
        """Nothing is known before `listen`."""
        self._node, self._buffer = node, Buffer()
        self._listener: TransformListener | None = None

    def listen(self) -> None:
        """Subscribe to TF, if nobody has asked for that before."""
        if self._listener is None:
            self._listener = TransformListener(self._buffer, self._node)

    def at(self, target: str, source: str, stamp_ns: int) -> NDArray[np.float64]:
        """Return T_target_source (4, 4) at a time, interpolated by tf2; raises TransformException, which says why there
        is none."""
        found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns)).transform
        t, q = found.translation, found.rotation
        return rigid(rotation_from_quat_xyzw([q.x, q.y, q.z, q.w]), [t.x, t.y, t.z])

    def at_or_newest(self, target: str, source: str, stamp_ns: int) -> NDArray[np.float64]:
        """Return T_target_source (4, 4) at a time, else the newest one; raises TransformException where there is
        none."""
        try:
            return self.at(target, source, stamp_ns)
        except TransformException:
            return self.at(target, source, 0)  # tf2 takes time 0 for the newest

    def clear(self) -> None:
        """Forget the transforms that are not static.

        After a backward jump of time tf2 would keep those that lie in the future now, and refuse those that come.
        """
        self._buffer.clear()

    def destroy(self) -> None:
        """Destroy the subscriptions."""
        if self._listener is not None:
            self._listener.unregister()
