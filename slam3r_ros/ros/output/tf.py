"""TF: where the camera, or the robot that carries it, is on the map (REP-105)."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from numpy import float64
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage
from tf2_ros import TransformBroadcaster, TransformException

from slam3r_ros.geometry.se3 import invert_rigid
from slam3r_ros.ros.input.frame_transforms import FrameTransforms
from slam3r_ros.ros.output.camera_extrinsics import BasePose
from slam3r_ros.ros.output.messages import transform_message
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.throttled_log import ThrottledLog

_DEPTH = 100
"""Messages of /tf and /tf_static that DDS keeps for the executor, as many as tf2's own listener asks for."""


class PoseOnTF(Protocol):
    """What publishes poses on TF."""

    def publish(self, stamp_ns: int, base: BasePose, *, is_metric: bool) -> None:
        """Publish the transform of one frame. ``is_metric``: whether its lengths are metres."""

    def clear(self) -> None:
        """Forget what was published, since another map or another time has begun."""

    def destroy(self) -> None:
        """Destroy publisher and subscriptions."""


def transform_output(node: Node, settings: NodeSettings, log: ThrottledLog) -> PoseOnTF | None:
    """What the parameter tf_mode names; None where nothing is published."""
    if settings.tf_mode == "none":
        return None
    kind = MapToOdomOutput if settings.tf_mode == "map_to_odom" else MapToBaseOutput
    return kind(node, settings, log)


class MapToBaseOutput:
    """Publishes map_frame -> base_frame (or its inverse), unless that would give a frame a second parent."""

    def __init__(self, node: Node, settings: NodeSettings, log: ThrottledLog) -> None:
        self._node = node
        self._settings = settings
        self._log = log
        self._broadcaster = TransformBroadcaster(node)
        self._parents = FrameParents(node)

    def publish(self, stamp_ns: int, base: BasePose, *, is_metric: bool) -> None:
        """Publish the transform of one frame with the image's stamp."""
        parent, child, T_parent_child = self._settings.map_frame, base.frame, base.T_map_base
        if self._settings.invert_tf:
            parent, child, T_parent_child = child, parent, invert_rigid(T_parent_child)
        if (other := self._parents.other_parent(child, parent)) is not None:
            self._log.warn("second parent", self._second_parent(parent, child, other))
            return
        self._broadcaster.sendTransform(transform_message(stamp_ns, parent, child, T_parent_child))

    def clear(self) -> None:
        """Nothing is kept from one frame to the next."""

    def destroy(self) -> None:
        """Destroy publisher and subscriptions."""
        self._parents.destroy()
        self._node.destroy_publisher(self._broadcaster.pub_tf)

    def _second_parent(self, parent: str, child: str, other: str) -> str:
        """Return the warning that says why nothing is published, and what to set instead."""
        advice = "set invert_tf, or tf_mode: none"
        if not self._settings.invert_tf:
            root = self._parents.root_of(child)
            advice = f"set base_frame: {root}, or invert_tf, or tf_mode: none"
        return f"no TF published from '{parent}' to '{child}': '{child}' has the parent '{other}' already; {advice}"


class MapToOdomOutput:
    """Publishes map_frame -> odom_frame, which corrects the robot's odometry (REP-105): the pose of the base on the
    map, less its pose by odometry at the image's time.

    Odometry of that time may come later than the pose: poses wait for it, and nothing waits for them. The newest
    transform is published again at a steady rate, dated a tolerance ahead, so that it can be used until the next one.
    """

    def __init__(self, node: Node, settings: NodeSettings, log: ThrottledLog) -> None:
        self._node, self._settings, self._log = node, settings, log
        self._broadcaster = TransformBroadcaster(node)
        self._parents = FrameParents(node)
        self._transforms = FrameTransforms(node)
        self._waiting: deque[tuple[int, BasePose]] = deque(maxlen=TUNING.waiting_map_to_odom)
        self._newest: NDArray[float64] | None = None
        period_s = 1 / settings.tf_rate if settings.tf_rate else None
        self._timer = None if period_s is None else node.create_timer(period_s, self._publish_again)

    def publish(self, stamp_ns: int, base: BasePose, *, is_metric: bool) -> None:
        """Publish the transform by the newest pose whose odometry is known; with a warning where there is none.

        Without a metric scale nothing is published: odometry is in metres, and the difference would mean nothing.
        """
        if not is_metric:
            self._log.warn(
                "map_to_odom scale",
                "no TF from map_frame to odom_frame: the scale of the map is not known; set scale, call ~/set_scale or "
                "choose a scale_source",
            )
            return
        self._waiting.append((stamp_ns, base))
        odom, reason = self._settings.odom_frame, ""
        for position in reversed(range(len(self._waiting))):
            waiting_ns, pose = self._waiting[position]
            try:
                T_odom_base = self._transforms.at(odom, pose.frame, waiting_ns)
            except TransformException as error:
                reason = str(error)
                continue
            for _ in range(position + 1):
                self._waiting.popleft()
            self._newest = pose.T_map_base @ invert_rigid(T_odom_base)
            self._broadcast(waiting_ns)
            return
        if len(self._waiting) == self._waiting.maxlen:
            self._log.warn(
                "map_to_odom odometry",
                f"no TF from map_frame to odom_frame: no transform from '{odom}' to '{base.frame}' at the images' "
                f"times ({reason}); check that odometry publishes it, and that its clock is the camera's",
            )

    def clear(self) -> None:
        """Stop publishing the transform of the map of before."""
        self._waiting.clear()
        self._newest = None
        self._transforms.clear()

    def destroy(self) -> None:
        """Destroy timer, publisher and subscriptions."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._parents.destroy()
        self._transforms.destroy()
        self._node.destroy_publisher(self._broadcaster.pub_tf)

    def _publish_again(self) -> None:
        """Publish the newest transform with the present time, by the executor's thread."""
        self._broadcast(self._node.get_clock().now().nanoseconds)

    def _broadcast(self, stamp_ns: int) -> None:
        newest, (parent, child) = self._newest, (self._settings.map_frame, self._settings.odom_frame)
        if newest is None:
            return
        if (other := self._parents.other_parent(child, parent)) is not None:
            self._log.warn(
                "second parent",
                f"no TF published from '{parent}' to '{child}': '{child}' has the parent '{other}' already; stop what "
                "publishes it, or set tf_mode: none",
            )
            return
        ahead_ns = round(self._settings.tf_tolerance * 1e9)
        self._broadcaster.sendTransform(transform_message(stamp_ns + ahead_ns, parent, child, newest))


class FrameParents:
    """The parents of each frame, as other nodes publish them on /tf and /tf_static."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._parents: dict[str, set[str]] = {}
        static = QoSProfile(depth=_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            node.create_subscription(TFMessage, "/tf", self.record, QoSProfile(depth=_DEPTH)),
            node.create_subscription(TFMessage, "/tf_static", self.record, static),
        ]

    def record(self, message: TFMessage) -> None:
        """Record the parents in a message."""
        for transform in message.transforms:
            self._parents.setdefault(transform.child_frame_id, set()).add(transform.header.frame_id)

    def other_parent(self, child: str, parent: str) -> str | None:
        """Return a parent of ``child`` other than ``parent``; None if there is none."""
        return next((name for name in self._parents.get(child, ()) if name != parent), None)

    def root_of(self, frame: str) -> str:
        """Return the topmost ancestor of a frame."""
        visited = {frame}
        while (parent := next(iter(self._parents.get(frame, ())), None)) is not None and parent not in visited:
            visited.add(parent)
            frame = parent
        return frame

    def destroy(self) -> None:
        """Destroy the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
