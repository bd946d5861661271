"""What the node publishes of the map: from MapUpdates to topics and TF."""

from __future__ import annotations

import math
import time
from collections import deque

import numpy as np
from geometry_msgs.msg import Pose, PoseArray, PoseStamped
from nav_msgs.msg import Path
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2

from slam3r_ros.engine.events import Update
from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.map_axes import pose_in_map
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.msg import Keyframe
from slam3r_ros.ros.output.camera_extrinsics import CameraExtrinsics
from slam3r_ros.ros.output.decimated_path import DecimatedList
from slam3r_ros.ros.output.depth import DepthOutput
from slam3r_ros.ros.output.map_scale import MapScale
from slam3r_ros.ros.output.messages import (
    cloud_message,
    header,
    pose_message,
    stamped_pose,
    time_message,
)
from slam3r_ros.ros.output.odometry import OdometryOutput
from slam3r_ros.ros.output.tf import TransformOutput
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.pipeline.throttled_log import ThrottledLog
from slam3r_ros.ros.threads.async_publisher import AsyncPublisher, TopicQueue
from slam3r_ros.types import ImageHeader, KeyframeRecord, MapUpdate, PoseEstimate, PoseUpdate

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_RELIABLE = QoSProfile(depth=10)
_CLOUDS_WAITING = 100
_CLOUDS_REMEMBERED = 200  # a frame becomes a keyframe at most a stretch (window.stride <= 100) later


