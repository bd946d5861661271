"""What a ROS distribution has in packages of its own and PyPI has not: the real thing if it imports, else a stand-in.

The only file of its kind. Stand-ins have the real ones' names and signatures, as far as this package uses them:

    tf2_ros         TransformBroadcaster, TransformListener, Buffer, TransformException
    sensor_msgs_py  create_cloud
"""

from __future__ import annotations

import array
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from slam3r_ros.geometry.se3 import invert_rigid, quat_xyzw_from_rotation, rigid, rotation_from_quat_xyzw

try:
    from tf2_ros import Buffer, TransformBroadcaster, TransformException, TransformListener

    HAS_TF2_ROS = True
except ImportError:
    HAS_TF2_ROS = False

try:
    from sensor_msgs_py.point_cloud2 import create_cloud

    HAS_SENSOR_MSGS_PY = True
except ImportError:
    HAS_SENSOR_MSGS_PY = False


if TYPE_CHECKING or not HAS_TF2_ROS:

    class TransformException(Exception):  # type: ignore[no-redef]
        """A transform is not known."""

    class TransformBroadcaster:  # type: ignore[no-redef]
        """Publishes transforms on /tf."""

        def __init__(self, node: Node) -> None:
            self.pub_tf = node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))

        def sendTransform(self, transform: TransformStamped) -> None:
            """Publish one transform."""
            self.pub_tf.publish(TFMessage(transforms=[transform]))

    class Buffer:  # type: ignore[no-redef]
        """The newest transform to each frame from its parent. Unlike tf2's it keeps no history."""

        def __init__(self) -> None:
            self._parents: dict[str, tuple[str, NDArray[np.float64]]] = {}

        def set_transform(self, transform: TransformStamped, authority: str) -> None:
            """Take a transform from a parent (header.frame_id) to a child."""
            t, q = transform.transform.translation, transform.transform.rotation
            matrix = rigid(rotation_from_quat_xyzw([q.x, q.y, q.z, q.w]), [t.x, t.y, t.z])
            self._parents[transform.child_frame_id] = (transform.header.frame_id, matrix)

        def lookup_transform(
            self, target_frame: str, source_frame: str, time: Time, timeout: Duration | None = None
        ) -> TransformStamped:
            """T_target_source; never waits. Raises TransformException if the two are not connected."""
            from_target, from_source = self._to_ancestors(target_frame), self._to_ancestors(source_frame)
            common = next((frame for frame in from_source if frame in from_target), None)
            if common is None:
                raise TransformException(f"no transform connects '{target_frame}' and '{source_frame}'")
            matrix = invert_rigid(from_target[common]) @ from_source[common]
            result = TransformStamped(header=Header(frame_id=target_frame), child_frame_id=source_frame)
            translation, rotation = result.transform.translation, result.transform.rotation
            translation.x, translation.y, translation.z = matrix[:3, 3].tolist()
            rotation.x, rotation.y, rotation.z, rotation.w = quat_xyzw_from_rotation(matrix[:3, :3]).tolist()
            return result

        def _to_ancestors(self, frame: str) -> dict[str, NDArray[np.float64]]:
            """T_ancestor_frame of the frame itself and all its ancestors, nearest first."""
            found = {frame: np.eye(4)}
            current, matrix = frame, np.eye(4)
            while current in self._parents and self._parents[current][0] not in found:
                current, step = self._parents[current]
                matrix = step @ matrix
                found[current] = matrix
            return found

    class TransformListener:  # type: ignore[no-redef]
        """Fills a buffer from /tf and /tf_static."""

        def __init__(self, buffer: Buffer, node: Node) -> None:
            self._buffer, self._node = buffer, node
            static = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            self._subscriptions = [
                node.create_subscription(TFMessage, "/tf", self._take, QoSProfile(depth=100)),
                node.create_subscription(TFMessage, "/tf_static", self._take, static),
            ]

        def unregister(self) -> None:
            """Stop listening."""
            for subscription in self._subscriptions:
                self._node.destroy_subscription(subscription)

        def _take(self, message: TFMessage) -> None:
            for transform in message.transforms:
                with suppress(ValueError):  # a quaternion that is none: tf2 ignores such a transform too
                    self._buffer.set_transform(transform, "")


if TYPE_CHECKING or not HAS_SENSOR_MSGS_PY:

    def create_cloud(header: Header, fields: list[PointField], points: NDArray[Any]) -> PointCloud2:  # type: ignore[no-redef]
        """A cloud of one row from a structured array (N,) whose layout the fields describe."""
        # Assigning bytes or an ndarray to `data` checks every byte in Python; an array.array is taken as it is.
        data = array.array("B")
        data.frombytes(points.view(np.uint8).data)
        step = points.dtype.itemsize
        return PointCloud2(
            header=header, height=1, width=len(points), fields=fields, is_bigendian=False, point_step=step,
            row_step=step * len(points), data=data, is_dense=True,
        )  # fmt: skip
