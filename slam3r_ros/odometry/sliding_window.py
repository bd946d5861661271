"""The sliding window of visual odometry: the most recent keyframes and the landmarks that they observe.

Keyframes enter with `add` and leave oldest first; `problem` states the bundle adjustment of the window, and `update`
takes what it has found.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.bundle_equations import MIN_DEPTH
from slam3r_ros.odometry.bundle_problem import Estimate, Observations, Problem
from slam3r_ros.odometry.local_map import positions_of
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.pose_prior import PosePrior


@dataclass(frozen=True, slots=True, eq=False)
class WindowKeyframe:
    """A keyframe of the window, with the F tracks that were active when it was made."""

    normalized_xy: Array
    """(F, 2) normalized image coordinates x / z and y / z of the active tracks."""
    pointmap_log_depths: Array
    """(F,) logarithms of the depths that the keyframe's own pointmap has there, in its own unit; NaN where it has
    none."""
    T_camera_world: Array
    """(4, 4) the estimated pose, which takes world points to the camera."""
    log_scale: float
    """Logarithm of the estimated scale: the world length of one unit of the keyframe's pointmap."""
    prior: PosePrior | None
    """What L2W says of the pose and the scale; None where it says nothing that counts."""
    image: FeatureImage
    """The keyframe's grey image and its intrinsics."""
    index: int = 0
    """Number of its frame."""


