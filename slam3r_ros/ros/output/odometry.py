"""Where the robot is, how fast it moves, and how sure that is: nav_msgs/Odometry.

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
from slam3r_ros.ros.output.pose_covariance import PoseUncertainty, at_base
from slam3r_ros.types import MapUpdate, PoseEstimate

LONGEST_GAP_S = 1.0
"""Time between two poses from which on they tell no speed."""
UNKNOWN_VARIANCE = 1e6
"""Of a twist that is not known, squares of lengths and radians a second: as good as no knowledge."""


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """A pose of the base that the next one's speed is told from."""

    stamp_ns: int
    frame: str
    T_map_base: Array
    covariance: Array
    """(6, 6) of this frame's own estimate alone, along the map's axes."""


class OdometryOutput:
    """The topic ~/odometry, one message for each tracked frame."""

    def __init__(self, node: Node, map_frame: str) -> None:
        self._node = node
        self._map_frame = map_frame
        self._publisher = node.create_publisher(Odometry, "~/odometry", QoSProfile(depth=10))
        self._uncertainty = PoseUncertainty()
        self.forget()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody listens."""
        return self._publisher.get_subscription_count() > 0

    def forget(self) -> None:
        """No speed is told from the pose before the next one: it is of another map or scale, or frames were lost."""
        self._last: _Known | None = None

    def look(self, update: MapUpdate) -> None:
        """Note what a tracked frame that was registered saw; it stands for what the frames up to the next one see."""
        self._uncertainty.look(update)

    def publish(self, stamp_ns: int, pose: PoseEstimate, base: BasePose, unit: float) -> None:
        """Publish the odometry of one tracked frame; ``unit`` is the published length of a scene unit."""
        own, covariance = (_at_base(each, base) for each in self._uncertainty.of(pose, unit))
        now = _Known(stamp_ns, base.frame, base.T_map_base, own)
        twist, twist_covariance = _speed(self._last, now)
        self._last = now
        self._publisher.publish(
            Odometry(
                header=header(stamp_ns, self._map_frame),
                child_frame_id=base.frame,
                pose=PoseWithCovariance(pose=pose_message(base.T_map_base), covariance=covariance.ravel()),
                twist=TwistWithCovariance(twist=_twist_message(twist), covariance=twist_covariance.ravel()),
            )
        )

    def destroy(self) -> None:
        """Give the publisher back."""
        self._node.destroy_publisher(self._publisher)


def _at_base(of_camera: Array, base: BasePose) -> Array:
    """(6, 6) of the base, along the map's axes, from that of the camera."""
    return at_base(of_camera, base.T_camera_base, base.T_map_base[:3, :3] @ base.T_camera_base[:3, :3].T)


def twist_between(T_map_before: Array, T_map_now: Array, seconds: float) -> Array:
    """(6,) mean linear and angular speed from one (4, 4) pose to the next, along the axes of the second."""
    rotation = T_map_now[:3, :3]
    rotation_vector = vector_from_rotation(T_map_before[:3, :3].T @ rotation)  # the axis is the same in both frames
    return np.concatenate([rotation.T @ (T_map_now[:3, 3] - T_map_before[:3, 3]), rotation_vector]) / seconds


def _speed(before: _Known | None, now: _Known) -> tuple[Array, Array]:
    """(6,) twist and its (6, 6) covariance, along the child's axes; zero and very uncertain where there is none.

    What the two frames' own estimates err counts as independent, although frames that see the same points err alike:
    the covariance is rather too large.
    """
    seconds = 0.0 if before is None else (now.stamp_ns - before.stamp_ns) * 1e-9
    if before is None or before.frame != now.frame or not 0 < seconds <= LONGEST_GAP_S:
        return np.zeros(6), np.eye(6) * UNKNOWN_VARIANCE
    to_child = at_base(before.covariance + now.covariance, np.eye(4), now.T_map_base[:3, :3].T)
    return twist_between(before.T_map_base, now.T_map_base, seconds), to_child / seconds**2


def _twist_message(twist: Array) -> Twist:
    vx, vy, vz, wx, wy, wz = twist.tolist()
    return Twist(linear=Vector3(x=vx, y=vy, z=vz), angular=Vector3(x=wx, y=wy, z=wz))
