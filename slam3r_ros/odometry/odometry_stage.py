"""The engine's stage of visual odometry: it tracks every frame, and refines the pose and points of registered ones."""

from __future__ import annotations

from collections import deque
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.background_task import BackgroundTask
from slam3r_ros.device.host_transfer import to_device
from slam3r_ros.geometry.crop import CropRegion
from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.depth_correction import depth_corrections
from slam3r_ros.odometry.depth_fusion import fuse
from slam3r_ros.odometry.flow_depth import triangulate_flow
from slam3r_ros.odometry.frame_tracker import FrameTracker
from slam3r_ros.odometry.keyframe_changes import WindowCorrection
from slam3r_ros.odometry.tracked_frame import OdometryInput, Relocalize, TrackedFrame
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.odometry.visual_odometry import VisualOdometry
from slam3r_ros.settings import PoseSettings
from slam3r_ros.types import PoseEstimate, RegisteredFrame, State, StreamFrame
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.image_sampling import sample_nearest
from slam3r_ros.vision.klt import Grey
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
    """Its pose and landmarks by visual odometry; None where visual odometry has lost the frame."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackingState:
    """Tracking as it is after a frame. Where tracking and mapping are two threads, the one gives it to the other with a
    keyframe, and gets it back when the keyframe is mapped. Nobody changes it."""

    tracker: FrameTracker
    """The tracks of the frame, and the local map that they belong to."""
    focal: float | None
    """Focal length over the width of the networks' crop that self-calibration has found; None where none has been
    found yet."""
    can_track_alone: bool
    """Whether visual odometry alone gives the poses of the frames that follow."""


class OdometryStage:
    """Visual odometry over the stream of frames. A keyframe's points are refined on a thread of their own while the
    frames that follow are tracked; `finish` waits for them.
    """

    def __init__(self, settings: PoseSettings) -> None:
        self._settings = settings
        self._visual_odometry = VisualOdometry()
        self._focal: float | None = None  # over the width of the networks' crop
        self._is_guessed: bool | None = None  # until camera_info has come for the first time
        self._can_track_alone = False
        self._refinement: BackgroundTask[RegisteredFrame] = BackgroundTask("keyframe_points")
        self._refining: RefinedFrame | None = None  # whose points are being refined
        self._log_scales: deque[float] = deque(maxlen=TUNING.remembered_scales)

    def track(self, frame: StreamFrame) -> OdometryPose | None:
        """The next frame's pose by visual odometry alone; None where it is lost, or where L2W's prior outweighed it at
        the last registered frame. Without a pose, and where the frame is to become a keyframe, `refine` takes the frame
        once it is registered.
        """
        if not self._can_track_alone or (image := self.image_of(frame)) is None:
            return None
        self._learn_intrinsics(frame, image.matrix)
        tracked = self._visual_odometry.track(image)
        return None if tracked is None else odometry_pose(tracked, frame)

    @property
    def focal(self) -> float | None:
        """Focal length over the width of the networks' crop that self-calibration has found; None where none has been
        found yet."""
        return self._focal

    @focal.setter
    def focal(self, focal: float | None) -> None:
        self._focal = focal

    def image_of(self, frame: StreamFrame) -> FeatureImage | None:
        """The frame's whole image with the intrinsics that poses are computed with; None while they are not known."""
        matrix, grey = self._matrix(frame), grey_of(frame)
        return None if matrix is None or grey is None else FeatureImage(grey, matrix, _crop_of(frame))

    def tracking_state(self) -> TrackingState:
        """Tracking as it is now."""
        return TrackingState(copy(self._visual_odometry.tracker), self._focal, self._can_track_alone)

    def resume(self, tracker: FrameTracker) -> None:
        """Go on with tracks that were followed elsewhere."""
        self._visual_odometry.tracker = copy(tracker)

    def refine(self, keyframe: RegisteredFrame, relocalize: Relocalize) -> RefinedFrame:
        """The frame with its pose refined by visual odometry. Its refined points come with `finish`, which is to be
        called before the next frame is refined.

        A frame that L2W lost is tracked again where visual odometry has its pose. Without one the frame stays as it is.
        A frame that is no keyframe of visual odometry adds nothing to the map: its points are no better.
        """
        assert self._refining is None
        odometry_input = self._odometry_input(keyframe)
        tracked = None
        if odometry_input is not None:
            tracked = self._visual_odometry.track_registered(odometry_input, relocalize)
        else:
            self._visual_odometry.reset()
        self._can_track_alone = tracked is not None and tracked.prior_weight <= TUNING.max_prior_weight
        if tracked is None:
            return RefinedFrame(keyframe, None)
        self._focal = float(tracked.frame.image.matrix[0, 0]) / tracked.frame.image.crop_width_px
        if odometry_input is not None and odometry_input.has_own_depths:
            self._log_scales.append(float(np.log(tracked.scale)))
        refined = _posed(keyframe, tracked, self.focal_px(keyframe.local.frame))
        self._refining = RefinedFrame(refined, tracked)
        self._refinement.start(_with_refined_points, keyframe, refined, tracked)
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

    def take_changes(self) -> WindowCorrection | None:
        """How the map is to follow keyframes that the sliding window has moved by much since they were refined."""
        return self._visual_odometry.mapping.take_changes()

    def correct(self, moved: Sim3) -> None:
        """Take over that a closed loop has moved the world around the newest keyframe."""
        self._visual_odometry.transform(moved)
        log_scale_change = float(np.log(moved.scale))
        self._log_scales = deque((each + log_scale_change for each in self._log_scales), TUNING.remembered_scales)

    def _odometry_input(self, keyframe: RegisteredFrame) -> OdometryInput | None:
        """What visual odometry takes of a registered frame; None where the frame has no whole image or no focal length
        is known yet."""
        frame, pose, on_host = keyframe.local.frame, keyframe.pose, keyframe.on_host
        if self._focal is None and pose is not None:
            self._focal = pose.focal_px / frame.crop_size[1]
        matrix = self._matrix(frame)
        if frame.working is None or matrix is None:
            return None
        self._learn_intrinsics(frame, matrix)
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
            prior_sigma_factor = sigma_factor_of(pose.reprojection_error_px / pose.focal_px)
            prior = PosePrior(invert_rigid(T_world_camera), float(np.log(scale)), prior_sigma_factor)
        registered_log_scale = None if prior is None else prior.log_scale
        if is_own and self._log_scales and (prior is None or prior.sigma_factor >= 1):
            T_camera_world = None if prior is None else prior.T_camera_world
            prior = PosePrior(T_camera_world, float(np.median(self._log_scales)), 1.0)
        return OdometryInput(
            frame.working.grey,
            matrix,
            np.where(valid & np.isfinite(depths), depths, np.float32(np.nan)),
            prior,
            log_scale=registered_log_scale,
            has_own_depths=bool(is_own),
            is_calibrated=not self._is_guessed,
            crop=_crop_of(frame),
            index=keyframe.index,
        )

    def _learn_intrinsics(self, frame: StreamFrame, matrix: Array) -> None:
        """Give visual odometry the intrinsics when camera_info comes for the first time, often a few images late.

        Where camera_info was only missing for a while, the sliding window has its intrinsics already.
        """
        if self._is_calibrated(frame):
            if self._is_guessed:
                self._visual_odometry.know_camera(matrix)
            self._is_guessed = False
        elif self._is_guessed is None:
            self._is_guessed = True

    def _matrix(self, frame: StreamFrame) -> Array | None:
        """(3, 3) intrinsics of the whole image, those that poses are computed with; None while they are not known."""
        if frame.working is None:
            return None
        if self._is_calibrated(frame):
            assert frame.working.camera is not None
            return frame.working.camera.matrix
        if self._focal is None:
            return None
        height, width = frame.working.grey.shape
        focal = self._focal * _crop_of(frame).width * width
        return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])

    def _is_calibrated(self, frame: StreamFrame) -> bool:
        return frame.camera is not None and self._settings.use_camera_info

    def focal_px(self, frame: StreamFrame) -> float | None:
        """The focal length that visual odometry has found for the frame's crop, pixels; None where camera_info gives
        it, or where none has been found yet."""
        return None if self._focal is None or self._is_calibrated(frame) else self._focal * frame.crop_size[1]


