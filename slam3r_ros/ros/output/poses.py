"""Where the camera and its base are, for each tracked frame: ~/pose, TF, ~/odometry and ~/visual_odometry."""

from __future__ import annotations

import math

from geometry_msgs.msg import PoseStamped
from rclpy.publisher import Publisher

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.ros.output.camera_extrinsics import BasePose, CameraExtrinsics
from slam3r_ros.ros.output.map_scale import MapScale
from slam3r_ros.ros.output.messages import stamped_pose
from slam3r_ros.ros.output.odometry import OdometryOutput
from slam3r_ros.ros.output.pose_continuity import CorrectionSpeed, PoseContinuity, PublishedPose
from slam3r_ros.ros.output.tf import PoseOnTF
from slam3r_ros.ros.parameters.frames import frame_of_visual_odometry
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.types import ImageHeader, PoseEstimate


class PoseOutput:
    """Publishes poses in their order. Used by one thread at a time."""

    def __init__(
        self,
        publisher: Publisher[PoseStamped],
        tf: PoseOnTF | None,
        odometry: OdometryOutput,
        extrinsics: CameraExtrinsics,
        settings: NodeSettings,
        log: ThrottledLog,
    ) -> None:
        """``publisher`` is that of ~/pose; ``tf`` is None where no transforms are published."""
        self._publisher, self._tf, self._odometry, self._extrinsics = publisher, tf, odometry, extrinsics
        self._settings, self._log = settings, log
        self.continuity = PoseContinuity(CorrectionSpeed(settings.correction_speed, settings.correction_turn))
        """What says how the pose of a frame follows that of the frame before."""

    def change_settings(self, settings: NodeSettings) -> None:
        """Use other values of those parameters that may change at any time."""
        self._settings = settings
        self.continuity.speed = CorrectionSpeed(settings.correction_speed, settings.correction_turn)
        if self._tf is not None:
            self._tf.change_settings(settings)

    def publish(self, image: ImageHeader, pose: PoseEstimate, corrected: Array, scale: MapScale) -> None:
        """Publish the pose of a frame that is at ``corrected`` (4, 4) on the map, by the engine."""
        placed = self.continuity.advance(image.stamp_ns, pose, corrected, scale.unit)
        self._publisher.publish(stamped_pose(image.stamp_ns, self._settings.map_frame, placed.T_map_camera))
        if self._tf is None and not self._odometry.is_wanted:
            return
        base = self._base_pose(image, placed)
        if base is None:
            return
        if self._tf is not None:
            self._tf.publish(image.stamp_ns, base, is_metric=scale.metres_per_unit > 0)
        if self._odometry.is_wanted:
            is_known = placed.is_continuous
            self._odometry.publish(image.stamp_ns, pose, base, unit=scale.unit, is_continuous=is_known)

    def _base_pose(self, image: ImageHeader, placed: PublishedPose) -> BasePose | None:
        """Where the base is; None, and a warning, where its frame is not known or is that of the map or of odometry."""
        base = self._extrinsics.base(image.stamp_ns, image.frame_id)
        if base is None:
            return None
        frames = {"map_frame": self._settings.map_frame, "odom_frame": frame_of_visual_odometry(self._settings)}
        for name, frame in frames.items():
            if base.frame == frame:
                self._log.warn(
                    name,
                    f"no TF and no odometry published: the images' frame_id is '{frame}', and {name} too; set {name} "
                    "to another name, or the driver's frame_id to that of its camera",
                    math.inf,
                )
                return None
        T = base.T_camera_base
        return BasePose(base.frame, placed.T_map_camera @ T, placed.T_odom_camera @ T, T)
