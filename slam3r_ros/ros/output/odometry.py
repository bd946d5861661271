"""Where the robot is, how fast it moves, and how certain that is: nav_msgs/Odometry.

The pose is of `base_frame` on the map frame, the same as TF's; without a base frame, of the camera's optical frame.
The twist is along the axes of that child frame, as nav_msgs/Odometry has it. It is a pose on a map: it may jump when
the map is corrected, as REP-105 allows for the map frame and not for odom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseWithCovariance, Twist, TwistWithCovariance, Vector3
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile

from slam3r_ros.geometry.se3 import Array, vector_from_rotation
from slam3r_ros.ros.output.camera_extrinsics import BasePose
from slam3r_ros.ros.output.messages import header, pose_message
from slam3r_ros.ros.output.pose_covariance import PoseUncertainty, transform_covariance
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.types import MapUpdate, PoseEstimate


@dataclass(frozen=True, slots=True, eq=False)
class _StampedBasePose:
    """A pose of the base, from two of which a velocity is computed."""

    stamp_ns: int
    """Time of the image, integer nanoseconds."""
    frame: str
    """Name of the base's frame."""
    T_map_base: Array
    """(4, 4): takes points of the base to the map, published lengths."""
    covariance: Array
    """(6, 6) of position and rotation by this frame's own estimate alone, along the map's axes."""


class OdometryOutput:
    """The topic ~/odometry, one message for each tracked frame."""

    def __init__(self, node: Node, map_frame: str) -> None:
        self._node = node
        self._map_frame = map_frame
        self._publisher = node.create_publisher(Odometry, "~/odometry", QoSProfile(depth=TUNING.queue_depth))
        self._uncertainty = PoseUncertainty()
        self.reset_velocity()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody subscribes."""
        return self._publisher.get_subscription_count() > 0

    def reset_velocity(self) -> None:
        """Compute no velocity from the pose before the next one: it is of another map or scale, or frames were lost."""
        self._previous: _StampedBasePose | None = None

    def observe(self, update: MapUpdate) -> None:
        """Keep what a tracked and registered frame observes, from which covariances up to the next one are computed."""
        self._uncertainty.observe(update)

    def publish(self, stamp_ns: int, pose: PoseEstimate, base: BasePose, unit: float) -> None:
        """Publish the odometry of one tracked frame; ``unit`` is the published length of a scene unit."""
        own, covariance = (_of_base(each, base) for each in self._uncertainty.covariances(pose, unit))
        present = _StampedBasePose(stamp_ns, base.frame, base.T_map_base, own)
        twist, twist_covariance = _velocity(self._previous, present)
        self._previous = present
        self._publisher.publish(
            Odometry(
                header=header(stamp_ns, self._map_frame),
                child_frame_id=base.frame,
                pose=PoseWithCovariance(pose=pose_message(base.T_map_base), covariance=covariance.ravel()),
                twist=TwistWithCovariance(twist=_twist_message(twist), covariance=twist_covariance.ravel()),
            )
        )

    def destroy(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_publisher(self._publisher)


def _of_base(of_camera: Array, base: BasePose) -> Array:
    """Return the (6, 6) covariance of the base, along the map's axes, from that of the camera along its own."""
    R_map_camera = base.T_map_base[:3, :3] @ base.T_camera_base[:3, :3].T
    return transform_covariance(of_camera, base.T_camera_base, R_map_camera)


def twist_between(T_map_before: Array, T_map_now: Array, seconds: float) -> Array:
    """Return the (6,) mean linear and angular velocity between two (4, 4) poses, along the axes of the second one."""
    rotation = T_map_now[:3, :3]
    rotation_vector = vector_from_rotation(T_map_before[:3, :3].T @ rotation)  # the axis is the same in both frames
    return np.concatenate([rotation.T @ (T_map_now[:3, 3] - T_map_before[:3, 3]), rotation_vector]) / seconds


def _velocity(before: _StampedBasePose | None, now: _StampedBasePose) -> tuple[Array, Array]:
    """Return the (6,) twist and its (6, 6) covariance, along the child's axes; zero and unknown where there is none.

    The errors of the two frames' own estimates are taken as independent, although frames that observe the same points
    have similar errors: the covariance is rather too large.
    """
    seconds = 0.0 if before is None else (now.stamp_ns - before.stamp_ns) * 1e-9
    if before is None or before.frame != now.frame or not 0 < seconds <= TUNING.longest_gap_s:
        return np.zeros(6), np.eye(6) * TUNING.unknown_variance
    to_child = transform_covariance(before.covariance + now.covariance, np.eye(4), now.T_map_base[:3, :3].T)
    return twist_between(before.T_map_base, now.T_map_base, seconds), to_child / seconds**2


def _twist_message(twist: Array) -> Twist:
    vx, vy, vz, wx, wy, wz = twist.tolist()
    return Twist(linear=Vector3(x=vx, y=vy, z=vz), angular=Vector3(x=wx, y=wy, z=wz))
