"""The relative pose of two images from matched SIFT features; for relocalization and for loop closure."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, rigid, transform_points
from slam3r_ros.vision.feature_image import DescribedImage, Features, normalized_xy
from slam3r_ros.vision.motion_only import motion_only_bundle_adjustment, reprojection_errors
from slam3r_ros.vision.pixel_unit import pixel_unit
from slam3r_ros.vision.pnp import PointObservations, ransac_pose
from slam3r_ros.vision.tuning import TUNING


@dataclass(frozen=True, slots=True, eq=False)
class RelativePose:
    """The relative pose of two images and the N matched features that agree with it."""

    T_after_before: Array
    """(4, 4) pose of the first camera in the second, in the unit of the known depths."""
    normalized_xy_before: Array
    """(N, 2) normalized image coordinates of the features in the first image."""
    log_depths_before: Array
    """(N,) logarithms of the features' depths in the first image."""
    pixels_after: NDArray[np.float32]
    """(N, 2) pixels of the features in the second image."""
    features_after: NDArray[np.intp]
    """(N,) indices of the features among those of the second image."""
    inlier_share: float
    """Share of all matches that agree with the relative pose."""

    @property
    def depths_after(self) -> Array:
        """(N,) depths of the features in the second image, along its optical axis."""
        rays = np.column_stack([self.normalized_xy_before, np.ones(len(self.normalized_xy_before))])
        return transform_points(self.T_after_before, rays * np.exp(self.log_depths_before)[:, None])[:, 2]


def estimate_relative_pose(
    before: DescribedImage,
    after: DescribedImage,
    known: tuple[Array, Array],
    match_ratio: float = TUNING.match_ratio,
) -> RelativePose | None:
    """The relative pose of two images; None where their matched features do not determine it.

    ``known``: normalized image coordinates (M, 2) in the first image at which logarithms of depths (M,) are known.
    Where these explain the matches, as after a rotation or a short translation, perspective-n-point gives the pose;
    else the essential matrix does, and the known depths give the translation's length. ``match_ratio``: that of the
    distances of a match and the second best one, at most.
    """
    first, second = _matches(before.features, after.features, match_ratio)
    if len(first) < TUNING.min_matches or len(known[0]) < TUNING.min_known_depths:
        return None
    matched = _Matches(normalized_xy(before, before.features.pixels[first]), second, after, known)
    by_pnp = matched.by_pnp()
    if by_pnp is not None and by_pnp.inlier_share >= TUNING.sufficient_pnp_share:
        return by_pnp
    found = [each for each in (by_pnp, matched.by_essential_matrix()) if each is not None]
    return max(found, key=lambda each: each.inlier_share, default=None)


class _Matches:
    """Matched features of two images."""

    def __init__(
        self, before_xy: Array, indices: NDArray[np.intp], after: DescribedImage, known: tuple[Array, Array]
    ) -> None:
        """Normalized image coordinates (N, 2) in the first image, indices (N,) of the second's features."""
        self._before_xy, self._indices, self._after = before_xy, indices, after
        unit = pixel_unit((after.height, after.width))
        self._outlier_px, self._sigma_px = TUNING.match_outlier_px * unit, TUNING.match_sigma_px * unit
        self._pixels = after.features.pixels[indices]
        self._rays = np.column_stack([before_xy, np.ones(len(before_xy))])
        squares = np.square(before_xy[:, None] - known[0][None]).sum(axis=2)
        self._known = known[1][squares.argmin(axis=1)]

    def by_pnp(self) -> RelativePose | None:
        """The pose by perspective-n-point, each feature at the known depth that is nearest to it in the image."""
        points = self._rays * np.exp(self._known)[:, None]
        fit = ransac_pose(
            PointObservations(points, self._pixels.astype(np.float64), self._after.matrix, self._outlier_px)
        )
        return None if fit is None else self._refined(fit.T_camera_world, self._known)

    def by_essential_matrix(self) -> RelativePose | None:
        """The pose by the essential matrix (Nister 2004), its length by the known depths."""
        one, two = self._before_xy, normalized_xy(self._after, self._pixels)
        cv2.setRNGSeed(0)
        sigma = self._sigma_px / float(self._after.matrix[0, 0])
        essential, agree = cv2.findEssentialMat(one, two, np.eye(3), cv2.RANSAC, 0.999, sigma)
        if essential is None or essential.shape != (3, 3) or agree.sum() < TUNING.min_matches:
            return None
        _, rotation, translation, mask, points = cv2.recoverPose(
            essential, one, two, np.eye(3), distanceThresh=TUNING.max_triangulation_distance, mask=agree.copy()
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            depths = points[2] / points[3]
        good = (mask[:, 0] > 0) & np.isfinite(depths) & (depths > 0)
        if good.sum() < TUNING.min_matches:
            return None
        log_depths = np.log(np.where(good, depths, np.nan))
        low, middle, high = np.percentile((self._known - log_depths)[good], [25, 50, 75])
        if (high - low) / 2 > TUNING.max_scale_spread:
            return None
        T = rigid(np.asarray(rotation, np.float64), np.exp(middle) * np.asarray(translation, np.float64).ravel())
        return self._refined(T, log_depths + middle)

    def _refined(self, start: Array, log_depths: Array) -> RelativePose | None:
        """The pose near a start that explains the features with a depth best, if enough of all agree with it."""
        good = np.isfinite(log_depths)
        points = self._rays[good] * np.exp(log_depths[good])[:, None]
        observed_xy, focal = normalized_xy(self._after, self._pixels[good]), float(self._after.matrix[0, 0])
        T = motion_only_bundle_adjustment(points, observed_xy, [start], self._sigma_px / focal, None)
        good[good] = reprojection_errors(points, observed_xy, T) * focal < self._outlier_px
        share = float(good.mean())
        if good.sum() < TUNING.min_matches or share < TUNING.min_match_share or not self._are_spread(good):
            return None
        return RelativePose(T, self._before_xy[good], log_depths[good], self._pixels[good], self._indices[good], share)

    def _are_spread(self, inliers: NDArray[np.bool_]) -> bool:
        """Whether features cover more than a strip or a spot of the image, which any motion might explain."""
        variances = np.linalg.svd(np.cov(self._pixels[inliers].T.astype(np.float64)), compute_uv=False)
        return bool(np.sqrt(variances[-1]) > TUNING.min_match_spread * min(self._after.width, self._after.height))


def _matches(one: Features, other: Features, ratio: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(N,) indices in each image of features that are each other's best match (Lowe 2004).

    As OpenCV's brute-force matcher, which makes objects of a hundred thousand pairs while nothing else can run.
    """
    nothing = np.zeros(0, np.intp)
    if min(len(one.pixels), len(other.pixels)) < 2:
        return nothing, nothing
    first, second = one.compared, other.compared
    lengths = np.einsum("ij,ij->i", first, first)[:, None] + np.einsum("ij,ij->i", second, second)
    squares = np.maximum(lengths - 2 * (first @ second.T), 0)
    nearest = squares.argmin(axis=1)
    best, next_best = np.partition(squares, 1, axis=1)[:, :2].T
    numbers = np.arange(len(first))
    matched = (best < ratio**2 * next_best) & (squares.argmin(axis=0)[nearest] == numbers)
    return numbers[matched], nearest[matched]
