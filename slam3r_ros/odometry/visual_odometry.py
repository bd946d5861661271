"""Poses that agree with what the images show to move: tracks beside the networks' pointmaps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid, orthonormal, rigid
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.bundle_adjustment import Estimate, Problem, adjust, adjust_afresh, observed_errors
from slam3r_ros.odometry.flow_depth import PosedImage
from slam3r_ros.odometry.focal_estimation import FocalSearch
from slam3r_ros.odometry.sliding_window import KeyframeObservation, SlidingWindow
from slam3r_ros.odometry.tracked_frame import OdometryInput, TrackedFrame
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.image_sampling import sample_nearest
from slam3r_ros.vision.klt import Grey, Pixels, detect_corners, track_corners
from slam3r_ros.vision.motion_only import motion_only_bundle_adjustment, reprojection_errors
from slam3r_ros.vision.pose_prior import PosePrior
from slam3r_ros.vision.relative_pose import RelativePose, estimate_relative_pose
from slam3r_ros.vision.tuning import TUNING as VISION_TUNING

FOLLOWED_POINTS = 200
"""So many corners are followed."""
FEWEST_POINTS = 15
"""With fewer that agree, the frame has the pose that L2W gives it and the tracks begin again there."""
LEAST_SHARE = 0.4
"""The same, as a share of those found."""
KEYFRAME_MOTION = 0.04
"""Median motion in the image since the last keyframe, over the image's width, that makes the next."""
KEYFRAME_SHARE = 0.7
"""Share of the last keyframe's points still followed below which the next is made."""
PIXEL_DEVIATION = 0.25
"""Of one coordinate of a corner that was followed, pixels."""
OUTLIER_PX = 3.0
"""Distance from where a point should be seen beyond which it is not followed any more."""
SEEN_SCALE_DEVIATION = 0.02
"""Of the logarithm of a frame's scale by the depths of its tracks."""
HELD_BY_POINTS = 0.75
"""Share of the points in what holds the scale of a full window; its fixed keyframes have the rest."""
ADJUST_STEPS = 8
FIRST_ADJUST_STEPS = 20
"""Until the window is full, which is when its oldest keyframes become fixed. Most windows need two."""
AFRESH_STEPS = 30
"""From a start that knows nothing, which is tried as long as the window is not full."""
LARGEST_CONTRADICTION = 1.2
"""Between the scale of a recovery and that of the last keyframe, logarithm."""
KEYFRAMES_TRIED = 3
"""So many keyframes, the newest, are compared with an image in which the corners were lost."""


Relocate = Callable[[FeatureImage], "tuple[Array, float | None] | None"]
"""Where an image was taken, T_world_camera (4, 4), and the logarithm of the world's length of its depths' unit, if that
is known; None where that cannot be said."""


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """A pose by the points that are followed."""

    T: Array
    """(4, 4) T_camera_world"""
    good: NDArray[np.bool_]
    """(N,) which of them agree with it."""
    share: float
    error_px: float
    """Median of those that do."""


