"""Tracking on a thread of its own: it goes on from frame to frame while mapping works on a keyframe, and catches up
with what has come of it.

Tracking hands over its state at a keyframe (`TrackingState`), goes on with the landmarks that it has, and gets a state
back: the same tracks after mapping, with refined landmarks and new ones, as they were seen in the keyframe. By then the
camera has moved on. The landmarks are looked for in the newest image, directly from the keyframe's, near where the pose
so far projects them (Klein and Murray, PTAM, 2007); a pose that explains them takes the place of the one so far.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np

from slam3r_ros.geometry.se3 import Array, invert_rigid
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.frame_tracker import FrameTracker
from slam3r_ros.odometry.odometry_stage import OdometryPose, OdometryStage, TrackingState, grey_of, odometry_pose
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.settings import PoseSettings
from slam3r_ros.types import StreamFrame
from slam3r_ros.vision.klt import Grey


class LiveTracker:
    """Tracks every frame, whatever mapping does meanwhile. Used by one thread."""

    def __init__(self, settings: PoseSettings) -> None:
        self._cameras = OdometryStage(settings)  # for the intrinsics of frames alone
        self._tracker = FrameTracker()  # as it was in the last frame in which the tracks held
        self._at_newest = FrameTracker()  # the tracks in the newest frame, before those that do not fit are dropped
        self._holds = False  # whether the tracks hold in the newest frame
        self._can_track_alone = False
        self._handed_T: Array | None = None  # T_camera_world of the frame handed over last, by the tracks then
        self._since: list[tuple[int, Grey]] = []  # images since then, by the indices of their frames

    @property
    def can_track_alone(self) -> bool:
        """Whether mapping found the networks' poses no better than those by the tracks."""
        return self._can_track_alone

    def track(self, frame: StreamFrame) -> OdometryPose | None:
        """The next frame's pose by its tracks alone; None where they do not hold.

        Tracks that do not hold in one image are looked for in the next one from where they held last: the image may
        have been blurred, or hidden for a moment.
        """
        self._remember(frame)
        self._holds = False
        image = self._cameras.image_of(frame)
        if image is None:
            return None
        tracker = copy(self._tracker)
        fit = tracker.follow(image)
        self._at_newest = copy(tracker)
        if fit is None:
            return None
        self._tracker, self._holds = tracker, True
        is_keyframe = tracker.needs_keyframe(image, fit)
        tracker.drop_outliers(fit)
        tracked = tracker.accept(image, fit, tracker.local_map.log_scale)
        return odometry_pose(replace(tracked, is_keyframe=is_keyframe), frame)

    def hand_over(self) -> TrackingState:
        """The state in the frame tracked last, for mapping to make a keyframe of it. The next keyframe is counted from
        there."""
        state = TrackingState(copy(self._at_newest), self._cameras.focal, self._can_track_alone)
        self._handed_T = self._tracker.predictions[0] if self._holds else None
        self._since.clear()
        self.begin_interval()
        return state

    def begin_interval(self) -> None:
        """Count the motion to the next keyframe from the newest frame."""
        self._tracker.begin_interval()

    def take(self, state: TrackingState, index: int, newest: StreamFrame) -> OdometryPose | None:
        """Go on with the tracks of frame ``index`` as they are after mapping; the pose of the newest frame by them.

        None where they cannot be found in it: then tracking goes on with the tracks that it has, and with the focal
        length that their landmarks were mapped with.
        """
        self._can_track_alone = state.can_track_alone
        focal, self._cameras.focal = self._cameras.focal, state.focal
        pose = self._adopted(state, index, newest)
        if pose is None and not self._tracker.is_lost:
            self._cameras.focal = focal
        return pose

    def _adopted(self, state: TrackingState, index: int, newest: StreamFrame) -> OdometryPose | None:
        """What `take` says, with the state's focal length."""
        image = self._cameras.image_of(newest)
        candidate, before = copy(state.tracker), self._tracker
        if image is None or candidate.is_lost or candidate.has_other_size(image.grey):
            return None
        if self._holds and self._handed_T is not None:
            predicted = before.predictions[0] @ invert_rigid(self._handed_T) @ candidate.predictions[0]
            candidate.catch_up(image, predicted, before)
            starts = [np.asarray(predicted)]
        else:
            self._catch_up_step_by_step(candidate, index, image.grey)
            starts = candidate.predictions
        fit = candidate.fit(image, starts, None)
        if fit is None:
            return None
        is_keyframe = candidate.needs_keyframe(image, fit)
        self._at_newest = copy(candidate)
        candidate.drop_outliers(fit)
        tracked = candidate.accept(image, fit, candidate.local_map.log_scale)
        candidate.expect_motion_of(before if self._holds else None)
        if self._holds:  # the tracks so far have measured the motion; the rest is a correction
            candidate.reckoning = before.reckoning
            tracked = replace(tracked, reckoning=before.reckoning)
        self._tracker, self._holds = candidate, True
        return odometry_pose(replace(tracked, is_keyframe=is_keyframe), newest)

    def transform(self, moved: Sim3) -> None:
        """Take over that a closed loop has moved the world."""
        for tracker in (self._tracker, self._at_newest):
            tracker.transform(moved)
        if self._handed_T is not None:
            self._handed_T = moved.apply_to_extrinsics(self._handed_T)

    def _remember(self, frame: StreamFrame) -> None:
        """Keep the images since the frame handed over last, ever sparser, to go through them if need be."""
        if (grey := grey_of(frame)) is None:
            return
        if len(self._since) == 2 * TUNING.catch_up_images:
            self._since = self._since[1::2]
        self._since.append((frame.index, grey))

    def _catch_up_step_by_step(self, candidate: FrameTracker, index: int, newest: Grey) -> None:
        """Track through the images between the keyframe and the newest one, some of them if they are many."""
        between = [grey for number, grey in self._since if number > index and grey is not newest]
        step = -(-len(between) // TUNING.catch_up_images) or 1
        for grey in [*between[step - 1 :: step], newest]:
            if not candidate.has_other_size(grey):
                candidate.track(grey)
