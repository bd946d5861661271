"""Tracking of a single frame: KLT from image to image, then motion-only bundle adjustment against the local map.

This is the half of visual odometry that a tracking thread would have (Klein and Murray, PTAM, 2007); here one thread
runs both halves in turn. Tracking knows the local map only as the last `LocalMap` that local mapping has published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.crop import is_inside
from slam3r_ros.geometry.dead_reckoning import DeadReckoning
from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.flow_depth import PosedImage
from slam3r_ros.odometry.local_map import NO_LANDMARKS, NO_TRACKS, ActiveTracks, LocalMap, positions_of
from slam3r_ros.odometry.tracked_frame import TrackedFrame
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.klt import Grey, Pixels, roughly_followed, track_corners, without_local_brightness
from slam3r_ros.vision.motion_only import motion_only_bundle_adjustment, reprojection_errors
from slam3r_ros.vision.pixel_unit import pixel_unit
from slam3r_ros.vision.pose_prior import PosePrior


@dataclass(frozen=True, slots=True, eq=False)
class PoseFit:
    """A camera pose that explains the tracks of an image."""

    T_camera_world: Array
    """(4, 4)"""
    inliers: NDArray[np.bool_]
    """(F,) which of the tracks agree with it."""
    inlier_share: float
    """The share of the tracks that agree with it."""
    error_px: float
    """Median reprojection error of the inliers, pixels."""


class FrameTracker:
    """Tracks landmarks from one image to the next and finds the camera pose that explains where they are seen."""

    def __init__(self) -> None:
        self.reckoning = DeadReckoning.begin()
        """Dead reckoning in the last frame: nothing but measured motion changes it."""
        self.reset()

    def reset(self) -> None:
        """Forget all tracks, poses, the local map and the last image."""
        self.tracks: ActiveTracks = NO_TRACKS
        self.local_map: LocalMap = NO_LANDMARKS
        self._image: Grey | None = None
        self._flat: Grey | None = None  # the same without its local brightness
        self._keyframe: Grey | None = None  # in which the tracks began, without its local brightness
        self._last_T: Array | None = None  # T_camera_world of the last frame, None while lost
        self._by_tracks: Array | None = None  # T_camera_world of the next frame by the tracks alone
        self._motion = np.eye(4)  # from the frame before the last to the last, T_last_before

    @property
    def is_lost(self) -> bool:
        """Whether there is no pose to go on from."""
        return self._last_T is None

    @property
    def predictions(self) -> list[Array]:
        """T_camera_world (4, 4) of the next frame: the last pose, and that with the last motion (constant velocity)."""
        return [] if self._last_T is None else [self._last_T, self._motion @ self._last_T]

    def has_other_size(self, grey: Grey) -> bool:
        """Whether an image has another size than the last one."""
        return self._image is not None and self._image.shape != grey.shape

    def lose(self) -> None:
        """There is no pose to go on from any more."""
        self._last_T = None

    def see(self, grey: Grey) -> None:
        """Take an image as the last one without looking for the tracks in it."""
        if self._image is not grey:
            self._image, self._flat = grey, without_local_brightness(grey)

    def adopt(self, local_map: LocalMap, tracks: ActiveTracks, keyframe: Grey) -> None:
        """Go on with the local map that a new keyframe has made, and with its tracks, which begin in its image."""
        self.see(keyframe)
        self.local_map, self.tracks, self._keyframe = local_map, tracks, self._flat

    def refresh(self, local_map: LocalMap) -> None:
        """Take over that landmarks are elsewhere; tracks of landmarks that are not in the new map are dropped."""
        if not np.array_equal(local_map.ids, self.local_map.ids):
            rows = positions_of(self.landmark_ids, local_map.ids)
            self.tracks = replace(self.tracks, rows=rows).kept(rows >= 0)
        self.local_map = local_map

    def start_at(self, T_camera_world: Array) -> None:
        """Go on from this pose (4, 4); how the camera has come there was not measured."""
        self._last_T, self._by_tracks = T_camera_world, None
        self.reckoning = self.reckoning.interrupted()

    def forget_motion(self) -> None:
        """Expect the next frame where this one is."""
        self._motion = np.eye(4)

    def transform(self, moved: Sim3) -> None:
        """Take over that the world has been moved."""
        if self._last_T is not None:
            self._last_T = moved.apply_to_extrinsics(self._last_T)
        if self._by_tracks is not None:
            self._by_tracks = moved.apply_to_extrinsics(self._by_tracks)
        self.local_map = self.local_map.transformed(moved)
        self._motion = rigid(self._motion[:3, :3], moved.scale * self._motion[:3, 3])

    def track(self, grey: Grey) -> None:
        """Look for the tracks in the next image, unless that has been done; those that are not found are dropped."""
        if self._flat is None or self._keyframe is None or self._image is grey:
            return
        before, tracks, guesses = self._flat, self.tracks, None
        self.see(grey)
        if before is not self._keyframe:
            guesses = roughly_followed(before, self._flat, tracks.pixels)
        found = self._find_again(guesses)
        self.tracks = self.tracks.kept(found)

    def _find_again(self, guesses: Pixels | None) -> NDArray[np.bool_]:
        """Look in the last image, near guesses (F, 2) or where the dense flow has them, for the tracks as they looked
        in their keyframe: errors do not add up from image to image then. Returns which (F,) were found; all are
        kept."""
        assert self._flat is not None and self._keyframe is not None
        pixels, found = track_corners(self._keyframe, self._flat, self.tracks.pixels_at_keyframe, guesses)
        self.tracks = replace(self.tracks, pixels=pixels)
        return found

    def locate(self, image: FeatureImage) -> TrackedFrame | None:
        """The next frame's pose by its tracks alone, where they hold; else None.

        Where the frame is to become a keyframe, it is not taken as the last one yet: what the networks say of it counts
        too.
        """
        fit = self.follow(image)
        if fit is None:
            return None
        log_scale = self.local_map.log_scale
        if self.needs_keyframe(image, fit):
            reckoning = self._reckoned(fit.T_camera_world)
            return replace(self.tracked_frame(image, fit, log_scale), is_keyframe=True, reckoning=reckoning)
        self.drop_outliers(fit)
        return self.accept(image, fit, log_scale)

    def follow(self, image: FeatureImage) -> PoseFit | None:
        """Look for the tracks in the next image, and the pose that explains them; None where there is none."""
        self._by_tracks = None
        if self.is_lost or self.has_other_size(image.grey):
            return None
        self.track(image.grey)
        fit = self.fit(image, self.predictions, None)
        self._by_tracks = None if fit is None else fit.T_camera_world
        return fit

    def catch_up(self, image: FeatureImage, T_camera_world: Array, others: FrameTracker) -> None:
        """Look for the tracks in an image that is not the next one, near where this pose (4, 4) of it projects their
        landmarks. Where a track is not found, it goes on where other tracks have the same landmark in this image."""
        self.see(image.grey)
        points = self.local_map.positions_world[self.tracks.rows] @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
        guesses = image.projected(points, self.tracks.pixels)
        found = self._find_again(guesses)
        rows = positions_of(self.landmark_ids, others.landmark_ids)
        elsewhere = ~found & (rows >= 0)
        pixels = self.tracks.pixels.copy()
        pixels[elsewhere] = others.tracks.pixels[rows[elsewhere]]
        self.tracks = replace(self.tracks, pixels=pixels).kept(found | elsewhere)

    def fit(self, image: FeatureImage, starts: Sequence[Array], prior: PosePrior | None) -> PoseFit | None:
        """The pose that explains the tracks, from the best of several starts (4, 4); None where there is none."""
        tracks = self.tracks
        if len(tracks) < TUNING.min_inliers:
            return None
        normalized_xy, focal = image.normalized_xy(tracks.pixels), image.matrix[0, 0]
        points = self.local_map.positions_world[tracks.rows]
        if prior is not None and prior.sigma_factor >= 1:
            prior = None  # beside so many points it says nothing then
        unit = pixel_unit(image.grey.shape)
        T = motion_only_bundle_adjustment(points, normalized_xy, starts, TUNING.pixel_sigma * unit / focal, prior)
        errors_px = reprojection_errors(points, normalized_xy, T) * focal
        inliers = errors_px <= TUNING.outlier_px * unit
        share = float(inliers.mean())
        if inliers.sum() < TUNING.min_inliers or share < TUNING.min_inlier_share:
            return None
        return PoseFit(T, inliers, share, float(np.median(errors_px[inliers])))

    def needs_keyframe(self, image: FeatureImage, fit: PoseFit) -> bool:
        """The keyframe decision: whether the image has moved so far from the last keyframe, or shows so few of its
        tracks, that it should be a keyframe."""
        tracks, inliers = self.tracks, fit.inliers
        moved = float(np.median(np.linalg.norm(tracks.pixels[inliers] - tracks.pixels_at_keyframe[inliers], axis=1)))
        few = int(inliers.sum()) < TUNING.keyframe_track_share * tracks.count_at_keyframe
        return few or moved > TUNING.keyframe_motion * min(image.grey.shape)

    def drop_outliers(self, fit: PoseFit) -> None:
        """Track on only what agrees with the pose."""
        self.tracks = self.tracks.kept(fit.inliers)

    def drop_all(self) -> None:
        """Track nothing any more."""
        self.tracks = self.tracks.kept(np.zeros(len(self.tracks), np.bool_))

    def begin_interval(self) -> None:
        """Count the motion to the next keyframe from the last image, as if it were a keyframe."""
        tracks, self._keyframe = self.tracks, self._flat
        self.tracks = replace(tracks, pixels_at_keyframe=tracks.pixels, count_at_keyframe=len(tracks))

    def expect_motion_of(self, other: FrameTracker | None) -> None:
        """Expect the next frame to move on as it does by other tracks; where there are none, to be where this one
        is."""
        self._motion = np.eye(4) if other is None else other._motion

    def move_to(self, T_camera_world: Array) -> None:
        """Go on from this pose (4, 4), with the motion that led there from the pose before.

        In dead reckoning the motion by the tracks alone counts, where they have followed it: the rest of the way to
        this pose is a correction by the networks or by bundle adjustment.
        """
        assert self._last_T is not None
        self.reckoning = self._reckoned(T_camera_world if self._by_tracks is None else self._by_tracks)
        self._motion, self._last_T = T_camera_world @ invert_rigid(self._last_T), T_camera_world
        self._by_tracks = None

    def _reckoned(self, T_camera_world: Array) -> DeadReckoning:
        """Dead reckoning after the motion from the last frame to this pose (4, 4)."""
        assert self._last_T is not None
        return self.reckoning.moved(self._last_T @ invert_rigid(T_camera_world))

    def accept(self, image: FeatureImage, fit: PoseFit, log_scale: float) -> TrackedFrame:
        """The tracked frame, whose pose the motion model takes as the last one."""
        self.move_to(fit.T_camera_world)
        return self.tracked_frame(image, fit, log_scale)

    def tracked_frame(self, image: FeatureImage, fit: PoseFit, log_scale: float) -> TrackedFrame:
        """The frame at the pose of the fit, with the tracks that it sees; ``log_scale`` is that of its own
        pointmap."""
        T, places = fit.T_camera_world, image.crop.positions(self.tracks.pixels, image.grey.shape)
        is_used = self.landmarks_with_depth() & is_inside(places)
        return TrackedFrame(
            T_world_camera=invert_rigid(T),
            scale=float(np.exp(log_scale)),
            scale_ratio=1.0,
            points=len(self.tracks),
            share=fit.inlier_share,
            error_px=fit.error_px,
            places=places[is_used],
            depths=self.depths(T)[is_used],
            prior_weight=0.0,
            frame=PosedImage(image, T),
            reckoning=self.reckoning,
        )

    @property
    def landmark_ids(self) -> NDArray[np.intp]:
        """(F,) identifiers of the tracked landmarks in the sliding window."""
        return self.local_map.ids[self.tracks.rows]

    def depths(self, T_camera_world: Array) -> Array:
        """(F,) depths of the tracked landmarks along a camera's optical axis, scene units."""
        return self.local_map.depths(self.tracks.rows, T_camera_world)

    def landmarks_with_depth(self) -> NDArray[np.bool_]:
        """(F,) which of the tracked landmarks two keyframes see, so that their depths are known."""
        return np.asarray(self.local_map.observations[self.tracks.rows] > 1)