class _Due:
    """Whether something is to be published: it changed, somebody listens, and the last one is out for long enough."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._changed = False
        self._last = -math.inf

    def mark(self) -> None:
        """It changed."""
        self._changed = True

    def now(self, lane: TopicQueue) -> bool:
        """Whether it is time; if so the caller publishes."""
        moment = time.monotonic()
        if not self._changed or moment - self._last < self._period_s or not _has_subscribers(lane.publisher):
            return False
        if not lane.is_idle:
            return False
        self._changed, self._last = False, moment
        return True


class Outputs:
    """The topics of the map. Used by the worker thread while there is one."""

    def __init__(self, node: Node, settings: NodeSettings, notices: ThrottledLog) -> None:
        self._node = node
        self._settings = settings
        self._frame_id = settings.map_frame
        self.scale = MapScale(settings.scale)
        """How the engine's lengths become published ones."""
        self._pose = node.create_publisher(PoseStamped, "~/pose", _RELIABLE)
        self._path = node.create_publisher(Path, "~/path", LATCHED)
        self._keyframes = node.create_publisher(PoseArray, "~/keyframes", LATCHED)
        self._keyframe = node.create_publisher(Keyframe, "~/keyframe", _RELIABLE)
        self._cloud = node.create_publisher(PointCloud2, "~/cloud", _RELIABLE)
        self._map_cloud = node.create_publisher(PointCloud2, "~/map_cloud", LATCHED)
        self._odometry = OdometryOutput(node, settings.map_frame)
        self._mount = CameraExtrinsics(node, settings.base_frame, notices)
        self._tf = TransformOutput(node, settings, notices) if settings.tf_mode == "map_to_base" else None
        self._notices = notices
        self._bulk = AsyncPublisher()
        self._cloud_lane = self._bulk.lane(self._cloud, keep=_CLOUDS_WAITING)
        self._depth = DepthOutput(node, settings, self._bulk)
        self._path_lane, self._keyframes_lane = self._bulk.lane(self._path), self._bulk.lane(self._keyframes)
        self._map_lane = self._bulk.lane(self._map_cloud)
        self._newest_ns: int
        self._newest_index: int  # of the newest frame of which there was an event
        self._forget()

    def publish(self, update: Update) -> bool:
        """Publish one event of the engine; whether it gave a frame's pose for the first time."""
        if isinstance(update, MapCorrection):
            self._odometry.forget()  # no motion from one world into another
            return False
        self._newest_ns = max(update.header.stamp_ns, self._newest_ns)
        is_first = update.index > self._newest_index  # the first events of the frames come in the order of the frames
        self._newest_index = max(update.index, self._newest_index)
        if isinstance(update, PoseUpdate):
            self._publish_pose(update.header, update.pose)
            return is_first
        if update.pose is not None and update.is_tracked:
            self._odometry.look(update)
            if is_first:
                self._publish_pose(update.header, update.pose)
        elif is_first:
            self._odometry.forget()
        self._publish_points(update)
        return is_first

    def _publish_pose(self, image: ImageHeader, pose: PoseEstimate) -> None:
        T_map_camera = pose_in_map(pose.T_world_camera, self.scale.unit)
        message = stamped_pose(image.stamp_ns, self._frame_id, T_map_camera)
        self._pose.publish(message)
        self._publish_base(image, pose, T_map_camera)
        self._poses.add(message)
        self._path_due.mark()

    def _publish_points(self, update: MapUpdate) -> None:
        """Depth, cloud and keyframes."""
        if update.is_tracked and self._depth.is_wanted:
            self._depth.publish(update, self.scale.unit)
        if len(update.added):
            if self._cloud.get_subscription_count() > 0:
                self._put_cloud(update)
                self._clouds_published.append((update.index, len(update.added)))
            self._map_due.mark()
        for record in update.new_keyframes:
            self._publish_keyframe(record)

    def publish_due(self, slam: Slam) -> None:
        """Publish path, keyframes and map where they changed, somebody listens and their time has come."""
        if self._path_due.now(self._path_lane):
            self._publish_path()
        if self._keyframes_due.now(self._keyframes_lane):
            self._publish_keyframes()
        if self._map_due.now(self._map_lane):
            self._publish_map(self._newest_ns, slam)

    def restart(self, slam: Slam) -> None:
        """The map was reset: whoever kept the old one gets the new, empty one."""
        self._forget()
        self._mount.forget()
        self._cloud_lane.clear()
        self._depth.clear()
        if self.scale.forget():
            self._notices.note("scale", f"the scale that ~/set_scale told is forgotten: {self.scale.lengths}")
        self._publish_whole(slam)

    def set_scale(self, metres_per_unit: float, slam: Slam) -> None:
        """Publish in other lengths from now on, and what was published of the whole map once more, in these.

        Raises SettingError naming a value that cannot be a scale.
        """
        self.scale.set(metres_per_unit)
        self._odometry.forget()
        self.renew(slam)

    def renew(self, slam: Slam) -> None:
        """What was published of the whole map has changed: publish it once more."""
        unit, trajectory = self.scale.unit, slam.trajectory()
        records = [record for record in slam.keyframes() if record.pose is not None]

        def pose(number: int) -> PoseStamped:
            each = trajectory[number]
            return stamped_pose(each.stamp_ns, self._frame_id, pose_in_map(each.T_world_camera, unit))

        def keyframe(number: int) -> Pose:
            found = records[number].pose
            assert found is not None
            return pose_message(pose_in_map(found.T_world_camera, unit))

        self._poses.fill(len(trajectory), pose)
        self._keyframe_poses.fill(len(records), keyframe)
        self._publish_whole(slam)

    def destroy(self) -> None:
        """Publish what still waits and give the publishers back."""
        self._bulk.stop()
        for publisher in (self._pose, self._path, self._keyframes, self._keyframe, self._cloud, self._map_cloud):
            self._node.destroy_publisher(publisher)
        if self._tf is not None:
            self._tf.destroy()
        self._odometry.destroy()
        self._depth.destroy()
        self._mount.destroy()

    def _forget(self) -> None:
        settings = self._settings
        self._newest_ns = 0
        self._newest_index = -1
        self._odometry.forget()
        self._told_lost = self._cloud_lane.lost
        self._poses: DecimatedList[PoseStamped] = DecimatedList(settings.path_length)
        self._keyframe_poses: DecimatedList[Pose] = DecimatedList(settings.path_length)
        self._clouds_published: deque[tuple[int, int]] = deque(maxlen=_CLOUDS_REMEMBERED)  # index, number of points
        self._path_due, self._keyframes_due = _Due(settings.path_period), _Due(settings.path_period)
        self._map_due = _Due(settings.map_period)

    @property
    def failure(self) -> Exception | None:
        """What ended the thread that publishes, if something did."""
        return self._bulk.failure

    def _publish_base(self, image: ImageHeader, pose: PoseEstimate, T_map_camera: NDArray[np.float64]) -> None:
        """What tells of the base: TF and odometry."""
        if self._tf is None and not self._odometry.is_wanted:
            return
        base = self._mount.base_pose(image.stamp_ns, image.frame_id, T_map_camera)
        if base is None:
            return
        if self._tf is not None:
            self._tf.publish(image.stamp_ns, base)
        if self._odometry.is_wanted:
            self._odometry.publish(image.stamp_ns, pose, base, self.scale.unit)

    def _put_cloud(self, update: MapUpdate) -> None:
        stamp_ns, added = update.header.stamp_ns, update.added  # not the update, which holds much more
        unit = self.scale.unit  # of the pose with this stamp, whatever it is when the cloud's turn comes
        self._cloud_lane.put(lambda: cloud_message(stamp_ns, self._frame_id, added, unit))
        if self._cloud_lane.lost > self._told_lost:
            self._told_lost = self._cloud_lane.lost
            self._notices.warn(
                "clouds", f"'{self._cloud.topic_name}' is published more slowly than frames are mapped: some are lost"
            )

    def _publish_path(self) -> None:
        head, poses = header(self._newest_ns, self._frame_id), self._poses.items()
        self._path_lane.put(lambda: Path(header=head, poses=poses))

    def _publish_keyframes(self) -> None:
        head, poses = header(self._newest_ns, self._frame_id), self._keyframe_poses.items()
        self._keyframes_lane.put(lambda: PoseArray(header=head, poses=poses))

    def _publish_map(self, stamp_ns: int, slam: Slam) -> None:
        points, unit = slam.map_points(), self.scale.unit
        self._map_lane.put(lambda: cloud_message(stamp_ns, self._frame_id, points, unit))

    def _publish_whole(self, slam: Slam) -> None:
        """All that is kept of the map, at once: what is latched must not tell of an older one."""
        self._publish_path()
        self._publish_keyframes()
        self._publish_map(self._newest_ns, slam)

    def _publish_keyframe(self, record: KeyframeRecord) -> None:
        """A new keyframe; one without a pose is left out."""
        if record.pose is None:
            return
        pose = pose_message(pose_in_map(record.pose.T_world_camera, self.scale.unit))
        self._keyframe_poses.add(pose)
        self._keyframes_due.mark()
        if not _has_subscribers(self._keyframe):
            return
        (crop_height, crop_width), (height, width) = record.crop_size, record.header.size
        pixels_per_crop_pixel = 1.0 / max(crop_width / width, crop_height / height)
        camera = record.header.camera if self._settings.slam.pose.use_camera_info else None
        focal_px = record.pose.focal_px * pixels_per_crop_pixel
        message = Keyframe(
            header=header(record.header.stamp_ns, self._frame_id),
            id=record.id,
            frame_index=record.index,
            pose=pose,
            camera_frame=record.header.frame_id,
            confidence=record.mean_confidence,
            focal_length=focal_px if camera is None else math.sqrt(camera.fx * camera.fy),
            focal_length_estimated=camera is None,
            inlier_fraction=record.pose.inlier_fraction,
            reprojection_error=record.pose.reprojection_error_px * pixels_per_crop_pixel,
        )
        if (point_count := dict(self._clouds_published).get(record.index)) is not None:
            message.cloud_topic = self._cloud.topic_name
            message.cloud_stamp = time_message(record.header.stamp_ns)
            message.point_count = point_count
        self._keyframe.publish(message)


def _has_subscribers(publisher: Publisher) -> bool:
    return publisher.get_subscription_count() > 0
