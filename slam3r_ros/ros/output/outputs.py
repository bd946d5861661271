"""What the node publishes of the map: from MapUpdates to topics and TF."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Pose, PoseArray, PoseStamped
from nav_msgs.msg import Path
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2

from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.map_axes import pose_in_map
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
from slam3r_ros.types import KeyframeRecord, MapUpdate, PreparedFrame

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_RELIABLE = QoSProfile(depth=10)
_CLOUDS_WAITING = 100
_FRAMES_REMEMBERED = 200  # a frame becomes a keyframe at most a stretch (window.stride <= 100) later


@dataclass(frozen=True, slots=True)
class _FrameFacts:
    """What a keyframe's message needs of its frame; the frame itself is gone when it becomes a keyframe."""

    index: int
    camera_frame: str
    pixels_per_crop_pixel: float
    """Pixels of the received image along one pixel of the networks' crop."""
    known_focal: float | None
    """Focal length from camera_info, pixels of the received image; None if the pose's was estimated."""
    point_count: int
    cloud_was_published: bool


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
        self._early_index: int  # of the last frame whose pose was told before the rest
        self._forget()

    def publish(self, update: MapUpdate, frame: PreparedFrame, camera_frame: str) -> bool:
        """Publish what one frame changed; whether its pose was told, which an early update has done before the frame's
        second one. ``frame`` is the newest one: images of one stream share size and camera.
        """
        self._newest_ns = max(update.stamp_ns, self._newest_ns)
        if update.is_corrected:
            self._odometry.forget()  # no motion from one world into another
        if update.is_tracked:
            self._odometry.look(update)
        tells_pose = update.index != self._early_index
        if tells_pose and update.is_tracked:
            self._publish_pose(update, camera_frame)
        elif tells_pose:
            self._odometry.forget()
        if update.is_early:
            self._early_index = update.index
        else:
            self._publish_points(update, frame, camera_frame)
        return tells_pose

    def _publish_pose(self, update: MapUpdate, camera_frame: str) -> None:
        assert update.pose is not None
        T_map_camera = pose_in_map(update.pose.T_world_camera, self.scale.unit)
        message = stamped_pose(update.stamp_ns, self._frame_id, T_map_camera)
        self._pose.publish(message)
        self._publish_base(update, camera_frame, T_map_camera)
        self._poses.add(message)
        self._path_due.mark()

    def _publish_points(self, update: MapUpdate, frame: PreparedFrame, camera_frame: str) -> None:
        """Depth, cloud and keyframes."""
        if update.is_tracked and self._depth.is_wanted:
            self._depth.publish(update, frame, camera_frame, self.scale.unit)
        cloud_is_wanted = len(update.added) > 0 and self._cloud.get_subscription_count() > 0
        if cloud_is_wanted:
            self._put_cloud(update)
        if len(update.added):
            self._map_due.mark()
        if update.points_world.size:  # a frame without points never becomes a keyframe
            self._facts.append(
                _facts_of(update, frame, camera_frame, cloud_is_wanted, self._settings.slam.pose.use_camera_info)
            )
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
        self._early_index = -1
        self._odometry.forget()
        self._told_lost = self._cloud_lane.lost
        self._poses: DecimatedList[PoseStamped] = DecimatedList(settings.path_length)
        self._keyframe_poses: DecimatedList[Pose] = DecimatedList(settings.path_length)
        self._facts: deque[_FrameFacts] = deque(maxlen=_FRAMES_REMEMBERED)
        self._path_due, self._keyframes_due = _Due(settings.path_period), _Due(settings.path_period)
        self._map_due = _Due(settings.map_period)

    @property
    def failure(self) -> Exception | None:
        """What ended the thread that publishes, if something did."""
        return self._bulk.failure

    def _publish_base(self, update: MapUpdate, camera_frame: str, T_map_camera: NDArray[np.float64]) -> None:
        """What tells of the base: TF and odometry."""
        if self._tf is None and not self._odometry.is_wanted:
            return
        base = self._mount.base_pose(update.stamp_ns, camera_frame, T_map_camera)
        if base is None:
            return
        if self._tf is not None:
            self._tf.publish(update.stamp_ns, base)
        if self._odometry.is_wanted:
            self._odometry.publish(update, base, self.scale.unit)

    def _put_cloud(self, update: MapUpdate) -> None:
        stamp_ns, added = update.stamp_ns, update.added  # not the update, which holds much more
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
        facts = next((facts for facts in self._facts if facts.index == record.index), None)
        if facts is None or not _has_subscribers(self._keyframe):
            return
        message = Keyframe(
            header=header(record.stamp_ns, self._frame_id),
            id=record.id,
            frame_index=record.index,
            pose=pose,
            camera_frame=facts.camera_frame,
            confidence=record.mean_confidence,
            focal_length=facts.known_focal or record.pose.focal_px * facts.pixels_per_crop_pixel,
            focal_length_estimated=facts.known_focal is None,
            inlier_fraction=record.pose.inlier_fraction,
            reprojection_error=record.pose.reprojection_error_px * facts.pixels_per_crop_pixel,
        )
        if facts.cloud_was_published:
            message.cloud_topic = self._cloud.topic_name
            message.cloud_stamp = time_message(record.stamp_ns)
            message.point_count = facts.point_count
        self._keyframe.publish(message)


def _has_subscribers(publisher: Publisher) -> bool:
    return publisher.get_subscription_count() > 0


def _facts_of(
    update: MapUpdate, frame: PreparedFrame, camera_frame: str, cloud_was_published: bool, use_camera: bool
) -> _FrameFacts:
    crop_height, crop_width = update.image.shape[:2]
    height, width = frame.source_size
    return _FrameFacts(
        index=update.index,
        camera_frame=camera_frame,
        pixels_per_crop_pixel=1.0 / max(crop_width / width, crop_height / height),
        known_focal=math.sqrt(frame.camera.fx * frame.camera.fy) if use_camera and frame.camera is not None else None,
        point_count=len(update.added),
        cloud_was_published=cloud_was_published,
    )
