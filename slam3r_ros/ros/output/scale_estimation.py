"""The metric scale while the node runs: the engine's events and the robot's other sensors in, a scale out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rclpy.node import Node
from tf2_ros import TransformException

from slam3r_ros.engine.events import MappedPlace, Update
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.scale_edges import ScaleObservation, corrected_observations
from slam3r_ros.metric_scale.depth_source import depth_observation
from slam3r_ros.metric_scale.estimator import ScaleEstimate, ScaleEstimator
from slam3r_ros.metric_scale.motion_source import MotionSource
from slam3r_ros.metric_scale.tag_source import TagSource
from slam3r_ros.ros.input.frame_transforms import FrameTransforms
from slam3r_ros.ros.input.metric_sensors import DepthInput, OdometryInput
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.types import MapUpdate, PoseEstimate, PoseUpdate


class ScaleEstimation:
    """Estimates the scale by the source that the parameter `scale_source` names. Used by the mapping thread."""

    def __init__(self, node: Node, settings: NodeSettings, transforms: FrameTransforms, log: ThrottledLog) -> None:
        source = settings.scale_source
        self._settings, self._log = settings, log
        self._estimator = ScaleEstimator()
        self._motion = MotionSource() if source in ("odometry", "tf") else None
        self._tag = TagSource(settings.tag_id, settings.tag_size) if source == "tag" else None
        self._odometry = OdometryInput(node, log) if source == "odometry" else None
        self._depth = DepthInput(node, log) if source == "depth" else None
        self._transforms = transforms
        if source in ("odometry", "tf", "depth"):
            transforms.listen()
        self._base_frame = settings.base_frame
        self._last_index = -1
        self._new: list[ScaleObservation] = []  # not given to the engine yet
        self.estimate: ScaleEstimate | None = None
        """The scale as far as it is known; None where nothing estimates it, or too little was observed. Any thread may
        read it."""

    @property
    def source(self) -> str:
        """What the scale is estimated by, as the parameter `scale_source` names it."""
        return self._settings.scale_source

    def change_settings(self, settings: NodeSettings) -> None:
        """Apply the estimate from another standard deviation on."""
        self._settings = settings

    def due(self, present: float) -> float | None:
        """The scale to change to from the ``present`` one, metres per scene unit, 0 for unknown; None while none is
        sure enough, or the present one is as good."""
        estimate = self.estimate
        if estimate is None or estimate.sigma > self._settings.scale_sigma:
            return None
        change = abs(math.log(estimate.metres_per_unit / present)) if present else math.inf
        return estimate.metres_per_unit if change > max(estimate.sigma, TUNING.least_scale_change) else None

    def observe(self, update: Update) -> None:
        """Take an event of the engine in."""
        if isinstance(update, MapCorrection):
            for part in (self._estimator, self._motion, self._tag):
                if part is not None:
                    part.correct(update)
            self.estimate = self._estimator.estimate
            self._new = corrected_observations(self._new, update)
        elif isinstance(update, KeyframeView):
            self._observe_view(update)
        elif isinstance(update, MappedPlace):
            pass
        elif self._motion is not None and update.index > self._last_index:
            self._last_index = update.index
            self._observe_motion(self._motion, update)

    def take_new(self) -> list[ScaleObservation]:
        """The observations since the last call, in the world as it is now."""
        new, self._new = self._new, []
        return new

    def reset(self) -> None:
        """Begin anew, since another map has another unit."""
        for part in (self._estimator, self._motion, self._tag):
            if part is not None:
                part.clear()
        self._last_index, self.estimate = -1, None
        self._new.clear()

    def destroy(self) -> None:
        """Destroy the subscriptions."""
        for part in (self._odometry, self._depth):
            if part is not None:
                part.destroy()

    # ---- the sources ---------------------------------------------------------------------------------------------

    def _observe_motion(self, motion: MotionSource, update: PoseUpdate | MapUpdate) -> None:
        if self._odometry is not None:
            for pose in self._odometry.take():
                self._base_frame = pose.base_frame or self._base_frame
                motion.add_metric_pose(pose.stamp_ns, pose.T_odom_base)
        pose_estimate = _tracked_pose(update)
        if pose_estimate is None:
            motion.lose()
            return
        header = update.header
        if self._odometry is None:
            self._add_pose_by_tf(motion, header.stamp_ns)
        T_base_camera = self._extrinsics(self._base_frame, header.frame_id, header.stamp_ns)
        motion.add_frame(header.stamp_ns, update.index, pose_estimate.T_world_camera, T_base_camera)
        present = self.estimate
        self._add(motion.observations(None if present is None else present.metres_per_unit))

    def _add_pose_by_tf(self, motion: MotionSource, stamp_ns: int) -> None:
        """Take the pose of the base on odom_frame at the time of an image, as far as TF tells it."""
        odom, base = self._settings.odom_frame, self._settings.base_frame
        try:
            motion.add_metric_pose(stamp_ns, self._transforms.at(odom, base, stamp_ns))
        except TransformException as error:
            self._log.warn("scale by tf", f"scale_source: tf: no transform from '{odom}' to '{base}' ({error})")

    def _observe_view(self, view: KeyframeView) -> None:
        observation = None
        if self._tag is not None:
            observation = self._tag.add(view)
        if self._depth is not None:
            image = self._depth.nearest(view.header.stamp_ns, TUNING.depth_tolerance_ns)
            if image is None:
                return
            T = self._extrinsics(view.header.frame_id, image.frame_id, view.header.stamp_ns)
            observation = depth_observation(view, image.depth_m, image.camera, T)
        self._add([] if observation is None else [observation])

    def _add(self, observations: Sequence[ScaleObservation]) -> None:
        for observation in observations:
            self._estimator.add(observation)
        self._new += observations
        if observations:
            self.estimate = self._estimator.estimate

    def _extrinsics(self, target: str, source: str, stamp_ns: int) -> Array:
        """T_target_source (4, 4) of two frames of the robot; the identity, with a warning, where TF does not tell."""
        if target == source or not target or not source:
            return np.eye(4)
        try:
            return self._transforms.at_or_newest(target, source, stamp_ns)
        except TransformException as error:
            self._log.warn(
                "scale extrinsics",
                f"metric scale: no transform from '{target}' to '{source}' ({error}); they are taken to be one frame",
            )
            return np.eye(4)


def _tracked_pose(update: PoseUpdate | MapUpdate) -> PoseEstimate | None:
    """The pose of a frame that is tracked."""
    return update.pose if isinstance(update, PoseUpdate) or update.is_tracked else None
