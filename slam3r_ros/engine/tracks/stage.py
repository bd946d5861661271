"""The engine's stage of the image tracks: a registered frame's pose and points, moved to where its tracks say it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.geometry import Array, invert_rigid, transform_points
from slam3r_ros.engine.settings import PoseSettings
from slam3r_ros.engine.tracks.poses import Located, TrackPoses, View
from slam3r_ros.engine.tracks.prior import Prior, doubt_of
from slam3r_ros.engine.transfer import to_device
from slam3r_ros.engine.types import Keyframe, PoseEstimate, State

OWN_POINTS_SHARE = 0.1
"""Share of valid own points below which depths are taken from the world points, as for frames without own ones."""


class TrackStage:
    """Takes registered frames in their order."""

    def __init__(self, settings: PoseSettings) -> None:
        self._settings = settings
        self._poses = TrackPoses()
        self._focal: float | None = None

    def refine(self, keyframe: Keyframe) -> Keyframe:
        """The frame with its pose, and its world points moved with it, as the tracks have them.

        A frame that L2W lost is tracked if its tracks know where it is. Without an answer of theirs it stays as it is.
        """
        view = self._view(keyframe)
        located = None if view is None else self._poses.locate(view)
        if view is None:
            self._poses.reset()
        if located is None:
            return keyframe
        return _moved(keyframe, located)

    def _view(self, keyframe: Keyframe) -> View | None:
        """None where the frame has no image for the tracks or no focal length is known yet."""
        frame, pose, on_host = keyframe.local.frame, keyframe.pose, keyframe.on_host
        matrix = self._matrix(keyframe)
        if frame.grey is None or matrix is None:
            return None
        counts = pose is not None and keyframe.state is State.TRACKING
        T_world_camera = pose.T_world_camera if pose is not None and counts else None
        scale = np.nan if pose is None else pose.scale
        depths = on_host.points_camera[..., 2]
        valid = on_host.valid & (depths > 0)
        is_own = valid.mean() >= OWN_POINTS_SHARE
        if T_world_camera is not None and not (is_own and np.isfinite(scale)):
            to_camera = invert_rigid(T_world_camera)
            depths = on_host.points_world @ to_camera[2, :3].astype(np.float32) + np.float32(to_camera[2, 3])
            scale = 1.0
            valid = (depths > 0) & on_host.points_world.any(axis=2)
        prior = None
        if T_world_camera is not None and pose is not None and np.isfinite(scale) and scale > 0:
            doubt = doubt_of(pose.reprojection_error_px / pose.focal_px)
            prior = Prior(invert_rigid(T_world_camera), float(np.log(scale)), doubt)
        return View(
            frame.grey,
            matrix,
            np.where(valid & np.isfinite(depths), depths, np.float32(np.nan)),
            prior,
        )

    def _matrix(self, keyframe: Keyframe) -> Array | None:
        """(3, 3) intrinsics of the grey image, those that the pose was computed with."""
        frame = keyframe.local.frame
        if frame.grey is None:
            return None
        height, width = frame.grey.shape
        if frame.camera is not None and self._settings.use_camera_info:
            return frame.camera.scaled(width, height).matrix
        if keyframe.pose is not None:
            self._focal = keyframe.pose.focal_px
        if self._focal is None:
            return None
        focal = self._focal * width / frame.image.shape[1]
        return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def _moved(keyframe: Keyframe, located: Located) -> Keyframe:
    """The frame where its tracks have it. Its points keep their place in the image: they move with the camera, and
    their distances from it grow by as much as the tracks' depths differ."""
    before, T_after = keyframe.pose, located.T_world_camera
    if before is None or keyframe.state is State.LOST:
        pose = PoseEstimate(
            T_world_camera=T_after,
            focal_px=located.focal_px * keyframe.on_host.confidence.shape[1] / located.width,
            inlier_fraction=located.share,
            reprojection_error_px=located.error_px * keyframe.on_host.confidence.shape[1] / located.width,
            scale=located.scale,
            similarity_error=np.nan,
        )
        return replace(keyframe, pose=pose, state=State.TRACKING)
    to_camera = invert_rigid(before.T_world_camera)
    change = T_after.copy()
    change[:3, :3] *= located.growth
    change = change @ to_camera
    on_host = replace(keyframe.on_host, points_world=_moved_points(change, keyframe.on_host.points_world))
    points_world = to_device(on_host.points_world, keyframe.points_world.device)
    pose = replace(before, T_world_camera=T_after, scale=before.scale * located.growth)
    return replace(keyframe, pose=pose, points_world=points_world, on_host=on_host)


def _moved_points(change: Array, points_world: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W, 3) points after a (4, 4) change of the world; those of exactly zero are invalid and stay."""
    moved = transform_points(change, points_world).astype(np.float32)
    return np.where(points_world.any(axis=2, keepdims=True), moved, np.float32(0))
