"""TF: where the camera, or the robot that carries it, is on the map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

from slam3r_ros.engine.geometry import invert_rigid, rigid, rotation_from_quat_xyzw
from slam3r_ros.ros.messages import transform_message
from slam3r_ros.ros.notices import Notices
from slam3r_ros.ros.settings import NodeSettings
from slam3r_ros.ros.stand_ins import Buffer, TransformBroadcaster, TransformException, TransformListener


class TransformOutput:
    """Publishes map_frame -> base_frame (or its inverse), unless that would give a frame a second parent."""

    def __init__(self, node: Node, settings: NodeSettings, notices: Notices) -> None:
        self._node = node
        self._settings = settings
        self._notices = notices
        self._broadcaster = TransformBroadcaster(node)
        self._parents = ParentWatch(node)
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node) if settings.base_frame else None

    def publish(self, stamp_ns: int, camera_frame: str, T_map_camera: NDArray[np.float64]) -> None:
        """Publish the transform of one frame with the image's stamp. Never waits for another transform."""
        map_frame, base_frame = self._settings.map_frame, self._settings.base_frame or camera_frame
        T_map_base = T_map_camera
        if base_frame != camera_frame:
            T_camera_base = self._lookup(camera_frame, base_frame, stamp_ns)
            if T_camera_base is None:
                return
            T_map_base = T_map_camera @ T_camera_base
        parent, child, T_parent_child = map_frame, base_frame, T_map_base
        if self._settings.invert_tf:
            parent, child, T_parent_child = base_frame, map_frame, invert_rigid(T_map_base)
        if (other := self._parents.other_parent(child, parent)) is not None:
            self._notices.warn("second parent", self._second_parent(parent, child, other))
            return
        self._broadcaster.sendTransform(transform_message(stamp_ns, parent, child, T_parent_child))

    def destroy(self) -> None:
        """Give publisher and subscriptions back."""
        if self._listener is not None:
            self._listener.unregister()
        self._parents.destroy()
        self._node.destroy_publisher(self._broadcaster.pub_tf)

    def _lookup(self, target: str, source: str, stamp_ns: int) -> NDArray[np.float64] | None:
        """T_target_source at a time, else the newest; None, and the user told, if there is none."""
        try:
            try:
                found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
            except TransformException:
                found = self._buffer.lookup_transform(target, source, Time())
        except TransformException as error:
            self._notices.warn(
                "no mount",
                f"no TF published: base_frame '{source}' has no transform to the camera's frame '{target}' ({error})",
            )
            return None
        t, q = found.transform.translation, found.transform.rotation
        return rigid(rotation_from_quat_xyzw([q.x, q.y, q.z, q.w]), [t.x, t.y, t.z])

    def _second_parent(self, parent: str, child: str, other: str) -> str:
        advice = "set invert_tf, or tf_mode: none"
        if not self._settings.invert_tf:
            root = self._parents.root_of(child)
            advice = f"set base_frame: {root}, or invert_tf, or tf_mode: none"
        return f"no TF published from '{parent}' to '{child}': '{child}' has the parent '{other}' already; {advice}"


class ParentWatch:
    """Who is whose parent, as others say on /tf and /tf_static."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._parents: dict[str, set[str]] = {}
        static = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            node.create_subscription(TFMessage, "/tf", self.take, QoSProfile(depth=100)),
            node.create_subscription(TFMessage, "/tf_static", self.take, static),
        ]

    def take(self, message: TFMessage) -> None:
        """Note the parents in a message."""
        for transform in message.transforms:
            self._parents.setdefault(transform.child_frame_id, set()).add(transform.header.frame_id)

    def other_parent(self, child: str, parent: str) -> str | None:
        """A parent of ``child`` that is not ``parent``."""
        return next((name for name in self._parents.get(child, ()) if name != parent), None)

    def root_of(self, frame: str) -> str:
        """The topmost ancestor of a frame."""
        seen = {frame}
        while (parent := next(iter(self._parents.get(frame, ())), None)) is not None and parent not in seen:
            seen.add(parent)
            frame = parent
        return frame

    def destroy(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
