"""The engine's stage of the image tracks: a registered frame's pose and points, moved to where its tracks say it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.background_task import BackgroundTask
from slam3r_ros.device.host_transfer import to_device
from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.depth_correction import depth_corrections
from slam3r_ros.odometry.depth_fusion import fuse
from slam3r_ros.odometry.flow_depth import triangulate_flow
from slam3r_ros.odometry.tracked_frame import OdometryInput, TrackedFrame
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.odometry.visual_odometry import VisualOdometry
from slam3r_ros.settings import PoseSettings
from slam3r_ros.types import PoseEstimate, RegisteredFrame, State, StreamFrame
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.image_sampling import sample_nearest
from slam3r_ros.vision.pose_prior import PosePrior, sigma_factor_of


@dataclass(frozen=True, slots=True)
class OdometryPose:
    """The pose of a frame by visual odometry alone."""

    pose: PoseEstimate
    is_keyframe: bool
    """Whether the frame is to become a keyframe."""


@dataclass(frozen=True, slots=True, eq=False)
class RefinedFrame:
    """A registered frame after visual odometry."""

    frame: RegisteredFrame
    tracked: TrackedFrame | None
    """What its tracks tell of it; None where they tell nothing."""


Relocalize = Callable[[RegisteredFrame, FeatureImage], "tuple[Array, float | None] | None"]
"""Where a registered frame was taken, T_world_camera (4, 4), and the logarithm of the world's length of one of its own
lengths where that is known; None where its place is not recognised."""


class OdometryStage:
    """Visual odometry over the stream of frames. A keyframe's points are refined on a thread of their own, while the
    frames that follow are tracked, and are waited for when they are asked for.
    """

    def __init__(self, settings: PoseSettings) -> None:
        self._settings = settings
        self._poses = VisualOdometry()
        self._focal: float | None = None  # over the image's width
        self._is_guessed: bool | None = None  # until camera_info has come for the first time
        self._suffice = False
        self._refinement: BackgroundTask[RegisteredFrame] = BackgroundTask("keyframe_points")
        self._refining: RefinedFrame | None = None  # whose points are being refined
        self._log_scales: deque[float] = deque(maxlen=TUNING.remembered_scales)

    def track(self, frame: StreamFrame) -> OdometryPose | None:
        """The next frame's pose by its tracks alone, where that is enough: they hold, and L2W has not been found to
        know better. Without a pose, and where the frame is to become a keyframe, `refine` takes it, registered.
        """
        if not self._suffice or (matrix := self._matrix(frame)) is None or frame.grey is None:
            return None
        self._know(frame, matrix)
        located = self._poses.track(FeatureImage(frame.grey, matrix))
        return None if located is None else OdometryPose(_pose_of(located, frame.crop_size[1]), located.is_keyframe)

    def refine(self, keyframe: RegisteredFrame, relocalize: Relocalize) -> RefinedFrame:
        """The frame with its pose as the tracks have it. Its points come with `finish`, asked before the next frame.

        A frame that L2W lost is tracked if its tracks know where it is. Without an answer of theirs it stays as it is.
        Between keyframes of visual odometry nothing is added to the map: points there are no better.
        """
        assert self._refining is None
        view = self._view(keyframe)
        located = None if view is None else self._poses.locate(view, lambda image: relocalize(keyframe, image))
        if view is None:
            self._poses.reset()
        self._suffice = located is not None and located.trust <= TUNING.max_prior_weight
        if located is None:
            return RefinedFrame(keyframe, None)
        self._focal = located.focal_px / located.width
        if view is not None and view.has_own_depths:
            self._log_scales.append(float(np.log(located.scale)))
        refined = _posed(keyframe, located, self.focal_px(keyframe.local.frame))
        self._refining = RefinedFrame(refined, located)
        self._refinement.start(_moved, keyframe, refined, located)
        return self._refining

    @property
    def is_refining(self) -> bool:
        """Whether there are points still being refined, for which `finish` would wait."""
        return self._refinement.is_running

    def finish(self, refined: RefinedFrame) -> RefinedFrame:
        """A frame as `refine` has returned it, its world points refined with it; as it is where none are."""
        if self._refining is not refined:
            return refined
        self._refining = None
        moved = self._refinement.result()
        points_world = to_device(moved.on_host.points_world, refined.frame.points_world.device)
        return replace(refined, frame=replace(moved, points_world=points_world))

    def correct(self, moved: Sim3) -> None:
        """Take over that a closed loop has moved the world around the newest keyframe."""
        self._poses.transform(moved)
        growth = float(np.log(moved.scale))
        self._log_scales = deque((each + growth for each in self._log_scales), TUNING.remembered_scales)

    def _view(self, keyframe: RegisteredFrame) -> OdometryInput | None:
        """None where the frame has no image for the tracks or no focal length is known yet."""
        frame, pose, on_host = keyframe.local.frame, keyframe.pose, keyframe.on_host
        if self._focal is None and pose is not None:
            self._focal = pose.focal_px / frame.crop_size[1]
        matrix = self._matrix(frame)
        if frame.grey is None or matrix is None:
            return None
        self._know(frame, matrix)
        counts = pose is not None and keyframe.state is State.TRACKING
        T_world_camera = pose.T_world_camera if pose is not None and counts else None
        scale = np.nan if pose is None else pose.scale
        depths = on_host.points_camera[..., 2]
        valid = (on_host.valid | (not counts)) & (depths > 0)
        is_own = valid.mean() >= TUNING.min_own_points_share
        if T_world_camera is not None and not (is_own and np.isfinite(scale)):
            to_camera = invert_rigid(T_world_camera)
            depths = on_host.points_world @ to_camera[2, :3].astype(np.float32) + np.float32(to_camera[2, 3])
            scale, is_own = 1.0, False
            valid = (depths > 0) & on_host.points_world.any(axis=2)
        prior = None
        if T_world_camera is not None and pose is not None and np.isfinite(scale) and scale > 0:
            doubt = sigma_factor_of(pose.reprojection_error_px / pose.focal_px)
            prior = PosePrior(invert_rigid(T_world_camera), float(np.log(scale)), doubt)
        said = None if prior is None else prior.log_scale
        if is_own and self._log_scales and (prior is None or prior.sigma_factor >= 1):
            T_said = None if prior is None else prior.T_camera_world
            prior = PosePrior(T_said, float(np.median(self._log_scales)), 1.0)
        return OdometryInput(
            frame.grey,
            matrix,
            np.where(valid & np.isfinite(depths), depths, np.float32(np.nan)),
            prior,
            log_scale=said,
            has_own_depths=bool(is_own),
            is_calibrated=not self._is_guessed,
        )

    def _know(self, frame: StreamFrame, matrix: Array) -> None:
        """Tell the tracks when camera_info comes for the first time: it is often a few images late.

        Where it was only away for a while, the window has been seen with what it says.
        """
        if self._is_calibrated(frame):
            if self._is_guessed:
                self._poses.know_camera(matrix)
            self._is_guessed = False
        elif self._is_guessed is None:
            self._is_guessed = True

    def _matrix(self, frame: StreamFrame) -> Array | None:
        """(3, 3) intrinsics of the grey image, those that poses are computed with; None while they are not known."""
        if frame.grey is None:
            return None
        height, width = frame.grey.shape
        if self._is_calibrated(frame):
            assert frame.camera is not None
            return frame.camera.scaled(width, height).matrix
        if self._focal is None:
            return None
        focal = self._focal * width
        return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])

    def _is_calibrated(self, frame: StreamFrame) -> bool:
        return frame.camera is not None and self._settings.use_camera_info

    def focal_px(self, frame: StreamFrame) -> float | None:
        """The focal length that the tracks have found for the frame's crop, pixels; None where they need none, or have
        none yet."""
        return None if self._focal is None or self._is_calibrated(frame) else self._focal * frame.crop_size[1]


def _pose_of(located: TrackedFrame, width: int) -> PoseEstimate:
    """The pose where the tracks alone give it; pixels are those of a crop of that width."""
    return PoseEstimate(
        T_world_camera=located.T_world_camera,
        focal_px=located.focal_px * width / located.width,
        inlier_fraction=located.share,
        reprojection_error_px=located.error_px * width / located.width,
        scale=located.scale,
        similarity_error=np.nan,
        by_tracks=True,
    )


def _posed(keyframe: RegisteredFrame, located: TrackedFrame, focal_px: float | None) -> RegisteredFrame:
    """The frame, tracked, where its tracks have it, with the focal length that they have found, if they look for one.
    How well L2W's points fit its own pose stays the measure of the new one: the tracks fit theirs several times better
    than it fits the truth."""
    before = keyframe.pose
    if before is None or keyframe.state is State.LOST:
        pose = _pose_of(located, keyframe.on_host.confidence.shape[1])
    else:
        T, scale = located.T_world_camera, before.scale * located.growth
        pose = replace(before, T_world_camera=T, scale=scale, focal_px=focal_px or before.focal_px)
    return replace(keyframe, pose=pose, state=State.TRACKING)


def _moved(keyframe: RegisteredFrame, posed: RegisteredFrame, located: TrackedFrame) -> RegisteredFrame:
    """The posed frame with its points, on the host. They keep their place in the image: they move with the camera, and
    their distances from it become those that the tracks around them tell, and parallax."""
    before, T_after = keyframe.pose, located.T_world_camera
    if before is None or keyframe.state is State.LOST:
        own = keyframe.on_host.points_camera * np.float32(located.scale)
        known = own[..., 2:] > 0
        own_world = np.where(known, transform_points(T_after, own), 0).astype(np.float32)
        points_world = _moved_points(own_world, T_after, replace(located, growth=1.0))
    else:
        points_world = _moved_points(keyframe.on_host.points_world, before.T_world_camera, located)
    return _with_parallax(replace(posed, on_host=replace(keyframe.on_host, points_world=points_world)), located)


def _with_parallax(keyframe: RegisteredFrame, located: TrackedFrame) -> RegisteredFrame:
    """The frame with the distances that its parallax to earlier keyframes tells, and the confidence they deserve.

    Then even one that L2W lost counts for the map, with the points of its own pointmap where parallax tells none.
    """
    if located.trust > TUNING.max_prior_weight:
        return keyframe
    if not located.partners:
        return replace(keyframe, is_excluded=True)
    on_host, T = keyframe.on_host, located.T_world_camera
    points = transform_points(invert_rigid(T), on_host.points_world)
    valid = np.asarray(on_host.points_world.any(axis=2)) & (points[..., 2] > 0)
    log_depths = np.log(np.where(valid, points[..., 2], np.nan)).astype(np.float32)
    shape = on_host.confidence.shape
    distances = triangulate_flow(located.frame, located.partners, (shape[0], shape[1]))
    fused = fuse(log_depths, on_host.confidence, distances)
    if fused is None:
        return keyframe
    on_rays = located.frame.image.rays((shape[0], shape[1])) * np.exp(log_depths + fused.log_factors)[..., None]
    points = np.where(fused.has_two_view_depth[..., None], on_rays, points * np.exp(fused.log_factors)[..., None])
    points_world = transform_points(T, points).astype(np.float32)
    points_world = np.where(valid[..., None], points_world, np.float32(0))
    return replace(
        keyframe, on_host=replace(on_host, points_world=points_world, confidence=fused.confidence), is_excluded=False
    )


def _moved_points(
    points_world: NDArray[np.float32], T_world_camera: Array, located: TrackedFrame
) -> NDArray[np.float32]:
    """(H, W, 3) points of a frame at T_world_camera (4, 4), where its tracks have them.

    Points of exactly zero are invalid and stay.
    """
    points = transform_points(invert_rigid(T_world_camera), points_world)
    valid = np.asarray(points_world.any(axis=2))
    depths = np.where(valid & (points[..., 2] > 0), points[..., 2], np.nan)
    log_depths = (np.log(depths) + np.log(located.growth)).astype(np.float32)
    ratios = np.log(np.maximum(located.depths, 1e-9)) - sample_nearest(log_depths, located.places)
    corrections = depth_corrections(log_depths, located.places, (1 - located.trust) * ratios)
    factors = located.growth * corrections
    moved = transform_points(located.T_world_camera, points * factors[..., None]).astype(np.float32)
    return np.where(valid[..., None], moved, np.float32(0))