def grey_of(frame: StreamFrame) -> Grey | None:
    """The image that visual odometry tracks; None where the frame has none."""
    return None if frame.working is None else frame.working.grey


def odometry_pose(tracked: TrackedFrame, frame: StreamFrame) -> OdometryPose:
    """The pose of a frame that visual odometry has tracked."""
    return OdometryPose(_pose_of(tracked, frame.crop_size[1]), tracked.is_keyframe)


def _crop_of(frame: StreamFrame) -> CropRegion:
    """The part of the whole image that the networks see."""
    return CropRegion.of(frame.header.size, frame.crop_size)


def _pose_of(tracked: TrackedFrame, crop_width: int) -> PoseEstimate:
    """The pose by visual odometry alone; pixels are those of the networks' crop, of that width."""
    image = tracked.frame.image
    crop_px = crop_width / image.crop_width_px  # of one pixel of the whole image
    return PoseEstimate(
        T_world_camera=tracked.T_world_camera,
        focal_px=float(image.matrix[0, 0]) * crop_px,
        inlier_fraction=tracked.share,
        reprojection_error_px=tracked.error_px * crop_px,
        scale=tracked.scale,
        similarity_error=np.nan,
        by_tracks=True,
        reckoning=tracked.reckoning,
    )


def _posed(keyframe: RegisteredFrame, tracked: TrackedFrame, focal_px: float | None) -> RegisteredFrame:
    """The frame in the state TRACKING, with its pose, and with the focal length of self-calibration where there is one.

    The reprojection error and the inliers stay those of L2W's points at L2W's pose: the tracks fit the pose of visual
    odometry several times better than this pose fits the truth, and would make it look too sure.
    """
    before = keyframe.pose
    if before is None or keyframe.state is State.LOST:
        pose = _pose_of(tracked, keyframe.on_host.confidence.shape[1])
    else:
        T, scale = tracked.T_world_camera, before.scale * tracked.scale_ratio
        focal, reckoning = focal_px or before.focal_px, tracked.reckoning
        pose = replace(before, T_world_camera=T, scale=scale, focal_px=focal, reckoning=reckoning)
    return replace(keyframe, pose=pose, state=State.TRACKING)


