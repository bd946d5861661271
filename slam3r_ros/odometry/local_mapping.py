"""Local mapping: the sliding window of keyframes and landmarks, kept consistent by bundle adjustment.

This is the mapping thread's half of visual odometry (Klein and Murray, PTAM, 2007; Mur-Artal, ORB-SLAM, 2015). After
every change it publishes a `LocalMap` for tracking.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.background_task import BackgroundTask
from slam3r_ros.geometry.se3 import Array, invert_rigid
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.bundle_adjustment import adjust, adjust_from_scratch, window_reprojection_errors
from slam3r_ros.odometry.bundle_problem import Estimate, Problem
from slam3r_ros.odometry.flow_depth import PosedImage
from slam3r_ros.odometry.focal_estimation import FocalSelfCalibration
from slam3r_ros.odometry.keyframe_changes import KeyframeChanges, WindowCorrection
from slam3r_ros.odometry.local_map import ActiveTracks, LocalMap
from slam3r_ros.odometry.sliding_window import SlidingWindow, WindowKeyframe
from slam3r_ros.odometry.tracked_frame import OdometryInput
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.klt import Pixels, detect_corners
from slam3r_ros.vision.pixel_unit import pixel_unit
from slam3r_ros.vision.pose_prior import PosePrior
from slam3r_ros.vision.relative_pose import RelativePose
from slam3r_ros.vision.tuning import TUNING as VISION_TUNING


class LocalMapping:
    """Adds keyframes to the sliding window and adjusts it.

    As long as the window is not full it is also adjusted from scratch (multi-start), in the background; the better of
    both is taken before the next keyframe, so what is found does not depend on how fast the machine is.
    """

    def __init__(self) -> None:
        self._focal_search = FocalSelfCalibration()
        self._multi_start: BackgroundTask[Estimate] = BackgroundTask("multi_start_adjustment")
        self._window = SlidingWindow()
        self.reset()

    def reset(self) -> None:
        """Forget all keyframes and landmarks."""
        self._window = self._window.anew()
        self._multi_start.drop()
        self._changes = KeyframeChanges()
        self._own_log_scale: float | None = None  # of the last keyframe with depths of its own

    # ---- what it knows -------------------------------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        """Whether there is no keyframe."""
        return not len(self._window)

    @property
    def newest(self) -> WindowKeyframe:
        """The newest keyframe."""
        return self._window.newest

    def local_map(self) -> LocalMap:
        """The landmarks of the newest keyframe, for tracking."""
        window = self._window
        tracked = window.tracked
        positions, observations = window.tracked_points_world(), window.observation_counts[tracked]
        return LocalMap(window.ids[tracked], positions, observations, window.newest.log_scale)

    def still_has(self, ids: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(F,) which landmarks, by their identifiers (F,), are still in the window."""
        return np.asarray(self._window.numbers_of(ids) >= 0)

    def partners(self) -> tuple[PosedImage, ...]:
        """Keyframes, at most two, that see much of what the newest sees, from elsewhere."""
        seeing = [self._window[keyframe] for keyframe in self._window.covisible_keyframes()]
        return tuple(PosedImage(each.image, each.T_camera_world) for each in seeing)

    # ---- keyframes -----------------------------------------------------------------------------------------------

    def insert(
        self,
        view: OdometryInput,
        T_camera_world: Array,
        log_scale: float,
        landmarks: NDArray[np.intp],
        pixels: Pixels,
    ) -> ActiveTracks:
        """Make a frame a keyframe that sees landmarks, by their identifiers (F,), at these pixels (F, 2), with new
        corners where it sees none, and adjust the window. Landmarks that have left the window are passed over. Returns
        the tracks from it on, one for each landmark of `local_map`.
        """
        numbers = self._window.numbers_of(landmarks)
        pixels = pixels[numbers >= 0]
        tracked = T_camera_world, log_scale
        self._window.tracked = numbers[numbers >= 0]
        T_camera_world = T_camera_world @ self.take_multi_start()
        image, room = view.image, max(0, TUNING.tracked_landmarks - len(pixels))
        fresh = detect_corners(view.grey, pixels)
        depths = np.log(image.sampled(view.depths, fresh).astype(np.float64))
        guesses = self._guessed_log_depths(T_camera_world, pixels, fresh, depths + log_scale)
        usable = np.flatnonzero(np.isfinite(guesses))[:room]
        fresh, depths, guesses = fresh[usable], depths[usable], guesses[usable]
        own = np.log(image.sampled(view.depths, pixels).astype(np.float64))
        observation = WindowKeyframe(
            image.normalized_xy(pixels), own, T_camera_world, log_scale, view.prior, image, view.index
        )
        self._window.add(observation, image.normalized_xy(fresh), depths, guesses)
        pixels = np.concatenate([pixels, fresh])
        if len(self._window) > 1:
            pixels = pixels[self._adjust()]
            if not view.is_calibrated:
                self._calibrate()
            if not self._window.is_full:
                self._multi_start.start(adjust_from_scratch, *self._problem(), TUNING.multi_start_iterations)
        self._changes.insert(self._keyframes(), *tracked)
        if view.has_own_depths:
            self._own_log_scale = self._window.newest.log_scale
        return ActiveTracks.at_keyframe(pixels)

    def _guessed_log_depths(self, T_camera_world: Array, tracked: Pixels, pixels: Pixels, log_depths: Array) -> Array:
        """(N,) logarithms of depths at pixels (N, 2), scene units: the pointmap's (N,), and where that has none those
        of the nearest landmark, which is seen at its tracked pixel (F, 2)."""
        if self.is_empty or np.isfinite(log_depths).all():
            return log_depths
        depths = np.asarray(self._window.tracked_points_world() @ T_camera_world[2, :3] + T_camera_world[2, 3])
        front = depths > 0
        if not front.any():
            return log_depths
        squares = np.square(pixels[:, None] - tracked[front][None]).sum(axis=2)
        return np.where(np.isfinite(log_depths), log_depths, np.log(depths[front])[squares.argmin(axis=1)])

    # ---- adjustment ----------------------------------------------------------------------------------------------

    def _adjust(self) -> NDArray[np.bool_]:
        """Adjust the window and drop wrong observations; which of the tracked landmarks are still tracked."""
        problem, start = self._problem()
        is_full = self._window.is_full
        iterations = TUNING.window_iterations if is_full else TUNING.growing_window_iterations
        estimate = adjust(problem, start, iterations)
        self._take(problem, start, estimate)
        wrong = (
            window_reprojection_errors(problem, estimate) > TUNING.outlier_px / TUNING.pixel_sigma * problem.xy_sigma
        )
        return self._window.remove_observations(wrong)

    def take_multi_start(self) -> Array:
        """Take what the adjustment from scratch has led to, if that is better; (4, 4) from the world as it was to the
        one that there is now, as the newest keyframe sees it."""
        if not self._multi_start.is_pending:
            return np.eye(4)
        before = self._window.newest.T_camera_world
        self._take(*self._problem(), self._multi_start.result())
        return invert_rigid(before) @ self._window.newest.T_camera_world

    def _calibrate(self) -> None:
        """Look for a better focal length, and see the whole window with it."""
        matrix = self._window.newest.image.matrix
        focal = self._focal_search.observe(*self._problem(), float(matrix[0, 0]))
        if focal is None:
            return
        self._window.change_intrinsics(matrix * [[focal / matrix[0, 0], 1, 1], [1, focal / matrix[1, 1], 1], [1, 1, 1]])
        problem, start = self._problem()
        problem = replace(problem, fixed_keyframes=1)
        self._take(problem, start, adjust(problem, start, TUNING.growing_window_iterations))

    def _take(self, problem: Problem, start: Estimate, estimate: Estimate) -> None:
        """Take what a window has been adjusted to.

        Its landmarks stay as far away as they were, in the median, or nearly so: frames have been published with this
        scale. Fixed keyframes hold it too, but the oldest two are close to each other, and one alone does not. The
        priors by L2W change it in proportion to their weight.
        """
        triangulated = self._window.observation_counts > 1
        changes = (estimate.log_depths - start.log_depths)[triangulated]
        log_scale_change = np.median(changes) if triangulated.any() else 0.0
        prior_weight = np.mean([0.0 if prior is None else prior_share(prior) for prior in problem.priors])
        share = 1.0 if problem.fixed_keyframes == 1 else TUNING.landmark_scale_share
        self._window.update(estimate.scaled(float((prior_weight - 1) * share * log_scale_change)))

    def _problem(self) -> tuple[Problem, Estimate]:
        image = self._window.newest.image
        return self._window.problem(TUNING.pixel_sigma * pixel_unit(image.grey.shape) / float(image.matrix[0, 0]))

    def take_changes(self) -> WindowCorrection | None:
        """How the map is to follow the keyframes of the window, where they have moved by much since it took them."""
        if self.is_empty or not self._changes.is_pending:
            return None
        log_depths = self._window.observed_by(len(self._window) - 1)[1]
        depth = float(np.exp(np.median(log_depths))) if len(log_depths) else np.inf
        return self._changes.take(self._keyframes(), depth)

    def _keyframes(self) -> Iterator[WindowKeyframe]:
        """All keyframes of the window, the oldest first."""
        return (self._window[number] for number in range(len(self._window)))

    # ---- changes from outside ------------------------------------------------------------------------------------

    def transform(self, moved: Sim3) -> None:
        """Take over that the world has been moved."""
        self.take_multi_start()
        self._window.transform(moved)
        self._changes.reset_to(self._keyframes())
        if self._own_log_scale is not None:
            self._own_log_scale += float(np.log(moved.scale))

    def know_camera(self, matrix: Array) -> None:
        """The intrinsics (3, 3), guessed so far, are known from now on: the window is as they would have shown it."""
        self._multi_start.drop()  # of the window as it was
        if not self.is_empty:
            self._window.change_intrinsics(matrix)

    # ---- recovery ------------------------------------------------------------------------------------------------

    def newest_keyframes(self, count: int) -> Iterator[tuple[int, WindowKeyframe]]:
        """The newest keyframes, at most so many, with their numbers, the newest first."""
        for keyframe in range(len(self._window) - 1, max(-1, len(self._window) - 1 - count), -1):
            yield keyframe, self._window[keyframe]

    def observed_by(self, keyframe: int) -> tuple[Array, Array]:
        """Where a keyframe sees its landmarks, (N, 2) normalized image coordinates, and (N,) logarithms of their depths
        there, scene units."""
        return self._window.observed_by(keyframe)

    def contradicts(self, view: OdometryInput, recovered: RelativePose) -> bool:
        """Whether own depths speak against a recovered pose: their unit was worth something else at the last
        keyframe."""
        z = recovered.depths_after
        own = view.image.sampled(view.depths, recovered.pixels_after)
        both = np.isfinite(own) & (z > 0)
        if self._own_log_scale is None or not view.has_own_depths or both.sum() < TUNING.min_inliers:
            return False
        scale = float(np.median(np.log(z[both] / own[both])))
        return abs(scale - self._own_log_scale) > TUNING.max_recovery_scale_error

    def track_again(self, keyframe: int, normalized_xy: Array, log_depths: Array) -> SlidingWindow:
        """Track new landmarks (N, 2), (N,), which a keyframe sees, and no others; returns the window for `restore`."""
        before = copy(self._window)  # to track others is to forget landmarks that one keyframe has seen
        self._window.restart_tracks(keyframe, normalized_xy, log_depths)
        return before

    def restore(self, before: SlidingWindow) -> None:
        """Undo `track_again`; nothing is tracked any more."""
        self._window = before
        self._window.tracked = self._window.tracked[:0]


def prior_share(prior: PosePrior) -> float:
    """Share of L2W in lengths that the tracks tell too, from near 0 to 1 where its answers are exact."""
    return 1 / (1 + (VISION_TUNING.prior_scale_sigma * prior.sigma_factor / TUNING.track_scale_sigma) ** 2)
