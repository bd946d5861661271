"""Camera poses from world pointmaps: a start by PnP or by the similarity to the own pointmap, refined on both."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.focal import FIELD_OF_VIEW_DEFAULT, fit_focal, focal_from_field_of_view
from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.geometry.umeyama import robust_umeyama
from slam3r_ros.settings import PoseSettings
from slam3r_ros.types import PoseEstimate
from slam3r_ros.vision.pnp import PointObservations, PoseFit, evaluate_pose, ransac_pose
from slam3r_ros.vision.pose_refinement import refine_pose


class CameraPoseEstimator:
    """Computes the pose of one frame after the other; remembers nothing but the focal lengths seen.

    Deterministic: the same frames give the same poses.
    """

    def __init__(self, settings: PoseSettings) -> None:
        self._settings = settings
        self._focals: deque[float] = deque(maxlen=TUNING.remembered_focal_lengths)
        self._shape: tuple[int, int] | None = None

    def reset(self) -> None:
        """Forget the focal lengths seen."""
        self._focals.clear()
        self._shape = None

    def focal_px(self, height: int, width: int) -> float:
        """The focal length assumed without known intrinsics: the median of the frames seen, else that of 60 degrees."""
        if self._focals and self._shape == (height, width):
            return float(np.median(self._focals))
        return focal_from_field_of_view(FIELD_OF_VIEW_DEFAULT, width, height)

    def learn_focal(self, points_camera: NDArray[np.float32], confidence_camera: NDArray[np.float32]) -> None:
        """Take a frame's own pointmap, (H, W, 3) and (H, W), into the running focal length.

        `estimate` does this by itself. Call it for frames that come before the first estimate (the initial window's
        reference), so that frames without a pointmap of their own find a focal length.
        """
        focal = fit_focal(points_camera, confidence_camera)
        if focal is None:
            return
        if self._shape != confidence_camera.shape:
            self._focals.clear()
            self._shape = (confidence_camera.shape[0], confidence_camera.shape[1])
        self._focals.append(focal)

    def estimate(
        self,
        points_world: NDArray[np.float32],
        confidence: NDArray[np.float32],
        points_camera: NDArray[np.float32],
        confidence_camera: NDArray[np.float32],
        camera: Camera | None = None,
        focal_px: float | None = None,
    ) -> PoseEstimate | None:
        """The pose of a frame, or None where neither PnP nor the similarity gives one.

        ``points_world`` (H, W, 3) scene units and ``confidence`` (H, W) are L2W's; ``points_camera`` (H, W, 3), any
        unit, zero where invalid (all zero for a frame without its own), and ``confidence_camera`` (H, W) are I2P's.
        ``camera`` is the pinhole of the crop, used if the settings allow it; otherwise the focal length is ``focal_px``
        or, without it, the running median of what the frames' own pointmaps say, and the principal point the centre.
        Points that the network knows nothing of (by their confidence) are not tested. A tested world point that is not
        finite counts as an outlier; a world point of exactly (0, 0, 0) is the mark of an invalid one and not tested.

        A low inlier fraction is not an error: the caller decides what is too low. The scale and the similarity's error
        are NaN where the similarity cannot be computed; the reprojection error is infinite where there is no inlier.
        Raises ValueError when the shapes do not fit each other.
        """
        _check_shapes(points_world, confidence, points_camera, confidence_camera, camera)
        height, width = confidence.shape
        if camera is not None and self._settings.use_camera_info:
            matrix = camera.matrix
        else:
            self.learn_focal(points_camera, confidence_camera)
            focal = focal_px or self.focal_px(height, width)
            matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])

        rows, columns = _tested_pixels(points_world, confidence)
        observed = PointObservations(
            points_world=points_world[rows, columns].astype(np.float64),
            pixels=np.stack([columns, rows], axis=1).astype(np.float64),
            matrix=matrix,
            threshold_px=self._settings.inlier_threshold * width,
        )
        similarity = _similarity(points_world, points_camera, confidence * confidence_camera, rows, columns)
        best = _best_fit(observed, points_camera[rows, columns].astype(np.float64), similarity)
        if best is None:
            return None
        return _describe(observed, best, similarity)


def why_lost(pose: PoseEstimate | None, mean_confidence: float, settings: PoseSettings) -> str:
    """Why a frame with this pose and mean L2W confidence counts as lost; empty if it does not."""
    if pose is None:
        return "no pose fits the frame's points"
    if pose.inlier_fraction < settings.minimum_inliers:
        return f"only {pose.inlier_fraction:.0%} of the points fit the pose, needed {settings.minimum_inliers:.0%}"
    if mean_confidence < settings.minimum_confidence:
        return f"confidence {mean_confidence:.2f}, needed {settings.minimum_confidence:.2f}"
    return ""


def _check_shapes(
    points_world: NDArray[np.float32],
    confidence: NDArray[np.float32],
    points_camera: NDArray[np.float32],
    confidence_camera: NDArray[np.float32],
    camera: Camera | None,
) -> None:
    shape = confidence.shape
    shapes = (points_world.shape, shape, points_camera.shape, confidence_camera.shape)
    if len(shape) != 2 or shapes != ((*shape, 3), shape, (*shape, 3), shape):
        raise ValueError(f"pose: expected pointmaps (H, W, 3) and confidences (H, W) of one size, got {shapes}")
    if camera is not None and (camera.height, camera.width) != shape:
        size = f"{camera.width} x {camera.height}"
        raise ValueError(f"pose: expected the camera of the crop, {shape[1]} x {shape[0]}, got one of {size}")


def _tested_pixels(
    points_world: NDArray[np.float32], confidence: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns, at most `EngineTuning.pose_points` of each, spread evenly over the pixels that the network
    knows something of."""
    x, y, z = points_world[..., 0], points_world[..., 1], points_world[..., 2]
    usable = np.isfinite(confidence) & ((x != 0) | (y != 0) | (z != 0))
    known = np.sort(confidence[usable][::7])
    sure = float(known[int(TUNING.sure_confidence_quantile * (len(known) - 1))]) if len(known) else 1.0
    tested = usable & (confidence >= min(sure, 1 + TUNING.min_relative_confidence * (sure - 1)))
    indices = np.flatnonzero(tested)
    if len(indices) > TUNING.pose_points:
        indices = indices[np.linspace(0, len(indices) - 1, TUNING.pose_points).astype(np.intp)]
    rows, columns = np.divmod(indices, confidence.shape[1])
    return rows, columns


