"""The tree of coordinate frames that /tf and /tf_static describe."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.time import Time
from scipy.spatial.transform import Rotation

_QUATERNION_TOLERANCE = 0.01
"""Largest difference between a quaternion's squared length and 1 at which the transform is taken; tf2 has the same."""


class TransformException(Exception):
    """A transform cannot be looked up."""


class LookupException(TransformException):
    """A frame that was asked for does not exist."""


class ConnectivityException(TransformException):
    """Both frames exist, but no chain of transforms connects them."""


@dataclass(frozen=True)
class _Edge:
    """The transform between a frame and its parent."""

    parent: str
    matrix: NDArray[np.float64]
    """(4, 4): takes points of the frame to its parent."""
    is_static: bool


class Buffer:
    """The newest transform of each frame to its parent.

    Unlike tf2's own buffer it keeps no history: a look-up answers with the newest transforms, whatever its time. It may
    be used by several threads.
    """

    def __init__(self, cache_time: Duration | None = None) -> None:
        self._lock = threading.Lock()
        self._edges: dict[str, _Edge] = {}
        """The transform of each frame that has a parent, by the frame's name."""

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Take a transform from a frame (child_frame_id) to its parent (header.frame_id), replacing the one before.

        One that is not finite, or whose quaternion is not of length 1, is ignored, as tf2 does.
        """
        self._set(transform, is_static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Take a transform that holds for all times, which `clear` leaves in place."""
        self._set(transform, is_static=True)

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration | None = None
    ) -> TransformStamped:
        """Return the transform that takes points of the source frame to the target frame. It never waits.

        Raises LookupException for a frame that does not exist, and ConnectivityException if no chain of transforms
        connects the two.
        """
        with self._lock:
            edges = dict(self._edges)
        known = set(edges) | {edge.parent for edge in edges.values()}
        for frame in (target_frame, source_frame):
            if frame not in known:
                raise LookupException(f'"{frame}" passed to lookupTransform argument does not exist.')
        of_target, of_source = _to_ancestors(edges, target_frame), _to_ancestors(edges, source_frame)
        common = next((frame for frame in of_source if frame in of_target), None)
        if common is None:
            raise ConnectivityException(
                f"Could not find a connection between '{target_frame}' and '{source_frame}' because they are not part "
                "of the same tree. Tf has two or more unconnected trees."
            )
        matrix = np.linalg.inv(of_target[common]) @ of_source[common]
        result = TransformStamped()
        result.header.frame_id, result.child_frame_id = target_frame, source_frame
        translation, rotation = result.transform.translation, result.transform.rotation
        translation.x, translation.y, translation.z = matrix[:3, 3].tolist()
        rotation.x, rotation.y, rotation.z, rotation.w = Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()
        return result

    def clear(self) -> None:
        """Forget every transform that is not static."""
        with self._lock:
            self._edges = {frame: edge for frame, edge in self._edges.items() if edge.is_static}

    def _set(self, transform: TransformStamped, *, is_static: bool) -> None:
        t, q = transform.transform.translation, transform.transform.rotation
        translation, quaternion = np.array([t.x, t.y, t.z]), np.array([q.x, q.y, q.z, q.w])
        is_unit = abs(float(quaternion @ quaternion) - 1.0) <= _QUATERNION_TOLERANCE  # False for NaN
        if not (is_unit and np.isfinite(translation).all()):
            return
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = Rotation.from_quat(quaternion).as_matrix(), translation
        with self._lock:
            self._edges[transform.child_frame_id] = _Edge(transform.header.frame_id, matrix, is_static)


def _to_ancestors(edges: dict[str, _Edge], frame: str) -> dict[str, NDArray[np.float64]]:
    """Return the (4, 4) transform of a frame's points to itself and to each of its ancestors, nearest first."""
    found = {frame: np.eye(4)}
    current, matrix = frame, np.eye(4)
    while current in edges and edges[current].parent not in found:
        edge = edges[current]
        current, matrix = edge.parent, edge.matrix @ matrix
        found[current] = matrix
    return found
