"""What the node publishes of the map: from the engine's events to topics and TF."""

from __future__ import annotations

import threading
from collections import deque

from geometry_msgs.msg import Pose, PoseArray, PoseStamped
from nav_msgs.msg import Path
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2

from slam3r_ros.engine.events import MappedPlace, Update
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.map_axes import pose_in_map
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.msg import Keyframe
from slam3r_ros.ros.input.frame_transforms import FrameTransforms
from slam3r_ros.ros.output.camera_extrinsics import CameraExtrinsics
from slam3r_ros.ros.output.decimated_list import DecimatedList
from slam3r_ros.ros.output.depth import DepthOutput
from slam3r_ros.ros.output.levelling import Levelling
from slam3r_ros.ros.output.map_layers import MapLayers
from slam3r_ros.ros.output.map_scale import MapScale
from slam3r_ros.ros.output.messages import (
    cloud_message,
    header,
    keyframe_message,
    pose_message,
    stamped_pose,
    thinned,
    time_message,
)
from slam3r_ros.ros.output.odometry import OdometryOutput
from slam3r_ros.ros.output.poses import PoseOutput
from slam3r_ros.ros.output.publication_schedule import PublicationSchedule
from slam3r_ros.ros.output.scale_estimation import ScaleEstimation
from slam3r_ros.ros.output.tf import transform_output
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.ros.parameters.frames import frame_of_visual_odometry
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.threads.async_publisher import AsyncPublisher
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.types import ImageHeader, KeyframeRecord, MapPoints, MapUpdate, PoseEstimate, PoseUpdate

_RELIABLE = QoSProfile(depth=TUNING.queue_depth)
"""Quality of service of topics that are not latched."""


