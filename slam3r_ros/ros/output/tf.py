"""TF: where the camera, or the robot that carries it, is on the map (REP-105)."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from numpy import float64
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.timer import Timer
from tf2_ros import TransformException

from slam3r_ros.geometry.se3 import invert_rigid
from slam3r_ros.ros.input.frame_transforms import FrameTransforms
from slam3r_ros.ros.output.camera_extrinsics import BasePose
from slam3r_ros.ros.output.tf_broadcaster import ExclusiveBroadcaster, Link
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.throttled_log import ThrottledLog


class PoseOnTF(Protocol):
    """What publishes poses on TF."""

    def publish(self, stamp_ns: int, base: BasePose, *, is_metric: bool) -> None:
        """Publish the transform of one frame. ``is_metric``: whether its lengths are metres."""

    def clear(self) -> None:
        """Forget what was published, since another map or another time has begun."""

    def change_settings(self, settings: NodeSettings) -> None:
        """Use other values of those parameters that may change at any time."""

    def destroy(self) -> None:
        """Destroy publisher and subscriptions."""


def transform_output(
    node: Node, settings: NodeSettings, transforms: FrameTransforms, log: ThrottledLog
) -> PoseOnTF | None:
    """What the parameter tf_mode names; None where nothing is published."""
    if settings.tf_mode == "none":
        return None
    if settings.tf_mode == "map_to_odom":
        return MapToOdomOutput(node, settings, transforms, log)
    if settings.tf_mode == "map_to_odom_to_base":
        return MapToOdomToBaseOutput(node, settings, log)
    return MapToBaseOutput(node, settings, log)


class MapToBaseOutput:
    """Publishes map_frame -> base_frame (or its inverse), unless that would give a frame a second parent."""

    def __init__(self, node: Node, settings: NodeSettings, log: ThrottledLog) -> None:
        self._settings = settings
        self._broadcaster = ExclusiveBroadcaster(node, log)

    def publish(self, stamp_ns: int, base: BasePose, *, is_metric: bool) -> None:
        """Publish the transform of one frame with the image's stamp."""
        parent, child, T_parent_child = self._settings.map_frame, base.frame, base.T_map_base
        if self._settings.invert_tf:
            parent, child, T_parent_child = child, parent, invert_rigid(T_parent_child)
            advice = "set invert_tf: false, or tf_mode: none"
        else:
            advice = f"set base_frame: {self._broadcaster.root_of(child)}, or invert_tf, or tf_mode: none"
        self._broadcaster.send(stamp_ns, Link(parent, child, T_parent_child, advice))

    def clear(self) -> None:
        """Nothing is kept from one frame to the next."""

    def change_settings(self, settings: NodeSettings) -> None:
        """No parameter that may change at any time concerns this transform."""

    def destroy(self) -> None:
        """Destroy publisher and subscriptions."""
        self._broadcaster.destroy()


class MapToOdomToBaseOutput:
    """Publishes map_frame -> odom_frame -> base_frame with each pose, as REP-105 has them, for a camera without other
    odometry: visual odometry moves the base, and corrections of the map move odom_frame.

    Neither is published where one of them would give a frame a second parent, or where another node publishes the
    transform from odom_frame to base_frame: then odom_frame is the robot's.
    """

    def __init__(self, node: Node, settings: NodeSettings, log: ThrottledLog) -> None:
        self._settings, self._log = settings, log
        self._broadcaster = ExclusiveBroadcaster(node, log)

    def publish(self, stamp_ns: int, base: BasePose, *, is_metric: bool) -> None:
        """Publish both transforms of one frame with the image's stamp."""
        settings, odom = self._settings, self._settings.odom_frame
        if self._broadcaster.is_sent_by_others(odom, base.frame):
            self._log.warn(
                "visual odom_frame",
                f"no TF published: another node publishes the transform from '{odom}' to '{base.frame}'; set tf_mode: "
                "map_to_odom if that is the robot's odometry, or another odom_frame and base_frame",
            )
            return
        T_map_odom = base.T_map_base @ invert_rigid(base.T_odom_base)
        top = self._broadcaster.root_of(base.frame)
        advice = f"set tf_mode: map_to_odom if that is the robot's odometry, or base_frame: {top}, or tf_mode: none"
        self._broadcaster.send(
            stamp_ns,
            Link(settings.map_frame, odom, T_map_odom, "set another odom_frame, or tf_mode: none"),
            Link(odom, base.frame, base.T_odom_base, advice),
        )

    def clear(self) -> None:
        """Nothing is kept from one frame to the next."""

    def change_settings(self, settings: NodeSettings) -> None:
        """No parameter that may change at any time concerns this transform."""

    def destroy(self) -> None:
        """Destroy publisher and subscriptions."""
        self._broadcaster.destroy()


class MapToOdomOutput:
    """Publishes map_frame -> odom_frame, which corrects the robot's odometry (REP-105): the pose of the base on the
    map, less its pose by odometry at the image's time.

    Odometry of that time may come later than the pose: poses wait for it, and nothing waits for them. The newest
    transform is published again at a steady rate, dated a tolerance ahead, so that it can be used until the next one.
    """

    def __init__(self, node: Node, settings: NodeSettings, transforms: FrameTransforms, log: ThrottledLog) -> None:
        self._node, self._settings, self._log = node, settings, log
        self._broadcaster = ExclusiveBroadcaster(node, log)
        self._transforms = transforms
        transforms.listen()
        self._waiting: deque[tuple[int, BasePose]] = deque(maxlen=TUNING.waiting_map_to_odom)
        self._newest: NDArray[float64] | None = None
        self._timer = self._new_timer()

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

    def change_settings(self, settings: NodeSettings) -> None:
        """Date transforms by another tolerance, and publish them again at another rate."""
        is_other_rate = settings.tf_rate != self._settings.tf_rate
        self._settings = settings
        if is_other_rate:
            self._destroy_timer()
            self._timer = self._new_timer()

    def clear(self) -> None:
        """Stop publishing the transform of the map of before."""
        self._waiting.clear()
        self._newest = None

    def destroy(self) -> None:
        """Destroy timer, publisher and subscriptions."""
        self._destroy_timer()
        self._broadcaster.destroy()

    def _new_timer(self) -> Timer | None:
        """The timer that publishes the transform again; None where that is not wanted."""
        rate = self._settings.tf_rate
        return self._node.create_timer(1 / rate, self._publish_again) if rate else None

    def _destroy_timer(self) -> None:
        if self._timer is not None:
            self._node.destroy_timer(self._timer)

    def _publish_again(self) -> None:
        """Publish the newest transform with the present time, by the executor's thread."""
        self._broadcast(self._node.get_clock().now().nanoseconds)

    def _broadcast(self, stamp_ns: int) -> None:
        if self._newest is None:
            return
        ahead_ns, advice = round(self._settings.tf_tolerance * 1e9), "stop what publishes it, or set tf_mode: none"
        frames = (self._settings.map_frame, self._settings.odom_frame)
        self._broadcaster.send(stamp_ns + ahead_ns, Link(*frames, self._newest, advice))
