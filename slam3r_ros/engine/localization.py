"""Where registered frames were taken, by their world points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slam3r_ros.engine.camera_pose import CameraPoseEstimator, why_lost
from slam3r_ros.settings import PoseSettings
from slam3r_ros.types import RegisteredFrame, State


class Localization:
    """Gives registered frames their camera pose, in their order."""

    def __init__(self, settings: PoseSettings) -> None:
        self._settings = settings
        self._poses = CameraPoseEstimator(settings)

    def change_settings(self, settings: PoseSettings) -> None:
        """Judge frames by other thresholds; what else is set stays as it was."""
        self._settings = settings

    def learn_focal(self, keyframe: RegisteredFrame) -> None:
        """Take note of the focal length that a frame's own pointmap shows."""
        self._poses.learn_focal(keyframe.on_host.points_camera, keyframe.on_host.confidence_camera)

    def localize(self, registered: RegisteredFrame, focal_px: float | None) -> tuple[RegisteredFrame, str]:
        """The frame with its pose and whether it is TRACKING or LOST, and why it is lost, empty if it is not.

        focal_px: focal length of the crop that visual odometry has found, pixels; None where it has found none.
        """
        frame, on_host = registered.local.frame, registered.on_host
        pose = self._poses.estimate(
            on_host.points_world,
            on_host.confidence,
            np.where(on_host.valid[..., None], on_host.points_camera, np.float32(0)),
            on_host.confidence_camera,
            frame.camera,
            focal_px,
        )
        reason = why_lost(pose, registered.mean_confidence, self._settings)
        state = State.LOST if reason else State.TRACKING
        is_excluded = bool(reason) and self._settings.hold_map_when_lost
        return replace(registered, pose=pose, state=state, is_excluded=is_excluded), reason