class Outputs:
    """The topics of the map. Used by the mapping thread while there is one; the tracking thread may publish poses."""

    def __init__(self, node: Node, settings: NodeSettings, log: ThrottledLog) -> None:
        self._node = node
        self._settings = settings
        self._map_frame = settings.map_frame
        self.scale = MapScale(settings.scale)
        """Scale from the engine's lengths to published ones."""
        self._pose = node.create_publisher(PoseStamped, "~/pose", _RELIABLE)
        self._path = node.create_publisher(Path, "~/path", LATCHED)
        self._keyframes = node.create_publisher(PoseArray, "~/keyframes", LATCHED)
        self._keyframe = node.create_publisher(Keyframe, "~/keyframe", _RELIABLE)
        self._cloud = node.create_publisher(PointCloud2, "~/cloud", _RELIABLE)
        self._map_cloud = node.create_publisher(PointCloud2, "~/map_cloud", LATCHED)
        self._odometry = OdometryOutput(node, settings.map_frame, frame_of_visual_odometry(settings))
        self._transforms = FrameTransforms(node)
        self._extrinsics = CameraExtrinsics(settings.base_frame, self._transforms, log)
        self._tf = transform_output(node, settings, self._transforms, log)
        self._camera = PoseOutput(self._pose, self._tf, self._odometry, self._extrinsics, settings, log)
        self._continuity = self._camera.continuity
        self.scale_estimation = ScaleEstimation(node, settings, self._transforms, log)
        """What estimates the scale, if the parameter scale_source names a source."""
        self._levelling = Levelling(node, settings, self._transforms, log)
        self._log = log
        self._publisher = AsyncPublisher()
        self._cloud_queue = self._publisher.topic_queue(self._cloud, TUNING.waiting_clouds)
        self._depth = DepthOutput(node, settings, self._publisher)
        self._path_queue = self._publisher.topic_queue(self._path)
        self._keyframes_queue = self._publisher.topic_queue(self._keyframes)
        self._map_queue = self._publisher.topic_queue(self._map_cloud)
        self._layers = MapLayers(node, settings, log, self._publisher, self._extrinsics)
        self._pose_lock = threading.Lock()  # for poses, TF and odometry, which two threads may publish
        self._world_changes: int
        """How many closed loops have moved the poses published last."""
        self._corrections: int
        """Number of the events of closed loops that have come; a pose may come before that of its last one."""
        self._newest_ns: int
        """Stamp of the newest frame that was published, integer nanoseconds; 0 before the first."""
        self._newest_index: int
        """Number of the newest frame of which there was an event; -1 before the first."""
        self._reported_drops: int
        """Clouds dropped from their queue when that was last logged."""
        self._start_new_map()

    @property
    def failure(self) -> Exception | None:
        """The exception that ended the publishing thread, if one did."""
        return self._publisher.failure

    # ---- events of the engine ------------------------------------------------------------------------------------

    def observe(self, update: Update) -> None:
        """Let an event of the engine count for what is estimated of the whole map."""
        self.scale_estimation.observe(update)
        self._levelling.observe(update)

    def publish(self, update: Update) -> bool:
        """Publish one event of the engine; True if it gave a frame's pose for the first time."""
        self.observe(update)
        if isinstance(update, PoseUpdate):
            return self.publish_pose(update)
        if isinstance(update, MapCorrection):
            self._is_moved = True
            with self._pose_lock:
                self._corrections += 1
                self._see_world(max(self._corrections, self._world_changes))
                if update.joins or not len(update.loops):  # into another world, or upright
                    self._continuity.move_world(at_once=True)
            self._layers.correct(update, self.scale.unit)
            return False
        if isinstance(update, KeyframeView):
            self._layers.observe(update, self.scale)
            self._publish_dense(update)
            return False
        if isinstance(update, MappedPlace):
            return False
        with self._pose_lock:
            is_first = self._is_newest(update)
            if update.pose is not None and update.is_tracked:
                self._odometry.observe(update)
                if is_first:
                    self._publish_pose(update.header, update.pose)
            elif is_first:
                self._continuity.lose()
        self._publish_points(update)
        return is_first

    def publish_pose(self, update: PoseUpdate) -> bool:
        """Publish pose, TF and odometry of a frame, unless there was an event of a later one; whether it did. The
        thread that tracks may do that at any time; `observe` and everything else is for the mapping thread."""
        with self._pose_lock:
            is_first = self._is_newest(update)
            if is_first:
                self._see_world(max(update.world_changes, self._world_changes))
                self._publish_pose(update.header, update.pose)
        return is_first

    def _is_newest(self, update: PoseUpdate | MapUpdate) -> bool:
        """Whether this is the first event of the newest frame so far; it is noted."""
        is_first = update.index > self._newest_index  # poses are published in the order of the frames
        if is_first:
            self._newest_index, self._newest_ns = update.index, update.header.stamp_ns
        return is_first

    def _see_world(self, changes: int) -> None:
        """Take note of how many closed loops have moved the world."""
        if changes != self._world_changes:
            self._continuity.move_world(at_once=False)
        self._world_changes = changes

    def _publish_pose(self, image: ImageHeader, pose: PoseEstimate) -> None:
        corrected = pose_in_map(pose.T_world_camera, self.scale.unit)
        self._camera.publish(image, pose, corrected, self.scale)
        self._poses.add(stamped_pose(image.stamp_ns, self._map_frame, corrected))
        self._path_schedule.mark_changed()

    def _publish_points(self, update: MapUpdate) -> None:
        """Publish depth, cloud and keyframes."""
        if update.is_tracked and not update.is_provisional and self._depth.is_wanted:
            self._depth.publish(update, self.scale.unit)
        self._publish_cloud(update.index, update.header.stamp_ns, update.added)
        for record in update.new_keyframes:
            self._publish_keyframe(record)

    def _publish_dense(self, view: KeyframeView) -> None:
        """Publish the depth of a keyframe's whole image, and the points that it has added to the map."""
        if view.added is None:
            return
        if self._depth.is_wanted:
            self._depth.publish_view(view, self.scale.unit)
        self._publish_cloud(view.index, view.header.stamp_ns, view.added)

    def _publish_cloud(self, index: int, stamp_ns: int, added: MapPoints) -> None:
        if not len(added):
            return
        self._map_schedule.mark_changed()
        if not self._cloud.get_subscription_count():
            return
        added = thinned(added, self._settings.cloud_max_points)
        unit = self.scale.unit  # of the pose with this stamp, whatever it is when the cloud is made
        self._cloud_queue.put(lambda: cloud_message(stamp_ns, self._map_frame, added, unit))
        self._published_clouds.append((index, len(added)))
        if self._cloud_queue.dropped > self._reported_drops:
            self._reported_drops = self._cloud_queue.dropped
            self._log.warn(
                "clouds", f"'{self._cloud.topic_name}' is published more slowly than frames are mapped: some are lost"
            )

    def _publish_keyframe(self, record: KeyframeRecord) -> None:
        """Publish a new keyframe; one without a pose is left out."""
        if record.pose is None:
            return
        pose = pose_message(pose_in_map(record.pose.T_world_camera, self.scale.unit))
        self._keyframe_poses.add(pose)
        self._keyframes_schedule.mark_changed()
        if not self._keyframe.get_subscription_count():
            return
        uses_camera = self._settings.slam.pose.use_camera_info
        message = keyframe_message(record, pose, self._map_frame, uses_camera=uses_camera)
        if (point_count := dict(self._published_clouds).get(record.index)) is not None:
            message.cloud_topic = self._cloud.topic_name
            message.cloud_stamp = time_message(record.header.stamp_ns)
            message.point_count = point_count
        self._keyframe.publish(message)

    # ---- the whole map -------------------------------------------------------------------------------------------

    def publish_due(self, slam: Slam) -> None:
        """Publish path, keyframes and map where they changed, somebody subscribes and their period has passed; all of
        it where the estimated scale has become known, or better."""
        if self._is_moved:
            self.republish(slam)
        self._apply_estimated_scale(slam)
        slam.observe_scale(self.scale_estimation.take_new())
        if (correction := self._levelling.due()) is not None:
            self._log.info("the map is turned upright")
            slam.request_correction(correction)
        self._layers.publish_due(self._newest_ns, self.scale.unit)
        if self._path_schedule.start_if_due(self._path_queue):
            self._publish_path()
        if self._keyframes_schedule.start_if_due(self._keyframes_queue):
            self._publish_keyframes()
        if self._map_schedule.start_if_due(self._map_queue):
            self._publish_map(slam)

    def reset(self, slam: Slam, metres_per_unit: float = 0.0) -> None:
        """Publish the new map, which is empty or loaded, since the old one was forgotten; ``metres_per_unit``: of a
        loaded map, 0 where unknown."""
        with self._pose_lock:
            self._start_new_map()
            self._newest_index = slam.next_index - 1  # a pose of the old map may still be on its way
            self._transforms.clear()
            if self._tf is not None:
                self._tf.clear()
        self.scale_estimation.reset()
        self._levelling.reset()
        self._cloud_queue.clear()
        self._depth.clear()
        if self.scale.reset(metres_per_unit):
            self._log.info_throttled("scale", f"another map has another scale: {self.scale.description}")
        self._publish_whole_map(slam)
        self._layers.reset(self._newest_ns, self.scale.unit)

    def set_scale(self, metres_per_unit: float, slam: Slam) -> None:
        """Publish in other lengths from now on, and the whole map once more in these lengths.

        Raises SettingError naming a value that cannot be a scale.
        """
        with self._pose_lock:
            before = self.scale.unit
            self.scale.set(metres_per_unit)
            self._continuity.move_world(at_once=True)
        self._change_lengths(before, slam)

    def change_settings(self, settings: NodeSettings, slam: Slam) -> None:
        """Use other values of those parameters that may change at any time."""
        before, self._settings = self._settings, settings
        self.scale_estimation.change_settings(settings)
        self._depth.change_settings(settings)
        with self._pose_lock:
            self._camera.change_settings(settings)
            self._poses.set_limit(settings.path_length)
        self._keyframe_poses.set_limit(settings.path_length)
        self._path_schedule.period_s = self._keyframes_schedule.period_s = settings.path_period
        self._map_schedule.period_s = settings.map_period
        self._map_schedule.mark_changed()  # it may have other voxels, or be thinned in another way
        self._layers.change_settings(settings, self.scale)
        if settings.scale != before.scale:
            self.scale.parameter = settings.scale
            self.set_scale(settings.scale, slam)

    def _apply_estimated_scale(self, slam: Slam) -> None:
        """Publish in metres by the estimated scale, unless a user has set another."""
        if self.scale.is_set_by_user or (estimated := self.scale_estimation.due(self.scale.metres_per_unit)) is None:
            return
        self._log.info_throttled("scale estimate", f"metric scale: {estimated:.4g} m to a scene unit")
        with self._pose_lock:
            before = self.scale.unit
            self.scale.apply_estimate(estimated)
            self._continuity.move_world(at_once=True)
        self._change_lengths(before, slam)

    def _change_lengths(self, unit_before: float, slam: Slam) -> None:
        """Publish the whole map once more, since the published length of a scene unit has changed."""
        self._layers.rescale(unit_before, self.scale)
        self.republish(slam)

    def republish(self, slam: Slam) -> None:
        """Publish the whole map once more, since all of it has changed."""
        self._is_moved = False
        unit = self.scale.unit
        records = [record for record in slam.keyframes() if record.pose is not None]

        def keyframe(number: int) -> Pose:
            found = records[number].pose
            assert found is not None
            return pose_message(pose_in_map(found.T_world_camera, unit))

        with self._pose_lock:
            trajectory = [pose for pose in slam.trajectory() if pose.stamp_ns <= self._newest_ns]

            def pose(number: int) -> PoseStamped:
                each = trajectory[number]
                return stamped_pose(each.stamp_ns, self._map_frame, pose_in_map(each.T_world_camera, unit))

            self._poses.rebuild(len(trajectory), pose)
        self._keyframe_poses.rebuild(len(records), keyframe)
        self._publish_whole_map(slam)
        self._layers.publish_due(self._newest_ns, unit)

    def _publish_whole_map(self, slam: Slam) -> None:
        """Publish path, keyframes and map at once: no latched topic may hold an older map than another."""
        self._publish_path()
        self._publish_keyframes()
        self._publish_map(slam)

    def _publish_path(self) -> None:
        with self._pose_lock:
            head, poses = header(self._newest_ns, self._map_frame), self._poses.items()
        self._path_queue.put(lambda: Path(header=head, poses=poses))

    def _publish_keyframes(self) -> None:
        head, poses = header(self._newest_ns, self._map_frame), self._keyframe_poses.items()
        self._keyframes_queue.put(lambda: PoseArray(header=head, poses=poses))

    def _publish_map(self, slam: Slam) -> None:
        points = thinned(slam.map_points(), self._settings.map_cloud_max_points)
        unit, stamp_ns = self.scale.unit, self._newest_ns
        self._map_queue.put(lambda: cloud_message(stamp_ns, self._map_frame, points, unit))

    # ---- how -----------------------------------------------------------------------------------------------------

    def destroy(self) -> None:
        """Publish what still waits and destroy the publishers."""
        self._publisher.stop()
        for publisher in (self._pose, self._path, self._keyframes, self._keyframe, self._cloud, self._map_cloud):
            self._node.destroy_publisher(publisher)
        if self._tf is not None:
            self._tf.destroy()
        self._odometry.destroy()
        self._depth.destroy()
        self._transforms.destroy()
        self.scale_estimation.destroy()
        self._levelling.destroy()
        self._layers.destroy()

    def _start_new_map(self) -> None:
        settings = self._settings
        self._newest_ns = 0
        self._newest_index = -1
        self._is_moved = False  # whether a correction has moved what was published
        self._corrections = self._world_changes = 0
        self._continuity.lose()
        self._reported_drops = self._cloud_queue.dropped
        self._poses: DecimatedList[PoseStamped] = DecimatedList(settings.path_length)
        self._keyframe_poses: DecimatedList[Pose] = DecimatedList(settings.path_length)
        self._published_clouds: deque[tuple[int, int]] = deque(maxlen=TUNING.remembered_clouds)  # frame, points
        self._path_schedule = PublicationSchedule(settings.path_period)
        self._keyframes_schedule = PublicationSchedule(settings.path_period)
        self._map_schedule = PublicationSchedule(settings.map_period)
