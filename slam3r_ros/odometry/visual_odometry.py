"""Visual odometry: camera poses that agree with what the images show to move, anchored in the networks' pointmaps.

Tracking (`FrameTracker`) and local mapping (`LocalMapping`) share no state: tracking works on the last `LocalMap` that
local mapping has published, and hands its tracks over when a frame becomes a keyframe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from slam3r_ros.geometry.se3 import Array, invert_rigid, orthonormal
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.flow_depth import PosedImage
from slam3r_ros.odometry.frame_tracker import FrameTracker, PoseFit, image_fractions
from slam3r_ros.odometry.local_mapping import LocalMapping, prior_share, sampled_depths
from slam3r_ros.odometry.tracked_frame import OdometryInput, TrackedFrame
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.relative_pose import estimate_relative_pose

Relocate = Callable[[FeatureImage], "tuple[Array, float | None] | None"]
"""Where an image was taken, T_world_camera (4, 4), and the logarithm of the world's length of its depths' unit, if that
is known; None where that cannot be said."""


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
        """Tell tracking where the landmarks are now."""
        if not self.mapping.is_empty:
            self.tracker.refresh(self.mapping.local_map())

    # ---- tracking ------------------------------------------------------------------------------------------------

    def track(self, image: FeatureImage) -> TrackedFrame | None:
        """The next frame's pose by its tracks alone, where they hold; else None.

        Without a pose, and with that of a frame that is to become a keyframe, `locate` goes on from here with what the
        networks say of the same frame; until then this may be asked again.
        """
        tracker = self.tracker
        if tracker.is_lost or tracker.has_other_size(image.grey):
            return None
        tracker.track(image.grey)
        fit = tracker.fit(image, tracker.predictions, None)
        if fit is None:
            return None
        log_scale = tracker.local_map.log_scale
        if tracker.needs_keyframe(image, fit):
            return replace(self._tracked_frame(image, fit, log_scale), is_keyframe=True)
        tracker.drop_outliers(fit)
        return self._moved_on(image, fit, log_scale)

    # ---- keyframes -----------------------------------------------------------------------------------------------

    def locate(self, view: OdometryInput, relocate: Relocate | None = None) -> TrackedFrame | None:
        """The pose of a frame that the networks have registered; None where the tracks say nothing of it, as at their
        beginning: L2W's pose holds.

        Where the tracks were lost, the last keyframes are looked for in this frame and the ones after it, then
        ``relocate`` is asked, until L2W says where a frame is.
        """
        tracker = self.tracker
        if tracker.has_other_size(view.grey):
            self.reset()
        located = None
        if not self.mapping.is_empty:
            if not tracker.is_lost:
                tracker.track(view.grey)
                located = self._refined(view, tracker.predictions)
            located = located or self._recovered(view)
            if located is None and relocate is not None and (found := relocate(view.image)):
                located = self._begun_at(view, *found)
        if located is None:
            tracker.lose()
            if view.prior is not None and view.prior.T_camera_world is not None:
                self._begin(view, orthonormal(view.prior.T_camera_world), view.prior.log_scale)
        tracker.see(view.grey)
        return located

    def _begin(self, view: OdometryInput, T_camera_world: Array, log_scale: float) -> None:
        """Begin again with one keyframe."""
        self.reset()
        self.tracker.start_at(T_camera_world)
        self._insert_keyframe(view, T_camera_world, log_scale)

    def _begun_at(self, view: OdometryInput, T_world_camera: Array, log_scale: float | None) -> TrackedFrame:
        """The frame where it was found by other means; the tracks begin again there."""
        if log_scale is None:
            log_scale = view.prior.log_scale if view.prior is not None else self.mapping.newest.log_scale
        T_camera_world = invert_rigid(T_world_camera)
        self._begin(view, T_camera_world, log_scale)
        fit = PoseFit(T_camera_world, np.ones(len(self.tracker.tracks), np.bool_), 1.0, 1.0)
        return replace(self._moved_on(self.mapping.newest.image, fit, log_scale), is_keyframe=True)

    def _insert_keyframe(self, view: OdometryInput, T_camera_world: Array, log_scale: float) -> None:
        """Hand the tracks over to local mapping, and track on with what it makes of them."""
        tracker = self.tracker
        numbers, pixels = tracker.landmark_numbers, tracker.tracks.pixels
        tracks = self.mapping.insert(view, T_camera_world, log_scale, numbers, pixels)
        tracker.adopt(self.mapping.local_map(), tracks)

    def _refined(self, view: OdometryInput, starts: Sequence[Array]) -> TrackedFrame | None:
        """The frame's pose by its tracks and the prior, from the best of several starts, and what it adds."""
        tracker, image, prior = self.tracker, view.image, view.prior
        if prior is not None and prior.T_camera_world is not None:
            starts = [*starts, prior.T_camera_world]
        fit = tracker.fit(image, starts, prior)
        if fit is None:
            return None
        becomes_keyframe = tracker.needs_keyframe(image, fit)
        tracker.drop_outliers(fit)
        log_scale = self._log_scale(view, tracker.depths(fit.T_camera_world))
        partners: tuple[PosedImage, ...] = ()
        if becomes_keyframe:
            self._insert_keyframe(view, fit.T_camera_world, log_scale)
            newest, partners = self.mapping.newest, self.mapping.partners()
            image, log_scale = newest.image, newest.log_scale
            fit = replace(fit, T_camera_world=newest.T_camera_world)
        located = replace(self._moved_on(image, fit, log_scale), is_keyframe=becomes_keyframe, partners=partners)
        if prior is None:
            return located
        growth = float(np.exp(log_scale - (prior.log_scale if view.log_scale is None else view.log_scale)))
        return replace(located, growth=growth, trust=prior_share(prior))

    def _recovered(self, view: OdometryInput) -> TrackedFrame | None:
        """The frame's pose by features that it has in common with the newest keyframes."""
        self.mapping.take_multi_start()
        for number, keyframe in self.mapping.newest_keyframes(TUNING.recovery_keyframes):
            recovered = estimate_relative_pose(keyframe.image, view.image, self.mapping.observed_by(number))
            if recovered is None or self.mapping.contradicts(view, recovered):
                continue
            chosen = slice(TUNING.tracked_landmarks)
            slopes, log_depths = recovered.normalized_xy_before[chosen], recovered.log_depths_before[chosen]
            before = self.mapping.track_again(number, slopes, log_depths)
            tracks = self.tracker.tracks.at_keyframe(recovered.pixels_after[chosen])
            tracks = replace(tracks, count_at_keyframe=2 * TUNING.tracked_landmarks)  # makes the frame a keyframe
            self.tracker.adopt(self.mapping.local_map(), tracks)
            T_camera_world = recovered.T_after_before @ keyframe.T_camera_world
            self.tracker.start_at(T_camera_world)
            if located := self._refined(view, [T_camera_world]):
                self.tracker.forget_motion()  # over more than one frame
                return located
            self.mapping.restore(before)
            self.tracker.drop_all()
        return None

    def _log_scale(self, view: OdometryInput, z: Array) -> float:
        """Logarithm of the world's length of the pointmap's unit: how the landmarks' depths (F,) compare with it."""
        depths = sampled_depths(view.depths, self.tracker.tracks.pixels, view.grey.shape)
        both = np.isfinite(depths) & (z > 0)
        if both.sum() < TUNING.min_inliers:
            return view.prior.log_scale if view.prior is not None else self.mapping.newest.log_scale
        seen = float(np.median(np.log(z[both]) - np.log(depths[both])))
        if view.prior is None:
            return seen
        share = prior_share(view.prior)
        return share * view.prior.log_scale + (1 - share) * seen

    # ---- answers -------------------------------------------------------------------------------------------------

    def _moved_on(self, image: FeatureImage, fit: PoseFit, log_scale: float) -> TrackedFrame:
        """The frame's pose, from which the next one goes on."""
        self.tracker.move_to(fit.T_camera_world)
        return self._tracked_frame(image, fit, log_scale)

    def _tracked_frame(self, image: FeatureImage, fit: PoseFit, log_scale: float) -> TrackedFrame:
        T, tracker = fit.T_camera_world, self.tracker
        has_depth = tracker.landmarks_with_depth()
        return TrackedFrame(
            T_world_camera=invert_rigid(T),
            scale=float(np.exp(log_scale)),
            growth=1.0,
            points=len(tracker.tracks),
            share=fit.inlier_share,
            error_px=fit.error_px,
            focal_px=float(image.matrix[0, 0]),
            width=image.grey.shape[1],
            places=image_fractions(tracker.tracks.pixels[has_depth], image.grey.shape),
            depths=tracker.depths(T)[has_depth],
            trust=0.0,
            frame=PosedImage(image, T),
        )
