"""Where registered frames were taken: by L2W's points, and by what the image tracks make of that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slam3r_ros.engine.camera_pose import CameraPoseEstimator, why_lost
from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.odometry.odometry_stage import OdometryStage
from slam3r_ros.settings import LoopSettings, PoseSettings
from slam3r_ros.types import RegisteredFrame, State


class Locator:
    """Takes registered frames in their order."""

    def __init__(self, settings: PoseSettings, loops: LoopSettings, clock: StageTimer) -> None:
        self._settings, self._clock = settings, clock
        self._poses = CameraPoseEstimator(settings)
        self.tracks = OdometryStage(settings, loops) if settings.tracks == "on" else None

    def learn_focal(self, keyframe: RegisteredFrame) -> None:
        """Take note of the focal length that a frame's own pointmap tells."""
        self._poses.learn_focal(keyframe.on_host.points_camera, keyframe.on_host.confidence_camera)

    def locate(self, keyframe: RegisteredFrame) -> tuple[RegisteredFrame, str]:
        """The frame with its pose and whether it counts as tracked, and why L2W lost it, empty if it did not. Its
        points come with `settled`, which is to be asked before the next frame is located.
        """
        frame, on_host = keyframe.local.frame, keyframe.on_host
        with self._clock.stage("pose"):
            pose = self._poses.estimate(
                on_host.points_world,
                on_host.confidence,
                np.where(on_host.valid[..., None], on_host.points_camera, np.float32(0)),
                on_host.confidence_camera,
                frame.camera,
                None if self.tracks is None else self.tracks.focal_px(frame),
            )
        reason = why_lost(pose, keyframe.mean_confidence, self._settings)
        state = State.LOST if reason else State.TRACKING
        held = bool(reason) and self._settings.hold_map_when_lost
        located = replace(keyframe, pose=pose, state=state, held=held)
        if self.tracks is not None:
            with self._clock.stage("tracks"):
                located = self.tracks.refine(located)
        return located, reason

    @property
    def is_moving(self) -> bool:
        """Whether `settled` would have to wait."""
        return self.tracks is not None and self.tracks.is_moving

    def settled(self, keyframe: RegisteredFrame) -> RegisteredFrame:
        """A frame as `locate` has returned it, with its points where the image tracks have them."""
        if self.tracks is None:
            return keyframe
        with self._clock.stage("points"):
            return self.tracks.settled(keyframe)