class VisualOdometry:
    """Follows corners from one frame to the next and estimates the motion that explains them, anchored in L2W's."""

    def __init__(self) -> None:
        self._search = FocalSearch()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="tracks")
        self.reset()

    def reset(self) -> None:
        """Forget all tracks."""
        self._window = SlidingWindow()
        self._afresh: Future[Estimate] | None = None  # the window's, from a start that knows nothing
        self._grey: Grey | None = None
        self._pixels: Pixels = np.empty((0, 2), np.float32)
        self._at_keyframe: Pixels = self._pixels
        self._points_at_keyframe = 0
        self._last: Array | None = None
        self._motion = np.eye(4)
        self._own_log_scale: float | None = None  # of the last keyframe with depths of its own

    def transform(self, moved: Sim3) -> None:
        """Take over that the world has been moved."""
        self._take_afresh()
        self._window.transform(moved)
        if self._last is not None:
            self._last = moved.apply_to_extrinsics(self._last)
        self._motion = rigid(self._motion[:3, :3], moved.scale * self._motion[:3, 3])
        if self._own_log_scale is not None:
            self._own_log_scale += float(np.log(moved.scale))

    def know_camera(self, matrix: Array) -> None:
        """The intrinsics (3, 3), guessed so far, are known from now on: the window is as they would have shown it."""
        self._afresh = None  # of the window as it was
        if len(self._window):
            self._window.change_camera(matrix)

    def locate(self, view: OdometryInput, relocate: Relocate | None = None) -> TrackedFrame | None:
        """The next frame's pose; None where the tracks say nothing of it, as at their beginning: L2W's pose holds.

        Where the corners were lost, the last keyframes are looked for in this frame and the ones after it, then
        ``relocate`` is asked, until L2W says where a frame is.
        """
        if self._grey is not None and self._grey.shape != view.grey.shape:
            self.reset()
        located = None
        if len(self._window):
            if self._last is not None:
                self._follow(view.grey)
                located = self._resected(view, [self._last, self._motion @ self._last])
            located = located or self._recover(view)
            if located is None and relocate is not None and (found := relocate(view.image)):
                located = self._begun_at(view, *found)
        if located is None:
            self._last = None
            if view.prior is not None and view.prior.T_camera_world is not None:
                self.reset()
                self._last = orthonormal(view.prior.T_camera_world)
                self._add_keyframe(view, self._last, view.prior.log_scale)
        self._grey = view.grey
        return located

    def _begun_at(self, view: OdometryInput, T_world_camera: Array, log_scale: float | None) -> TrackedFrame:
        """The frame where it was found by other means; the tracks begin again there."""
        if log_scale is None:
            log_scale = view.prior.log_scale if view.prior is not None else self._window.newest.log_scale
        self.reset()
        self._last = invert_rigid(T_world_camera)
        self._add_keyframe(view, self._last, log_scale)
        everything = np.ones(len(self._pixels), np.bool_)
        image = self._window.newest.image
        return replace(self._moved_on(image, _Fit(self._last, everything, 1.0, 1.0), log_scale), is_keyframe=True)

    def advance(self, image: FeatureImage) -> TrackedFrame | None:
        """The next frame's pose by its corners alone, where they hold; else None.

        Without a pose, and with that of a frame that is to become a keyframe, `locate` goes on from here with what the
        networks say of the same frame; until then this may be asked again.
        """
        if self._last is None or self._grey is None or self._grey.shape != image.grey.shape:
            return None
        self._follow(image.grey)
        fit = self._fit(image, [self._last, self._motion @ self._last], None)
        if fit is None:
            return None
        log_scale = self._window.newest.log_scale
        if self._is_keyframe(image, fit.good):
            return replace(self._located(image, fit, log_scale), is_keyframe=True)
        self._keep(self._pixels, fit.good)
        return self._moved_on(image, fit, log_scale)

    def _follow(self, grey: Grey) -> None:
        """Follow the corners into the next image, unless that has been done."""
        if self._grey is None or self._grey is grey:
            return
        pixels, found = track_corners(self._grey, grey, self._pixels)
        self._keep(pixels, found)
        self._grey = grey

    def _recover(self, view: OdometryInput) -> TrackedFrame | None:
        """By features that the newest keyframes have in common with the frame."""
        here = view.image
        self._take_afresh()
        for keyframe in range(len(self._window) - 1, max(-1, len(self._window) - 1 - KEYFRAMES_TRIED), -1):
            sighting = self._window[keyframe]
            recovered = estimate_relative_pose(sighting.image, here, self._window.seen_by(keyframe))
            if recovered is None or self._contradicts(view, recovered):
                continue
            chosen = slice(FOLLOWED_POINTS)
            slopes, log_depths = recovered.normalized_xy_before[chosen], recovered.log_depths_before[chosen]
            before = copy(self._window)  # to follow others is to forget points that one keyframe has seen
            self._window.follow_again(keyframe, slopes, log_depths)
            self._pixels = recovered.pixels_after[chosen]
            self._at_keyframe, self._points_at_keyframe = self._pixels, 2 * FOLLOWED_POINTS  # makes it a keyframe
            self._last = recovered.T_after_before @ sighting.T_camera_world
            if located := self._resected(view, [self._last]):
                self._motion = np.eye(4)  # over more than one frame
                return located
            self._window = before
            self._window.keep_followed(np.zeros(len(before.followed), np.bool_))
            self._pixels = self._at_keyframe = self._pixels[:0]
        return None

    def _contradicts(self, view: OdometryInput, recovered: RelativePose) -> bool:
        """Whether own depths speak against a recovery: their unit was worth something else at the last keyframe."""
        z = recovered.depths_after
        own = _sampled(view.depths, recovered.pixels_after, view.grey.shape)
        both = np.isfinite(own) & (z > 0)
        if self._own_log_scale is None or not view.has_own_depths or both.sum() < FEWEST_POINTS:
            return False
        scale = float(np.median(np.log(z[both] / own[both])))
        return abs(scale - self._own_log_scale) > LARGEST_CONTRADICTION

    def _resected(self, view: OdometryInput, starts: list[Array]) -> TrackedFrame | None:
        """The frame's pose by the points that are followed, from the best of several guesses, and what it adds."""
        image, prior = view.image, view.prior
        if prior is not None and prior.T_camera_world is not None:
            starts = [*starts, prior.T_camera_world]
        fit = self._fit(image, starts, prior)
        if fit is None:
            return None
        becomes_keyframe = self._is_keyframe(image, fit.good)
        self._keep(self._pixels, fit.good)
        log_scale = self._log_scale(view, self._depths(fit.T))
        partners: tuple[PosedImage, ...] = ()
        if becomes_keyframe:
            self._add_keyframe(view, fit.T, log_scale)
            newest = self._window.newest
            image, fit, log_scale = newest.image, replace(fit, T=newest.T_camera_world), newest.log_scale
            seeing = [self._window[keyframe] for keyframe in self._window.partners()]
            partners = tuple(PosedImage(each.image, each.T_camera_world) for each in seeing)
        located = replace(self._moved_on(image, fit, log_scale), is_keyframe=becomes_keyframe, partners=partners)
        if prior is None:
            return located
        growth = float(np.exp(log_scale - (prior.log_scale if view.log_scale is None else view.log_scale)))
        return replace(located, growth=growth, trust=_trust(prior))

    def _fit(self, image: FeatureImage, starts: list[Array], prior: PosePrior | None) -> _Fit | None:
        """The pose that explains the points followed; None where there is none."""
        if len(self._pixels) < FEWEST_POINTS:
            return None
        slopes, focal = image.normalized_xy(self._pixels), image.matrix[0, 0]
        points = self._window.points_world()
        prior = (
            prior if prior is not None and prior.sigma_factor < 1 else None
        )  # beside so many points it says nothing then
        T = motion_only_bundle_adjustment(points, slopes, starts, PIXEL_DEVIATION / focal, prior)
        errors_px = reprojection_errors(points, slopes, T) * focal
        good = errors_px <= OUTLIER_PX
        share = float(good.mean())
        if good.sum() < FEWEST_POINTS or share < LEAST_SHARE:
            return None
        return _Fit(T, good, share, float(np.median(errors_px[good])))

    def _moved_on(self, image: FeatureImage, fit: _Fit, log_scale: float) -> TrackedFrame:
        """The frame's pose, from which the next one goes on."""
        assert self._last is not None
        self._motion, self._last = fit.T @ invert_rigid(self._last), fit.T
        return self._located(image, fit, log_scale)

    def _located(self, image: FeatureImage, fit: _Fit, log_scale: float) -> TrackedFrame:
        T = fit.T
        telling = self._window.sightings[self._window.followed] > 1
        return TrackedFrame(
            T_world_camera=invert_rigid(T),
            scale=float(np.exp(log_scale)),
            growth=1.0,
            points=len(self._pixels),
            share=fit.share,
            error_px=fit.error_px,
            focal_px=float(image.matrix[0, 0]),
            width=image.grey.shape[1],
            places=_places(self._pixels[telling], image.grey.shape),
            depths=self._depths(T)[telling],
            trust=0.0,
            frame=PosedImage(image, T),
        )

    def _depths(self, T_camera_world: Array) -> Array:
        """(F,) of the points that are followed, along the optical axis, world lengths."""
        return np.asarray(self._window.points_world() @ T_camera_world[2, :3] + T_camera_world[2, 3])

    def _keep(self, pixels: Pixels, kept: NDArray[np.bool_]) -> None:
        self._pixels, self._at_keyframe = pixels[kept], self._at_keyframe[kept]
        self._window.keep_followed(kept)

    def _log_scale(self, view: OdometryInput, z: Array) -> float:
        """Of the world's length of the pointmap's unit: how the tracks' depths (N,) compare."""
        depths = _sampled(view.depths, self._pixels, view.grey.shape)
        both = np.isfinite(depths) & (z > 0)
        if both.sum() < FEWEST_POINTS:
            return view.prior.log_scale if view.prior is not None else self._window.newest.log_scale
        seen = float(np.median(np.log(z[both]) - np.log(depths[both])))
        if view.prior is None:
            return seen
        share = _trust(view.prior)
        return share * view.prior.log_scale + (1 - share) * seen

    def _is_keyframe(self, image: FeatureImage, good: NDArray[np.bool_]) -> bool:
        """Whether a frame in which these of the points followed are good should be one."""
        moved = float(np.median(np.linalg.norm(self._pixels[good] - self._at_keyframe[good], axis=1)))
        few = int(good.sum()) < KEYFRAME_SHARE * self._points_at_keyframe
        return few or moved > KEYFRAME_MOTION * image.grey.shape[1]

    def _add_keyframe(self, view: OdometryInput, T_camera_world: Array, log_scale: float) -> None:
        """Add the frame to the window with fresh corners where there are none, and adjust the window.

        As long as it is not full it is then adjusted from a start that knows nothing, too, beside the frames that
        follow; what is better is taken before the next keyframe.
        """
        T_camera_world = T_camera_world @ self._take_afresh()
        image, room = view.image, max(0, FOLLOWED_POINTS - len(self._pixels))
        fresh = detect_corners(view.grey, self._pixels)
        depths = np.log(_sampled(view.depths, fresh, view.grey.shape))
        guesses = self._guessed(T_camera_world, fresh, depths + log_scale)
        usable = np.flatnonzero(np.isfinite(guesses))[:room]
        fresh, depths, guesses = fresh[usable], depths[usable], guesses[usable]
        own = np.log(_sampled(view.depths, self._pixels, view.grey.shape))
        sighting = KeyframeObservation(
            image.normalized_xy(self._pixels), own, T_camera_world, log_scale, view.prior, image
        )
        self._window.add(sighting, image.normalized_xy(fresh), depths, guesses)
        self._pixels = np.concatenate([self._pixels, fresh])
        if len(self._window) > 1:
            self._adjust()
            if not view.is_calibrated:
                self._calibrate()
            if not self._window.is_full:
                self._afresh = self._executor.submit(adjust_afresh, *self._problem(), AFRESH_STEPS)
        self._at_keyframe, self._points_at_keyframe = self._pixels, len(self._pixels)
        if view.has_own_depths:
            self._own_log_scale = self._window.newest.log_scale

    def _guessed(self, T_camera_world: Array, pixels: Pixels, log_depths: Array) -> Array:
        """(N,) logarithms of depths at pixels, world lengths: the pointmap's, else those of the nearest track."""
        if not len(self._window) or np.isfinite(log_depths).all():
            return log_depths
        depths = self._depths(T_camera_world)
        front = depths > 0
        if not front.any():
            return log_depths
        squares = np.square(pixels[:, None] - self._pixels[front][None]).sum(axis=2)
        return np.where(np.isfinite(log_depths), log_depths, np.log(depths[front])[squares.argmin(axis=1)])

    def _adjust(self) -> None:
        problem, start = self._problem()
        estimate = adjust(problem, start, ADJUST_STEPS if self._window.is_full else FIRST_ADJUST_STEPS)
        self._take(problem, start, estimate)
        wrong = observed_errors(problem, estimate) > OUTLIER_PX / PIXEL_DEVIATION * problem.slope_deviation
        self._pixels = self._pixels[self._window.remove_sightings(wrong)]

    def _take_afresh(self) -> Array:
        """Take what the start that knows nothing has led to, if that is better; (4, 4) from the world as it was to the
        one that there is now, as the newest keyframe sees it."""
        afresh, self._afresh = self._afresh, None
        if afresh is None:
            return np.eye(4)
        before = self._window.newest.T_camera_world
        self._take(*self._problem(), afresh.result())
        return invert_rigid(before) @ self._window.newest.T_camera_world

    def _calibrate(self) -> None:
        """Look for a better focal length, and see the whole window with it."""
        matrix = self._window.newest.image.matrix
        focal = self._search.observe(*self._problem(), float(matrix[0, 0]))
        if focal is None:
            return
        self._window.change_camera(matrix * [[focal / matrix[0, 0], 1, 1], [1, focal / matrix[1, 1], 1], [1, 1, 1]])
        problem, start = self._problem()
        problem = replace(problem, fixed=1)
        self._take(problem, start, adjust(problem, start, FIRST_ADJUST_STEPS))

    def _take(self, problem: Problem, start: Estimate, estimate: Estimate) -> None:
        """Take what a window has been adjusted to.

        Its points stay as far away as they were, in the median, or nearly so: frames have been published with this
        scale. Fixed keyframes hold it too, but the oldest two are close to each other, and one alone does not. L2W
        changes it as far as it is to be trusted.
        """
        told = self._window.sightings > 1
        growth = np.median((estimate.log_depths - start.log_depths)[told]) if told.any() else 0.0
        trust = np.mean([0.0 if prior is None else _trust(prior) for prior in problem.priors])
        share = 1.0 if problem.fixed == 1 else HELD_BY_POINTS
        self._window.take(estimate.scaled(float((trust - 1) * share * growth)))

    def _problem(self) -> tuple[Problem, Estimate]:
        return self._window.problem(PIXEL_DEVIATION / float(self._window.newest.image.matrix[0, 0]))


def _trust(prior: PosePrior) -> float:
    """Share of L2W in lengths that the tracks tell too, from near 0 to 1 where its answers are exact."""
    return 1 / (1 + (VISION_TUNING.prior_scale_sigma * prior.sigma_factor / SEEN_SCALE_DEVIATION) ** 2)


def _places(pixels: Pixels, shape: tuple[int, ...]) -> Array:
    """(N, 2) pixels of an image of that shape as shares of it."""
    return np.asarray((pixels + 0.5) / [shape[1], shape[0]], dtype=np.float64)


def _sampled(depths: NDArray[np.float32], pixels: Pixels, shape: tuple[int, ...]) -> Array:
    """(N,) depths at pixels (N, 2) of an image of that shape with the same crop; NaN where there are none."""
    return sample_nearest(depths, _places(pixels, shape)).astype(np.float64)