def _with_refined_points(keyframe: RegisteredFrame, posed: RegisteredFrame, tracked: TrackedFrame) -> RegisteredFrame:
    """The posed frame with its refined points, on the host. The points keep their pixels: they move with the camera,
    and their depths are corrected by the landmarks around them and by two-view depth."""
    before, T_after = keyframe.pose, tracked.T_world_camera
    if before is None or keyframe.state is State.LOST:
        own = keyframe.on_host.points_camera * np.float32(tracked.scale)
        known = own[..., 2:] > 0
        own_world = np.where(known, transform_points(T_after, own), 0).astype(np.float32)
        points_world = _moved_points(own_world, T_after, replace(tracked, scale_ratio=1.0))
    else:
        points_world = _moved_points(keyframe.on_host.points_world, before.T_world_camera, tracked)
    return _with_two_view_depth(replace(posed, on_host=replace(keyframe.on_host, points_world=points_world)), tracked)


def _with_two_view_depth(keyframe: RegisteredFrame, tracked: TrackedFrame) -> RegisteredFrame:
    """The frame with its depths fused with those triangulated with earlier keyframes, and with the confidence of both.

    Then even a frame that L2W lost adds to the map, with the points of its own pointmap where there is no two-view
    depth.
    """
    if tracked.prior_weight > TUNING.max_prior_weight:
        return keyframe
    if not tracked.partners:
        return replace(keyframe, is_excluded=True)
    on_host, T = keyframe.on_host, tracked.T_world_camera
    points = transform_points(invert_rigid(T), on_host.points_world)
    valid = np.asarray(on_host.points_world.any(axis=2)) & (points[..., 2] > 0)
    log_depths = np.log(np.where(valid, points[..., 2], np.nan)).astype(np.float32)
    shape = on_host.confidence.shape
    two_view_depths = triangulate_flow(tracked.frame, tracked.partners, (shape[0], shape[1]))
    fused = fuse(log_depths, on_host.confidence, two_view_depths)
    if fused is None:
        return keyframe
    on_rays = tracked.frame.image.rays((shape[0], shape[1])) * np.exp(log_depths + fused.log_factors)[..., None]
    points = np.where(fused.has_two_view_depth[..., None], on_rays, points * np.exp(fused.log_factors)[..., None])
    points_world = transform_points(T, points).astype(np.float32)
    points_world = np.where(valid[..., None], points_world, np.float32(0))
    return replace(
        keyframe, on_host=replace(on_host, points_world=points_world, confidence=fused.confidence), is_excluded=False
    )


def _moved_points(
    points_world: NDArray[np.float32], T_world_camera: Array, tracked: TrackedFrame
) -> NDArray[np.float32]:
    """(H, W, 3) points of a frame at T_world_camera (4, 4), moved to the pose and scale of visual odometry.

    Points of exactly zero are invalid and stay.
    """
    points = transform_points(invert_rigid(T_world_camera), points_world)
    valid = np.asarray(points_world.any(axis=2))
    depths = np.where(valid & (points[..., 2] > 0), points[..., 2], np.nan)
    log_depths = (np.log(depths) + np.log(tracked.scale_ratio)).astype(np.float32)
    ratios = np.log(np.maximum(tracked.depths, 1e-9)) - sample_nearest(log_depths, tracked.places)
    corrections = depth_corrections(log_depths, tracked.places, (1 - tracked.prior_weight) * ratios)
    factors = tracked.scale_ratio * corrections
    moved = transform_points(tracked.T_world_camera, points * factors[..., None]).astype(np.float32)
    return np.where(valid[..., None], moved, np.float32(0))
