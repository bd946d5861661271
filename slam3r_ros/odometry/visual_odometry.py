"""Visual odometry: camera poses that agree with what the images show to move, anchored in the networks' pointmaps.

Tracking (`FrameTracker`) and local mapping (`LocalMapping`) share no state: tracking works on the last `LocalMap` that
local mapping has published, and hands its tracks over when a frame becomes a keyframe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from slam3r_ros.geometry.se3 import Array, invert_rigid, orthonormal
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.flow_depth import PosedImage
from slam3r_ros.odometry.frame_tracker import FrameTracker, PoseFit
from slam3r_ros.odometry.local_mapping import LocalMapping, prior_share
from slam3r_ros.odometry.tracked_frame import OdometryInput, Relocalize, TrackedFrame
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.relative_pose import estimate_relative_pose


class VisualOdometry:
    """Tracks every frame, and makes keyframes of those that the networks have registered."""

    def __init__(self) -> None:
        self.tracker = FrameTracker()
        self.mapping = LocalMapping()

    def reset(self) -> None:
        """Forget all tracks, keyframes and landmarks."""
        self.tracker.reset()
        self.mapping.reset()

    def transform(self, moved: Sim3) -> None:
        """Take over that a closed loop has moved the world."""
        self.mapping.transform(moved)
        self.tracker.transform(moved)
        self._publish()

    def know_camera(self, matrix: Array) -> None:
        """The intrinsics (3, 3), guessed so far, are known from now on."""
        self.mapping.know_camera(matrix)
        self._publish()

    def _publish(self) -> None:
        """Give tracking the new local map."""
        if not self.mapping.is_empty:
            self.tracker.refresh(self.mapping.local_map())

    # ---- tracking ------------------------------------------------------------------------------------------------

    def track(self, image: FeatureImage) -> TrackedFrame | None:
        """The next frame's pose by its tracks alone, where they hold; else None.

        Without a pose, and with that of a frame that is to become a keyframe, `track_registered` goes on with what the
        networks say of the same frame; until then this may be asked again.
        """
        return self.tracker.locate(image)

    # ---- keyframes -----------------------------------------------------------------------------------------------

    def track_registered(self, registered: OdometryInput, relocalize: Relocalize | None = None) -> TrackedFrame | None:
        """The pose of a frame that the networks have registered; None where visual odometry is lost or has not begun:
        then L2W's pose holds.

        A frame whose tracks are lost is compared with the newest keyframes, and then given to ``relocalize``. Where
        both fail, visual odometry begins again at the pose by L2W, if there is one.
        """
        tracker = self.tracker
        if tracker.has_other_size(registered.grey):
            self.reset()
        tracked = None
        if not self.mapping.is_empty:
            if not tracker.is_lost:
                tracker.track(registered.grey)
                tracked = self._track_with_prior(registered, tracker.predictions)
            tracked = tracked or self._recover(registered)
            if tracked is None and relocalize is not None and (found := relocalize(registered.image)):
                tracked = self._begin_at(registered, *found)
        if tracked is None:
            tracker.lose()
            if registered.prior is not None and registered.prior.T_camera_world is not None:
                self._begin(registered, orthonormal(registered.prior.T_camera_world), registered.prior.log_scale)
        tracker.see(registered.grey)
        return tracked

    def _begin(self, registered: OdometryInput, T_camera_world: Array, log_scale: float) -> None:
        """Begin again with one keyframe."""
        self.reset()
        self.tracker.start_at(T_camera_world)
        self._insert_keyframe(registered, T_camera_world, log_scale)

    def _begin_at(self, registered: OdometryInput, T_world_camera: Array, log_scale: float | None) -> TrackedFrame:
        """The frame at the pose that relocalization has found; visual odometry begins again there."""
        if log_scale is None:
            log_scale = registered.prior.log_scale if registered.prior is not None else self.mapping.newest.log_scale
        T_camera_world = invert_rigid(T_world_camera)
        self._begin(registered, T_camera_world, log_scale)
        fit = PoseFit(T_camera_world, np.ones(len(self.tracker.tracks), np.bool_), 1.0, 1.0)
        return replace(self.tracker.accept(self.mapping.newest.image, fit, log_scale), is_keyframe=True)

    def _insert_keyframe(self, registered: OdometryInput, T_camera_world: Array, log_scale: float) -> None:
        """Hand the tracks over to local mapping, and track on with what it makes of them."""
        tracker = self.tracker
        landmarks, pixels = tracker.landmark_ids, tracker.tracks.pixels
        if self.mapping.still_has(landmarks).sum() < TUNING.min_inliers:
            self.mapping.reset()  # the tracks are of a window that is gone: nothing ties the keyframe to this one
        tracks = self.mapping.insert(registered, T_camera_world, log_scale, landmarks, pixels)
        tracker.adopt(self.mapping.local_map(), tracks, registered.grey)

    def _track_with_prior(self, registered: OdometryInput, starts: Sequence[Array]) -> TrackedFrame | None:
        """The frame's pose by its tracks and the prior, from the best of several starts; the frame may become a
        keyframe."""
        tracker, image, prior = self.tracker, registered.image, registered.prior
        if prior is not None and prior.T_camera_world is not None:
            starts = [*starts, prior.T_camera_world]
        fit = tracker.fit(image, starts, prior)
        if fit is None:
            return None
        becomes_keyframe = tracker.needs_keyframe(image, fit)
        tracker.drop_outliers(fit)
        log_scale = self._log_scale(registered, tracker.depths(fit.T_camera_world))
        partners: tuple[PosedImage, ...] = ()
        if becomes_keyframe:
            self._insert_keyframe(registered, fit.T_camera_world, log_scale)
            newest, partners = self.mapping.newest, self.mapping.partners()
            image, log_scale = newest.image, newest.log_scale
            fit = replace(fit, T_camera_world=newest.T_camera_world)
        tracked = replace(self.tracker.accept(image, fit, log_scale), is_keyframe=becomes_keyframe, partners=partners)
        if prior is None:
            return tracked
        scale_ratio = float(
            np.exp(log_scale - (prior.log_scale if registered.log_scale is None else registered.log_scale))
        )
        return replace(tracked, scale_ratio=scale_ratio, prior_weight=prior_share(prior))

    def _recover(self, registered: OdometryInput) -> TrackedFrame | None:
        """The frame's pose by features that it has in common with the newest keyframes."""
        self.mapping.take_multi_start()
        for number, keyframe in self.mapping.newest_keyframes(TUNING.recovery_keyframes):
            recovered = estimate_relative_pose(keyframe.image, registered.image, self.mapping.observed_by(number))
            if recovered is None or self.mapping.contradicts(registered, recovered):
                continue
            chosen = slice(TUNING.tracked_landmarks)
            normalized_xy, log_depths = recovered.normalized_xy_before[chosen], recovered.log_depths_before[chosen]
            before = self.mapping.track_again(number, normalized_xy, log_depths)
            tracks = self.tracker.tracks.at_keyframe(recovered.pixels_after[chosen])
            tracks = replace(tracks, count_at_keyframe=2 * TUNING.tracked_landmarks)  # makes the frame a keyframe
            self.tracker.adopt(self.mapping.local_map(), tracks, registered.grey)
            T_camera_world = recovered.T_after_before @ keyframe.T_camera_world
            self.tracker.start_at(T_camera_world)
            if tracked := self._track_with_prior(registered, [T_camera_world]):
                self.tracker.forget_motion()  # over more than one frame
                return tracked
            self.mapping.restore(before)
            self.tracker.drop_all()
        return None

    def _log_scale(self, registered: OdometryInput, z: Array) -> float:
        """Logarithm of the pointmap's scale, scene units for one unit of its depths: by the landmarks' depths (F,),
        ``z``."""
        depths = registered.image.sampled(registered.depths, self.tracker.tracks.pixels).astype(np.float64)
        both = np.isfinite(depths) & (z > 0)
        if both.sum() < TUNING.min_inliers:
            return registered.prior.log_scale if registered.prior is not None else self.mapping.newest.log_scale
        seen = float(np.median(np.log(z[both]) - np.log(depths[both])))
        if registered.prior is None:
            return seen
        share = prior_share(registered.prior)
        return share * registered.prior.log_scale + (1 - share) * seen
