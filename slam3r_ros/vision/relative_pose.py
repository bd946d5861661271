"""Where the camera is when its corners were lost: features that look alike in a keyframe and in the new image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, rigid, transform_points
from slam3r_ros.vision.feature_image import Features, Seen, slopes_of
from slam3r_ros.vision.motion_only import resect, slope_errors
from slam3r_ros.vision.pnp import PointObservations, ransac_pose

DISTINCT = 0.8
"""Distance of the best match over the second best's, up to which it counts."""
OUTLIER_PX = 3.0
"""Distance from where a point of known depth should be seen beyond which its match is wrong."""
DEVIATION_PX = 1.0
"""Distance from the epipolar line beyond which it is."""
FEWEST_MATCHES, LEAST_SHARE = 15, 0.4
"""That must agree with the motion found, and their share of all."""
ENOUGH_SHARE = 0.7
"""Of matches that known depths explain, with which parallax is not asked."""
LEAST_SPREAD = 0.05
"""Standard deviation of where these are, across the direction in which they spread most, over the image's width."""
FEWEST_DEPTHS = 6
"""That must be known."""
SPREAD_LIMIT = 0.5
"""Half the distance between the quartiles of the logarithm of the motion's length, beyond which it is not known."""
FARTHEST = 200.0
"""Depth over the motion's length beyond which a point tells no depth."""


@dataclass(frozen=True, slots=True, eq=False)
class RelativePose:
    """The motion from one image to another and the points that show it."""

    T_after_before: Array
    """(4, 4), in the lengths of the depths that were known."""
    slopes_before: Array
    """(N, 2) of the points in the first image."""
    log_depths_before: Array
    """(N,) of their depths there."""
    pixels_after: NDArray[np.float32]
    """(N, 2) where the second image has them."""
    features_after: NDArray[np.intp]
    """(N,) which of its features they are."""
    share: float
    """Of the matches that agree with it."""

    @property
    def depths_after(self) -> Array:
        """(N,) of the points in the second image, along its optical axis."""
        rays = np.column_stack([self.slopes_before, np.ones(len(self.slopes_before))])
        return transform_points(self.T_after_before, rays * np.exp(self.log_depths_before)[:, None])[:, 2]


def recover(before: Seen, after: Seen, known: tuple[Array, Array]) -> RelativePose | None:
    """The motion from one image to another, None where what they have in common does not tell it.

    ``known``: slopes (M, 2) in the first image at which logarithms of depths (M,) are known. Where these explain the
    matches, as after a turn or a short way, they give the motion; else the parallax does, and they its length.
    """
    first, second = _matches(before.features, after.features)
    if len(first) < FEWEST_MATCHES or len(known[0]) < FEWEST_DEPTHS:
        return None
    matched = _Matched(slopes_of(before, before.features.pixels[first]), second, after, known)
    by_depths = matched.by_depths()
    if by_depths is not None and by_depths.share >= ENOUGH_SHARE:
        return by_depths
    found = [each for each in (by_depths, matched.by_parallax()) if each is not None]
    return max(found, key=lambda each: each.share, default=None)


class _Matched:
    """Features of two images that match."""

    def __init__(self, slopes: Array, numbers: NDArray[np.intp], after: Seen, known: tuple[Array, Array]) -> None:
        """Slopes (N, 2) in the first image, numbers (N,) of the second's features."""
        self._slopes, self._numbers, self._pixels, self._after = slopes, numbers, after.features.pixels[numbers], after
        self._rays = np.column_stack([slopes, np.ones(len(slopes))])
        squares = np.square(slopes[:, None] - known[0][None]).sum(axis=2)
        self._known = known[1][squares.argmin(axis=1)]

    def by_depths(self) -> RelativePose | None:
        """By perspective-n-point, each feature at the nearest depth known."""
        points = self._rays * np.exp(self._known)[:, None]
        fit = ransac_pose(PointObservations(points, self._pixels.astype(np.float64), self._after.matrix, OUTLIER_PX))
        return None if fit is None else self._settled(fit.T_camera_world, self._known)

    def by_parallax(self) -> RelativePose | None:
        """By the essential matrix (Nister 2004), as long as the depths known say."""
        one, two = self._slopes, slopes_of(self._after, self._pixels)
        cv2.setRNGSeed(0)
        deviation = DEVIATION_PX / float(self._after.matrix[0, 0])
        essential, agree = cv2.findEssentialMat(one, two, np.eye(3), cv2.RANSAC, 0.999, deviation)
        if essential is None or essential.shape != (3, 3) or agree.sum() < FEWEST_MATCHES:
            return None
        _, turn, shift, mask, points = cv2.recoverPose(
            essential, one, two, np.eye(3), distanceThresh=FARTHEST, mask=agree.copy()
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            depths = points[2] / points[3]
        good = (mask[:, 0] > 0) & np.isfinite(depths) & (depths > 0)
        if good.sum() < FEWEST_MATCHES:
            return None
        log_depths = np.log(np.where(good, depths, np.nan))
        low, middle, high = np.percentile((self._known - log_depths)[good], [25, 50, 75])
        if (high - low) / 2 > SPREAD_LIMIT:
            return None
        T = rigid(np.asarray(turn, np.float64), np.exp(middle) * np.asarray(shift, np.float64).ravel())
        return self._settled(T, log_depths + middle)

    def _settled(self, start: Array, log_depths: Array) -> RelativePose | None:
        """The motion near a start that explains the features with a depth best, if it explains enough of all."""
        good = np.isfinite(log_depths)
        points = self._rays[good] * np.exp(log_depths[good])[:, None]
        seen, focal = slopes_of(self._after, self._pixels[good]), float(self._after.matrix[0, 0])
        T = resect(points, seen, [start], DEVIATION_PX / focal, None)
        good[good] = slope_errors(points, seen, T) * focal < OUTLIER_PX
        share = float(good.mean())
        if good.sum() < FEWEST_MATCHES or share < LEAST_SHARE or not self._are_spread(good):
            return None
        return RelativePose(T, self._slopes[good], log_depths[good], self._pixels[good], self._numbers[good], share)

    def _are_spread(self, chosen: NDArray[np.bool_]) -> bool:
        """Whether features cover more than a strip or a spot of the image, which any motion might explain."""
        deviations = np.linalg.svd(np.cov(self._pixels[chosen].T.astype(np.float64)), compute_uv=False)
        return bool(np.sqrt(deviations[-1]) > LEAST_SPREAD * self._after.width)


def _matches(one: Features, other: Features) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(N,) features of each that are each other's.

    As OpenCV's matcher of all with all, which makes objects of a hundred thousand pairs while nothing else can run.
    """
    nothing = np.zeros(0, np.intp)
    if min(len(one.pixels), len(other.pixels)) < 2:
        return nothing, nothing
    first, second = (each.descriptors.astype(np.float32) for each in (one, other))
    lengths = np.einsum("ij,ij->i", first, first)[:, None] + np.einsum("ij,ij->i", second, second)
    squares = np.maximum(lengths - 2 * (first @ second.T), 0)
    nearest = squares.argmin(axis=1)
    best, next_best = np.partition(squares, 1, axis=1)[:, :2].T
    numbers = np.arange(len(first))
    matched = (best < DISTINCT**2 * next_best) & (squares.argmin(axis=0)[nearest] == numbers)
    return numbers[matched], nearest[matched]
