"""Where the robot is, how fast it moves, and how certain that is: nav_msgs/Odometry.

The poses are of `base_frame`; without a base frame, of the camera's optical frame. That of ~/odometry is on the map
frame, the same as TF's: it moves when the map is corrected, as REP-105 allows for the map frame and not for odom. That
of ~/visual_odometry is the sum of the motions from frame to frame, and moves with the camera alone. The twist of both
is that of the latter, along the axes of the child frame, as nav_msgs/Odometry has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseWithCovariance, Twist, TwistWithCovariance, Vector3
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from slam3r_ros.geometry.se3 import Array, vector_from_rotation
from slam3r_ros.ros.output.camera_extrinsics import BasePose
from slam3r_ros.ros.output.messages import header, pose_message
from slam3r_ros.ros.output.pose_covariance import DriftCovariance, PoseUncertainty, transform_covariance
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.types import MapUpdate, PoseEstimate


@dataclass(frozen=True, slots=True, eq=False)
class _StampedBasePose:
    """A pose of the base, from two of which a velocity is computed."""

    stamp_ns: int
    """Time of the image, integer nanoseconds."""
    frame: str
    """Name of the base's frame."""
    T_odom_base: Array
    """(4, 4): takes points of the base to the frame of visual odometry, published lengths."""
    covariance: Array
    """(6, 6) of position and rotation by this frame's own estimate alone, along the axes of that frame."""


class OdometryOutput:
    """The topics ~/odometry and ~/visual_odometry, one message for each tracked frame."""

    def __init__(self, node: Node, map_frame: str, odom_frame: str) -> None:
        self._node = node
        self._map_frame, self._odom_frame = map_frame, odom_frame
        quality = QoSProfile(depth=TUNING.queue_depth)
        self._publisher = node.create_publisher(Odometry, "~/odometry", quality)
        self._visual = node.create_publisher(Odometry, "~/visual_odometry", quality)
        self._uncertainty, self._drift = PoseUncertainty(), DriftCovariance()
        self._previous: _StampedBasePose | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether somebody subscribes."""
        return any(each.get_subscription_count() > 0 for each in (self._publisher, self._visual))

    def observe(self, update: MapUpdate) -> None:
        """Keep what a tracked and registered frame observes, from which covariances up to the next one are computed."""
        self._uncertainty.observe(update)

    def publish(
        self, stamp_ns: int, pose: PoseEstimate, base: BasePose, *, unit: float, is_continuous: bool = True
    ) -> None:
        """Publish the odometry of one tracked frame; ``unit`` is the published length of a scene unit.
        ``is_continuous``: whether the motion since the frame before is known; else no velocity is."""
        own, on_map = self._uncertainty.covariances(pose, unit)
        own = _of_base(own, base.T_odom_base, base.T_camera_base)
        present = _StampedBasePose(stamp_ns, base.frame, base.T_odom_base, own)
        twist, covariance = _velocity(self._previous if is_continuous else None, present)
        self._previous = present
        velocity = TwistWithCovariance(twist=_twist_message(twist), covariance=covariance.ravel())
        if self._publisher.get_subscription_count():
            on_map = _of_base(on_map, base.T_map_base, base.T_camera_base)
            pose_on_map = PoseWithCovariance(pose=pose_message(base.T_map_base), covariance=on_map.ravel())
            self._publisher.publish(_message(header(stamp_ns, self._map_frame), base.frame, pose_on_map, velocity))
        if self._visual.get_subscription_count():
            summed = self._drift.add(base.T_odom_base[:3, 3], own)
            pose_in_odom = PoseWithCovariance(pose=pose_message(base.T_odom_base), covariance=summed.ravel())
            self._visual.publish(_message(header(stamp_ns, self._odom_frame), base.frame, pose_in_odom, velocity))

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._publisher, self._visual):
            self._node.destroy_publisher(publisher)


def _message(head: Header, child: str, pose: PoseWithCovariance, velocity: TwistWithCovariance) -> Odometry:
    return Odometry(header=head, child_frame_id=child, pose=pose, twist=velocity)


def _of_base(of_camera: Array, T_frame_base: Array, T_camera_base: Array) -> Array:
    """Return the (6, 6) covariance of the base, along the axes of a frame in which it has a pose (4, 4), from that of
    the camera along its own."""
    R_frame_camera = T_frame_base[:3, :3] @ T_camera_base[:3, :3].T
    return transform_covariance(of_camera, T_camera_base, R_frame_camera)


def twist_between(T_odom_before: Array, T_odom_now: Array, seconds: float) -> Array:
    """Return the (6,) mean linear and angular velocity between two (4, 4) poses, along the axes of the second one."""
    rotation = T_odom_now[:3, :3]
    rotation_vector = vector_from_rotation(T_odom_before[:3, :3].T @ rotation)  # the axis is the same in both frames
    return np.concatenate([rotation.T @ (T_odom_now[:3, 3] - T_odom_before[:3, 3]), rotation_vector]) / seconds


def _velocity(before: _StampedBasePose | None, now: _StampedBasePose) -> tuple[Array, Array]:
    """Return the (6,) twist and its (6, 6) covariance, along the child's axes; zero and unknown where there is none.

    The errors of the two frames' own estimates are taken as independent, although frames that observe the same points
    have similar errors: the covariance is rather too large.
    """
    seconds = 0.0 if before is None else (now.stamp_ns - before.stamp_ns) * 1e-9
    if before is None or before.frame != now.frame or not 0 < seconds <= TUNING.longest_gap_s:
        return np.zeros(6), np.eye(6) * TUNING.unknown_variance
    to_child = transform_covariance(before.covariance + now.covariance, np.eye(4), now.T_odom_base[:3, :3].T)
    return twist_between(before.T_odom_base, now.T_odom_base, seconds), to_child / seconds**2


def _twist_message(twist: Array) -> Twist:
    vx, vy, vz, wx, wy, wz = twist.tolist()
    return Twist(linear=Vector3(x=vx, y=vy, z=vz), angular=Vector3(x=wx, y=wy, z=wz))