class SlidingWindow:
    """K keyframes and N landmarks, of which F are tracked.

    Each landmark is anchored at a keyframe that observes it (see `bundle_problem`). A landmark that is no longer
    tracked stays until the keyframes that observe it have left the window.
    """

    def __init__(self, ids: Iterator[int] | None = None) -> None:
        """``ids``: where the next landmarks take their identifiers from, ascending; by default from 0 on."""
        self._next_ids = itertools.count() if ids is None else ids
        self.ids = np.zeros(0, np.intp)
        """(N,) identifier of each landmark, ascending. It stays when the landmark's number changes, and no later
        landmark has the same."""
        self._keyframes: list[WindowKeyframe] = []
        self._observed = np.zeros((0, 0), np.bool_)  # (K, N) whether a keyframe observes a landmark
        self._normalized_xy = np.zeros((0, 0, 2))  # (K, N, 2) where it does
        self._pointmap_log_depths = np.zeros((0, 0))  # (K, N)
        self._anchors = np.zeros(0, np.intp)  # (N,)
        self._anchor_rays = np.zeros((0, 3))  # (N, 3)
        self._log_depths = np.zeros(0)  # (N,) in the anchors
        self.tracked = np.zeros(0, np.intp)
        """(F,) numbers of the landmarks that are tracked, in the order of the tracks."""

    def __len__(self) -> int:
        """Number K of keyframes."""
        return len(self._keyframes)

    def __getitem__(self, keyframe: int) -> WindowKeyframe:
        """A keyframe by its number in the window, from the oldest, 0, on."""
        return self._keyframes[keyframe]

    @property
    def newest(self) -> WindowKeyframe:
        """The newest keyframe; raises IndexError for an empty window."""
        return self._keyframes[-1]

    @property
    def is_full(self) -> bool:
        """Whether the next keyframe will displace the oldest; then the oldest keyframes are held fixed."""
        return len(self._keyframes) == TUNING.window_keyframes

    @property
    def landmark_count(self) -> int:
        """Number N of landmarks, tracked or not."""
        return len(self._anchors)

    @property
    def observation_counts(self) -> NDArray[np.intp]:
        """(N,) number of keyframes that observe each landmark; until two do, its depth is a prior's only."""
        return np.asarray(self._observed.sum(axis=0))

    def anew(self) -> SlidingWindow:
        """An empty window, in which no landmark will have the identifier of one of this window."""
        return SlidingWindow(self._next_ids)

    def numbers_of(self, ids: NDArray[np.intp]) -> NDArray[np.intp]:
        """(F,) numbers of the landmarks with these identifiers (F,); -1 for those that have left the window."""
        return positions_of(ids, self.ids)

    def tracked_points_world(self) -> Array:
        """(F, 3) positions of the tracked landmarks in the world."""
        return self._positions_world(self.tracked)

    def observed_by(self, keyframe: int) -> tuple[Array, Array]:
        """(M, 2) normalized image coordinates of the landmarks that a keyframe observes, and (M,) logarithms of their
        depths there, in world lengths. Landmarks that lie behind the keyframe are left out."""
        observed = np.flatnonzero(self._observed[keyframe])
        pose = self._keyframes[keyframe].T_camera_world
        depths = transform_points(pose, self._positions_world(observed))[:, 2]
        front = depths > 0
        return self._normalized_xy[keyframe, observed[front]], np.log(depths[front])

    def covisible_keyframes(self) -> list[int]:
        """Numbers of at most two keyframes for two-view depth in the newest: of those that observe much of what it
        observes, the one that is farthest from it and the one that is about half as far."""
        newest = len(self) - 1
        shared = (self._observed[:newest] & self._observed[newest]).sum(axis=1)
        enough = np.flatnonzero(shared >= TUNING.covisible_share * max(1, int(self._observed[newest].sum())))
        if not len(enough):
            return []
        centres = np.stack([invert_rigid(keyframe.T_camera_world)[:3, 3] for keyframe in self._keyframes])
        baselines = np.linalg.norm(centres[enough] - centres[newest], axis=1)
        farthest = int(baselines.argmax())
        half = int(np.abs(baselines - baselines[farthest] / 2).argmin())
        return [int(enough[each]) for each in dict.fromkeys((farthest, half))]

    def add(
        self, keyframe: WindowKeyframe, new_xy: Array, new_pointmap_log_depths: Array, new_log_depths: Array
    ) -> None:
        """Add a keyframe, which observes all tracked landmarks in their order, and N new landmarks anchored at it,
        which are tracked from now on. A full window drops its oldest keyframe first.

        ``new_xy`` (N, 2) are the new landmarks' normalized image coordinates, ``new_pointmap_log_depths`` (N,) the
        logarithms of the depths that the keyframe's pointmap has there (NaN where it has none), and ``new_log_depths``
        (N,) those of the depths in world lengths at which they begin.
        """
        if self.is_full:
            self._drop_oldest_keyframe()
        self._keyframes.append(keyframe)
        number = len(self) - 1
        self._observed = np.pad(self._observed, ((0, 1), (0, 0)))
        self._normalized_xy = np.pad(self._normalized_xy, ((0, 1), (0, 0), (0, 0)))
        self._pointmap_log_depths = np.pad(self._pointmap_log_depths, ((0, 1), (0, 0)), constant_values=np.nan)
        self._observed[number, self.tracked] = True
        self._normalized_xy[number, self.tracked] = keyframe.normalized_xy
        self._pointmap_log_depths[number, self.tracked] = keyframe.pointmap_log_depths
        self._add_landmarks(number, new_xy, new_pointmap_log_depths, new_log_depths)
        self._remove_useless_landmarks()

    def drop_tracks(self) -> None:
        """Drop all tracks, and remove the landmarks that only one keyframe observes."""
        self.tracked = self.tracked[:0]
        self._remove_useless_landmarks()

    def restart_tracks(self, keyframe: int, normalized_xy: Array, log_depths: Array) -> None:
        """Drop all tracks and track new landmarks instead, which are anchored at a keyframe of the window: (N, 2)
        normalized image coordinates and (N,) logarithms of their depths there, in world lengths."""
        self.drop_tracks()
        self._add_landmarks(keyframe, normalized_xy, np.full(len(normalized_xy), np.nan), log_depths)

    def problem(self, xy_sigma: float) -> tuple[Problem, Estimate]:
        """The bundle adjustment of the window, and the estimate so far, where ``xy_sigma`` is the standard deviation of
        one normalized image coordinate. They are snapshots: later changes of the window do not show in them."""
        landmark, keyframe = np.nonzero(self._observed.T)
        normalized_xy = self._normalized_xy[keyframe, landmark]
        problem = Problem(
            Observations(keyframe, landmark, normalized_xy, self._pointmap_log_depths[keyframe, landmark]),
            self._anchors.copy(),
            self._anchor_rays.copy(),
            tuple(each.prior for each in self._keyframes),
            fixed_keyframes=TUNING.fixed_keyframes if self.is_full else 1,
            xy_sigma=xy_sigma,
        )
        estimate = Estimate(
            np.stack([each.T_camera_world for each in self._keyframes]),
            np.array([each.log_scale for each in self._keyframes]),
            self._log_depths.copy(),
        )
        return problem, estimate

    def update(self, estimate: Estimate) -> None:
        """Replace poses, scales and depths by an estimate of the same keyframes and landmarks."""
        self._keyframes = [
            replace(keyframe, T_camera_world=T, log_scale=float(log_scale))
            for keyframe, T, log_scale in zip(
                self._keyframes, estimate.T_camera_world, estimate.log_scales, strict=True
            )
        ]
        self._log_depths = estimate.log_depths

    def remove_observations(self, outliers: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Remove the observations that a mask (M,) chooses, in the order of `problem`'s. A landmark whose observation
        in the newest keyframe is removed is no longer tracked.

        Returns a mask (F,) of the tracks so far that are still active.
        """
        landmark, keyframe = np.nonzero(self._observed.T)
        self._observed[keyframe[outliers], landmark[outliers]] = False
        kept: NDArray[np.bool_] = self._observed[-1, self.tracked]
        self.tracked = self.tracked[kept]
        self._remove_useless_landmarks()
        return kept

    def change_intrinsics(self, matrix: Array) -> None:
        """Take the intrinsics (3, 3) as those with which all images of the window were taken. Landmarks keep their
        pixels and their depths, keyframes their poses."""
        before, focal = self.newest.image.matrix, matrix[[0, 1], [0, 1]]
        factor, offset = before[[0, 1], [0, 1]] / focal, (before[:2, 2] - matrix[:2, 2]) / focal
        self._normalized_xy = self._normalized_xy * factor + offset
        self._anchor_rays = self._anchor_rays * [*factor, 1] + [*offset, 0]
        self._keyframes = [
            replace(
                keyframe,
                normalized_xy=keyframe.normalized_xy * factor + offset,
                image=keyframe.image.with_matrix(matrix),
            )
            for keyframe in self._keyframes
        ]

    def transform(self, correction: Sim3) -> None:
        """Move keyframes, landmarks and priors with the world, by a similarity from the old world to the new one."""
        log_scale_ratio = float(np.log(correction.scale))
        self._log_depths = self._log_depths + log_scale_ratio
        self._keyframes = [
            replace(
                keyframe,
                T_camera_world=correction.apply_to_extrinsics(keyframe.T_camera_world),
                log_scale=keyframe.log_scale + log_scale_ratio,
                prior=None if keyframe.prior is None else keyframe.prior.transformed(correction),
            )
            for keyframe in self._keyframes
        ]

    def _add_landmarks(self, keyframe: int, xy: Array, pointmap_log_depths: Array, log_depths: Array) -> None:
        """Add landmarks that a keyframe observes and is the anchor of, and track them."""
        before, count = self.landmark_count, len(xy)
        self._observed = np.pad(self._observed, ((0, 0), (0, count)))
        self._normalized_xy = np.pad(self._normalized_xy, ((0, 0), (0, count), (0, 0)))
        self._pointmap_log_depths = np.pad(self._pointmap_log_depths, ((0, 0), (0, count)), constant_values=np.nan)
        self._observed[keyframe, before:], self._normalized_xy[keyframe, before:] = True, xy
        self._pointmap_log_depths[keyframe, before:] = pointmap_log_depths
        self._anchors = np.concatenate([self._anchors, np.full(count, keyframe)])
        self._anchor_rays = np.concatenate([self._anchor_rays, np.column_stack([xy, np.ones(count)])])
        self._log_depths = np.concatenate([self._log_depths, log_depths])
        self.ids = np.concatenate([self.ids, np.fromiter(itertools.islice(self._next_ids, count), np.intp)])
        self.tracked = np.concatenate([self.tracked, np.arange(before, before + count)])

    def _positions_world(self, landmarks: NDArray[np.intp]) -> Array:
        """(L, 3) positions in the world of landmarks by their numbers (L,)."""
        poses = np.stack([invert_rigid(keyframe.T_camera_world) for keyframe in self._keyframes])
        anchors = self._anchors[landmarks]
        at_anchor = self._anchor_rays[landmarks] * np.exp(self._log_depths[landmarks])[:, None]
        return np.einsum("nij,nj->ni", poses[anchors, :3, :3], at_anchor) + poses[anchors, :3, 3]

    def _drop_oldest_keyframe(self) -> None:
        """Drop the oldest keyframe; its landmarks are anchored anew at the next keyframe that observes them."""
        T_world_oldest = invert_rigid(self._keyframes[0].T_camera_world)
        orphans = np.flatnonzero(self._anchors == 0)
        self._observed[0] = False
        heirs = self._observed[:, orphans].argmax(axis=0)  # 0 where no other keyframe observes it
        at_anchor = self._anchor_rays[orphans] * np.exp(self._log_depths[orphans])[:, None]
        world = transform_points(T_world_oldest, at_anchor)
        for landmark, keyframe, position in zip(orphans, heirs, world, strict=True):
            if keyframe:
                self._anchors[landmark] = keyframe
                point = transform_points(self._keyframes[keyframe].T_camera_world, position)
                if point[2] > MIN_DEPTH:
                    self._anchor_rays[landmark], self._log_depths[landmark] = point / point[2], np.log(point[2])
                else:  # an outlier, which keeps its depth until bundle adjustment finds it out
                    self._anchor_rays[landmark, :2] = self._normalized_xy[keyframe, landmark]
        self._anchors = np.maximum(self._anchors - 1, 0)
        self._keyframes = self._keyframes[1:]
        self._observed, self._normalized_xy = self._observed[1:], self._normalized_xy[1:]
        self._pointmap_log_depths = self._pointmap_log_depths[1:]
        self._remove_useless_landmarks()

    def _remove_useless_landmarks(self) -> None:
        """Remove landmarks that are neither tracked nor observed twice, and the oldest that are not tracked where there
        are too many."""
        tracked = np.zeros(self.landmark_count, np.bool_)
        tracked[self.tracked] = True
        counts = self._observed.sum(axis=0)
        kept = (counts >= 2) | (tracked & (counts >= 1))
        excess = int(kept.sum()) - TUNING.window_landmarks
        if excess > 0:
            kept[np.flatnonzero(kept & ~tracked)[:excess]] = False
        if kept.all():
            return
        new_numbers = np.cumsum(kept) - 1
        self.tracked = new_numbers[self.tracked[kept[self.tracked]]]
        self._observed, self._normalized_xy = self._observed[:, kept], self._normalized_xy[:, kept]
        self._pointmap_log_depths = self._pointmap_log_depths[:, kept]
        self._anchors, self._anchor_rays = self._anchors[kept], self._anchor_rays[kept]
        self._log_depths, self.ids = self._log_depths[kept], self.ids[kept]
