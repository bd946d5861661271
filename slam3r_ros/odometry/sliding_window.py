"""The window: recent keyframes, and the points that they see."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.bundle_adjustment import Estimate, Observations, Problem
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.pose_prior import PosePrior


@dataclass(frozen=True, slots=True, eq=False)
class KeyframeObservation:
    """What is known of one frame."""

    slopes: Array
    """(N, 2) x / z and y / z of the points that are followed."""
    log_depths: Array
    """(N,) of the frame's own pointmap there; NaN where it has none."""
    T_camera_world: Array
    """(4, 4) as estimated."""
    log_scale: float
    """Of the world's length of the pointmap's unit, as estimated."""
    prior: PosePrior | None
    """What L2W says; None where it says nothing that counts."""
    image: FeatureImage
    """What it was seen in."""


class SlidingWindow:
    """Keyframes and points. The points that are followed come first in no order; a point that was lost stays until the
    keyframes that saw it are gone."""

    def __init__(self) -> None:
        self._keyframes: list[KeyframeObservation] = []
        self._seen = np.zeros((0, 0), np.bool_)  # (K, N)
        self._slopes = np.zeros((0, 0, 2))
        self._log_depths_seen = np.zeros((0, 0))
        self._anchors = np.zeros(0, np.intp)
        self._rays = np.zeros((0, 3))
        self._log_depths = np.zeros(0)
        self.followed = np.zeros(0, np.intp)
        """(F,) points that are followed, by number in the window."""

    def __len__(self) -> int:
        return len(self._keyframes)

    @property
    def is_full(self) -> bool:
        """Whether the oldest keyframes are fixed."""
        return len(self._keyframes) == TUNING.window_keyframes

    @property
    def point_count(self) -> int:
        return len(self._anchors)

    def __getitem__(self, keyframe: int) -> KeyframeObservation:
        return self._keyframes[keyframe]

    @property
    def newest(self) -> KeyframeObservation:
        return self._keyframes[-1]

    def points_world(self) -> Array:
        """(F, 3) the points that are followed."""
        return self._positions(self.followed)

    def keep_followed(self, kept: NDArray[np.bool_]) -> None:
        """Follow only those of `followed` any more."""
        self.followed = self.followed[kept]

    def unfollow(self) -> None:
        """Follow none any more, and forget those that only one keyframe has seen."""
        self.followed = self.followed[:0]
        self._forget_points()

    @property
    def sightings(self) -> NDArray[np.intp]:
        """(N,) keyframes of the window that see each point; a depth is a prior's until two do."""
        return np.asarray(self._seen.sum(axis=0))

    def seen_by(self, keyframe: int) -> tuple[Array, Array]:
        """(N, 2) slopes of the points that a keyframe sees and (N,) logarithms of their depths there, world lengths."""
        seen = np.flatnonzero(self._seen[keyframe])
        depths = transform_points(self._keyframes[keyframe].T_camera_world, self._positions(seen))[:, 2]
        front = depths > 0
        return self._slopes[keyframe, seen[front]], np.log(depths[front])

    def partners(self) -> list[int]:
        """Keyframes, at most two, that see much of what the newest does from afar: the farthest and one half as far."""
        newest = len(self) - 1
        shared = (self._seen[:newest] & self._seen[newest]).sum(axis=1)
        enough = np.flatnonzero(shared >= TUNING.covisible_share * max(1, int(self._seen[newest].sum())))
        if not len(enough):
            return []
        positions = np.stack([invert_rigid(keyframe.T_camera_world)[:3, 3] for keyframe in self._keyframes])
        ways = np.linalg.norm(positions[enough] - positions[newest], axis=1)
        farthest = int(ways.argmax())
        half = int(np.abs(ways - ways[farthest] / 2).argmin())
        return [int(enough[each]) for each in dict.fromkeys((farthest, half))]

    def follow_again(self, keyframe: int, slopes: Array, log_depths: Array) -> None:
        """Follow new points (N, 2), (N,), which a keyframe sees, and no others; it is their anchor."""
        self.unfollow()
        self._append_points(keyframe, slopes, np.full(len(slopes), np.nan), log_depths)

    def add(
        self, sighting: KeyframeObservation, fresh_slopes: Array, fresh_log_depths: Array, fresh_guesses: Array
    ) -> None:
        """Add a keyframe that sees the points followed, in their order, and fresh ones, of which it is the anchor and
        which are followed from now on: slopes (N, 2), logarithms of its pointmap's depths there (N,), NaN where it has
        none, and those of the depths to begin with (N,), world lengths. The oldest keyframe leaves a full window."""
        if self.is_full:
            self._drop_oldest()
        self._keyframes.append(sighting)
        number = len(self) - 1
        self._seen = np.pad(self._seen, ((0, 1), (0, 0)))
        self._slopes = np.pad(self._slopes, ((0, 1), (0, 0), (0, 0)))
        self._log_depths_seen = np.pad(self._log_depths_seen, ((0, 1), (0, 0)), constant_values=np.nan)
        self._seen[number, self.followed] = True
        self._slopes[number, self.followed] = sighting.slopes
        self._log_depths_seen[number, self.followed] = sighting.log_depths
        self._append_points(number, fresh_slopes, fresh_log_depths, fresh_guesses)
        self._forget_points()

    def problem(self, slope_deviation: float) -> tuple[Problem, Estimate]:
        """The window as a problem, and what is estimated so far; no later change of the window shows in them."""
        point, keyframe = np.nonzero(self._seen.T)
        keyframes = self._keyframes
        problem = Problem(
            Observations(keyframe, point, self._slopes[keyframe, point], self._log_depths_seen[keyframe, point]),
            self._anchors.copy(),
            self._rays.copy(),
            tuple(keyframe.prior for keyframe in keyframes),
            fixed=TUNING.fixed_keyframes if self.is_full else 1,
            slope_deviation=slope_deviation,
        )
        estimate = Estimate(
            np.stack([each.T_camera_world for each in keyframes]),
            np.array([each.log_scale for each in keyframes]),
            self._log_depths.copy(),
        )
        return problem, estimate

    def take(self, estimate: Estimate) -> None:
        """Take what was estimated."""
        self._keyframes = [
            replace(keyframe, T_camera_world=T, log_scale=float(log_scale))
            for keyframe, T, log_scale in zip(
                self._keyframes, estimate.T_camera_world, estimate.log_scales, strict=True
            )
        ]
        self._log_depths = estimate.log_depths

    def change_camera(self, matrix: Array) -> None:
        """See all that was seen with other intrinsics (3, 3). Points keep their depths, keyframes their poses."""
        before, focal = self.newest.image.matrix, matrix[[0, 1], [0, 1]]
        factor, shift = before[[0, 1], [0, 1]] / focal, (before[:2, 2] - matrix[:2, 2]) / focal
        self._slopes = self._slopes * factor + shift
        self._rays = self._rays * [*factor, 1] + [*shift, 0]
        self._keyframes = [
            replace(keyframe, slopes=keyframe.slopes * factor + shift, image=keyframe.image.with_matrix(matrix))
            for keyframe in self._keyframes
        ]

    def transform(self, moved: Sim3) -> None:
        """Take over that the world has been moved."""
        growth = float(np.log(moved.scale))
        self._log_depths = self._log_depths + growth
        self._keyframes = [
            replace(
                keyframe,
                T_camera_world=moved.apply_to_extrinsics(keyframe.T_camera_world),
                log_scale=keyframe.log_scale + growth,
                prior=None if keyframe.prior is None else keyframe.prior.transformed(moved),
            )
            for keyframe in self._keyframes
        ]

    def remove_sightings(self, wrong: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Forget sightings (in the order of `problem`'s observations); a point whose newest is wrong is not followed.

        Returns which of `followed` still are.
        """
        point, keyframe = np.nonzero(self._seen.T)
        self._seen[keyframe[wrong], point[wrong]] = False
        kept: NDArray[np.bool_] = self._seen[-1, self.followed]
        self.followed = self.followed[kept]
        self._forget_points()
        return kept

    def _append_points(self, keyframe: int, slopes: Array, log_depths_seen: Array, log_depths: Array) -> None:
        """Follow new points too, which a keyframe sees and is the anchor of."""
        before, count = self.point_count, len(slopes)
        self._seen = np.pad(self._seen, ((0, 0), (0, count)))
        self._slopes = np.pad(self._slopes, ((0, 0), (0, count), (0, 0)))
        self._log_depths_seen = np.pad(self._log_depths_seen, ((0, 0), (0, count)), constant_values=np.nan)
        self._seen[keyframe, before:], self._slopes[keyframe, before:] = True, slopes
        self._log_depths_seen[keyframe, before:] = log_depths_seen
        self._anchors = np.concatenate([self._anchors, np.full(count, keyframe)])
        self._rays = np.concatenate([self._rays, np.column_stack([slopes, np.ones(count)])])
        self._log_depths = np.concatenate([self._log_depths, log_depths])
        self.followed = np.concatenate([self.followed, np.arange(before, before + count)])

    def _positions(self, points: NDArray[np.intp]) -> Array:
        """(N, 3) of points by number."""
        poses = np.stack([invert_rigid(keyframe.T_camera_world) for keyframe in self._keyframes])
        anchors = self._anchors[points]
        at_anchor = self._rays[points] * np.exp(self._log_depths[points])[:, None]
        return np.einsum("nij,nj->ni", poses[anchors, :3, :3], at_anchor) + poses[anchors, :3, 3]

    def _drop_oldest(self) -> None:
        """The oldest keyframe leaves; its points are anchored at the next keyframe that sees them."""
        T_oldest = invert_rigid(self._keyframes[0].T_camera_world)
        moving = np.flatnonzero(self._anchors == 0)
        self._seen[0] = False
        later = self._seen[:, moving].argmax(axis=0)
        world = transform_points(T_oldest, self._rays[moving] * np.exp(self._log_depths[moving])[:, None])
        for point, keyframe, position in zip(moving, later, world, strict=True):
            if keyframe:
                self._anchors[point] = keyframe
                seen = transform_points(self._keyframes[keyframe].T_camera_world, position)
                if seen[2] > 1e-6:
                    self._rays[point], self._log_depths[point] = seen / seen[2], np.log(seen[2])
                else:  # a wrong point: it keeps its depth and is found out
                    self._rays[point, :2] = self._slopes[keyframe, point]
        self._anchors = np.maximum(self._anchors - 1, 0)
        self._keyframes = self._keyframes[1:]
        self._seen, self._slopes = self._seen[1:], self._slopes[1:]
        self._log_depths_seen = self._log_depths_seen[1:]
        self._forget_points()

    def _forget_points(self) -> None:
        """Forget points that say nothing any more: not followed and seen only once, or the oldest of too many."""
        followed = np.zeros(self.point_count, np.bool_)
        followed[self.followed] = True
        sightings = self._seen.sum(axis=0)
        kept = (sightings >= 2) | (followed & (sightings >= 1))
        excess = int(kept.sum()) - TUNING.window_landmarks
        if excess > 0:
            kept[np.flatnonzero(kept & ~followed)[:excess]] = False
        if kept.all():
            return
        numbers = np.cumsum(kept) - 1
        self.followed = numbers[self.followed[kept[self.followed]]]
        self._seen, self._slopes = self._seen[:, kept], self._slopes[:, kept]
        self._log_depths_seen = self._log_depths_seen[:, kept]
        self._anchors, self._rays, self._log_depths = self._anchors[kept], self._rays[kept], self._log_depths[kept]
