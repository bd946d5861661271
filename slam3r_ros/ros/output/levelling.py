"""Making the map upright while the node runs: what is up, by the parameter `map_up`."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node
from tf2_ros import TransformException

from slam3r_ros.engine.events import Update
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.levelling.correction import levelling
from slam3r_ros.levelling.floor_plane import floor_normal
from slam3r_ros.levelling.up_estimate import UpEstimate
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.input.frame_transforms import FrameTransforms
from slam3r_ros.ros.input.gravity_input import GravityInput
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.throttled_log import ThrottledLog


class Levelling:
    """Observes the vertical at every keyframe and says once how the map is to be turned. Used by the mapping thread."""

    def __init__(self, node: Node, settings: NodeSettings, transforms: FrameTransforms, log: ThrottledLog) -> None:
        self._source, self._base_frame, self._log = settings.map_up, settings.base_frame, log
        self._estimate = UpEstimate()
        self._gravity = GravityInput(node) if self._source == "imu" else None
        self._transforms = transforms
        if self._source in ("imu", "base"):
            transforms.listen()
        self._is_asked = self._is_done = False

    def observe(self, update: Update) -> None:
        """Take an event of the engine in."""
        if self._source == "first_camera" or self._is_done:
            return
        if isinstance(update, MapCorrection):
            self._estimate.correct(update)
            self._is_done, self._is_asked = self._is_asked and self._is_level, False
        elif isinstance(update, KeyframeView):
            up_world = floor_normal(update) if self._source == "floor" else self._up_by_frame(update)
            if up_world is not None:
                self._estimate.add(update.index, up_world)

    def due(self) -> MapCorrection | None:
        """How the map is to be turned, once the vertical is known; None before, and after it has been turned."""
        if self._is_done or self._is_asked or (direction := self._estimate.direction) is None:
            return None
        correction = levelling(direction)
        self._is_asked, self._is_done = correction is not None, correction is None
        return correction

    def reset(self) -> None:
        """Begin anew with another map."""
        self._estimate.clear()
        self._is_asked = self._is_done = False
        if self._gravity is not None:
            self._gravity.clear()

    def destroy(self) -> None:
        """Destroy the subscription."""
        if self._gravity is not None:
            self._gravity.destroy()

    @property
    def _is_level(self) -> bool:
        direction = self._estimate.direction
        return direction is not None and levelling(direction) is None

    def _up_by_frame(self, view: KeyframeView) -> Array | None:
        """(3,) what is up in the world, by the robot's base or an inertial sensor; None where TF or the sensor does not
        tell."""
        frame, up = self._base_frame, np.array([0.0, 0.0, 1.0])
        if self._gravity is not None:
            measured = self._gravity.up_at(view.header.stamp_ns)
            if measured is None:
                self._log.warn("no gravity", f"map_up: imu: no usable message on '{self._gravity.topic}' near an image")
                return None
            frame, up = measured
        camera_frame = view.header.frame_id
        try:
            T = self._transforms.at_or_newest(camera_frame, frame, view.header.stamp_ns)
        except TransformException as error:
            self._log.warn(
                "no vertical", f"map_up: {self._source}: no transform from '{frame}' to '{camera_frame}' ({error})"
            )
            return None
        return np.asarray(view.T_world_camera[:3, :3] @ T[:3, :3] @ up)