def _similarity(
    points_world: NDArray[np.float32],
    points_camera: NDArray[np.float32],
    weights: NDArray[np.float32],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> Sim3 | None:
    """The similarity from a frame's own points to its world points, over those tested pixels where both are valid."""
    source = points_camera[rows, columns]
    valid = np.flatnonzero(source.any(axis=1))
    if len(valid) > TUNING.similarity_points:
        valid = valid[np.linspace(0, len(valid) - 1, TUNING.similarity_points).astype(np.intp)]
    return robust_umeyama(source[valid], points_world[rows, columns][valid], weights[rows, columns][valid])


def _best_fit(observed: PointObservations, points_camera: Array, similarity: Sim3 | None) -> PoseFit | None:
    """The pose refined from the better of PnP's and the similarity's; the similarity's as it is where PnP fails."""
    if similarity is None:
        start = ransac_pose(observed)
        return None if start is None else refine_pose(observed, np.zeros_like(points_camera), start, 1.0)
    second = evaluate_pose(observed, invert_rigid(similarity.pose))
    if second.inlier_fraction >= TUNING.good_start_inlier_share:
        return refine_pose(observed, points_camera, second, float(similarity.scale))
    start = ransac_pose(observed)
    if start is None:
        return second
    best = refine_pose(observed, points_camera, min(start, second, key=lambda fit: fit.cost), float(similarity.scale))
    return best if best.inlier_fraction >= TUNING.min_pnp_inlier_share else second


def _describe(observed: PointObservations, best: PoseFit, similarity: Sim3 | None) -> PoseEstimate:
    T_world_camera = invert_rigid(best.T_camera_world)
    errors = best.errors_px[best.inliers]
    return PoseEstimate(
        T_world_camera=T_world_camera,
        focal_px=math.sqrt(observed.matrix[0, 0] * observed.matrix[1, 1]),
        inlier_fraction=best.inlier_fraction,
        reprojection_error_px=float(np.median(errors)) if len(errors) else math.inf,
        scale=float(similarity.scale) if similarity is not None else math.nan,
        similarity_error=_similarity_error(observed, best, similarity, T_world_camera),
    )


def _similarity_error(
    observed: PointObservations, best: PoseFit, similarity: Sim3 | None, T_world_camera: Array
) -> float:
    """Distance of the two positions as a fraction of the inliers' mean depth (of all points' without inliers)."""
    if similarity is None:
        return math.nan
    used = best.inliers if best.inliers.any() else np.isfinite(observed.points_world).all(axis=1)
    depths = np.abs(transform_points(best.T_camera_world, observed.points_world[used])[:, 2])
    distance = float(np.linalg.norm(similarity.translation - T_world_camera[:3, 3]))
    mean_depth = float(depths.mean()) if len(depths) else 0.0
    return distance / mean_depth if mean_depth > 0 else math.nan
