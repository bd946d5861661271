"""The covariance of a camera's pose, from the reprojection error of the points that it was computed from.

It is the inverse of the information matrix of least squares, J' J over the measurement variance, as for any maximum
likelihood estimate with normal errors (Hartley and Zisserman, Multiple View Geometry, second edition, section 5.2; for
rotations Barfoot, State Estimation for Robotics, first edition, section 7.3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, cross_matrix, invert_rigid, transform_points
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.types import MapUpdate, PoseEstimate

MEDIAN_OF_NORM = 1.1774
"""Median length of a vector of two independent normal errors with standard deviation 1, which is sqrt(2 ln 2)."""


class PoseUncertainty:
    """Covariances of the poses of tracked frames, in their order.

    The pose of a frame that L2W registered has the `pose_covariance` of its points' reprojection error. Where visual
    odometry gives the pose alone, the covariance by its image tracks is too small, since they agree with each other
    better than the map does with the truth: that of the last frame that L2W gave a pose is added to it. The image
    tracks say how well the frame fits the keyframes, the points of that frame how well these fit the map.
    """

    def __init__(self) -> None:
        self._points_camera: Array = np.empty((0, 3))  # of the last registered frame, in its camera
        self._pose_by_points: PoseEstimate | None = None  # the last pose that L2W's points gave

    def observe(self, update: MapUpdate) -> None:
        """Keep the points that a tracked and registered frame observes; they stand for those of the frames up to the
        next one.
        """
        if update.pose is None or not len(update.pointmaps.points_world):
            return
        if not update.pose.by_tracks:
            self._pose_by_points = update.pose
        self._points_camera = transform_points(invert_rigid(update.pose.T_world_camera), patch_points(update))

    def covariances(self, pose: PoseEstimate, unit: float) -> tuple[Array, Array]:
        """Return two (6, 6) covariances of the camera's position and rotation, along its own axes.

        The first is that of the frame's own estimate alone, the second that of its pose on the map. ``unit`` is the
        published length of a scene unit.
        """
        own = self._with_errors_of(pose, unit)
        if not pose.by_tracks or self._pose_by_points is None:
            return own, own
        return own, own + self._with_errors_of(self._pose_by_points, unit)

    def _with_errors_of(self, pose: PoseEstimate, unit: float) -> Array:
        return pose_covariance(
            self._points_camera * unit,
            focal_px=pose.focal_px,
            reprojection_error_px=pose.reprojection_error_px,
            inlier_fraction=pose.inlier_fraction,
        )


class DriftCovariance:
    """The covariance of a pose that is the sum of motions: the errors of all frames add up, and an error of rotation
    turns all that comes after it (Barfoot, State Estimation for Robotics, first edition, section 7.3.1, to first
    order)."""

    def __init__(self) -> None:
        self._covariance: Array = np.zeros((6, 6))
        self._position: Array | None = None

    def add(self, position: Array, own: Array) -> Array:
        """Return the (6, 6) covariance of the next pose, which is at a position (3,) and has itself the covariance
        ``own`` (6, 6), both along the axes of the frame in which the motions are added up."""
        if self._position is not None:
            carried = np.eye(6)
            carried[:3, 3:] = -cross_matrix(position - self._position)
            self._covariance = carried @ self._covariance @ carried.T
        self._position, self._covariance = position, self._covariance + own
        return self._covariance


def pose_covariance(
    points_camera: Array, *, focal_px: float, reprojection_error_px: float, inlier_fraction: float
) -> Array:
    """Return the (6, 6) covariance of a camera's position and rotation, both along its own axes.

    ``points_camera`` (N, 3) are the points observed in N patches of the image, in front of the camera, any length;
    ``focal_px`` and the median reprojection error belong to one image. With p = (x, y, z) the inverse is

        H = w / s^2  sum_p J'J + diag(1/d^2, 1/d^2, 1/d^2, 1, 1, 1)
        J = 1/z [[1, 0, -x/z], [0, 1, -y/z]] [-I, [p]x]
        s = max(error, 0.05 px) / 1.1774 / focal          w = inlier fraction          d = median z

    the information matrix of least squares on normalized image coordinates, where a translation v and a rotation vector
    r of the camera move p in it by -v + p x r. It assumes that the patches' errors are normal and independent of each
    other, that outliers carry no information, and that the map is right: the error is that of the pose on the map; how
    far the map has drifted is not in it. The last term is a prior with the standard deviation of a depth and a radian,
    which bounds the covariance where little is observed. Translations are in the length of the points, squared;
    rotations in square radians.
    """
    points = points_camera[points_camera[:, 2] > 0]
    depth = float(np.median(points[:, 2])) if len(points) else 1.0
    points = points[points[:, 2] > TUNING.nearest_depth * depth]
    x, y, z = (points[:, axis] / depth for axis in range(3))
    zero = np.zeros_like(z)
    rows = np.stack(
        [
            np.stack([-1 / z, zero, x / z**2, x * y / z**2, -1 - x**2 / z**2, y / z], axis=1),
            np.stack([zero, -1 / z, y / z**2, 1 + y**2 / z**2, -x * y / z**2, -x / z], axis=1),
        ]
    ).reshape(-1, 6)
    sigma = max(reprojection_error_px, TUNING.least_error_px) / (MEDIAN_OF_NORM * focal_px)
    information = np.eye(6) + inlier_fraction / sigma**2 * rows.T @ rows
    to_lengths = np.diag([depth, depth, depth, 1, 1, 1])
    covariance = to_lengths @ np.linalg.inv(information) @ to_lengths
    return (covariance + covariance.T) / 2


def patch_points(update: MapUpdate) -> NDArray[np.float64]:
    """Return (N, 3) world points of a frame at the centres of its patches, scene units, without invalid ones.

    N is 0 for a frame without a pointmap.
    """
    points_world, patches = update.pointmaps.points_world, TUNING.covariance_patches
    rows, columns = (
        np.minimum((np.arange(patches) + 0.5) * side / patches, side - 1).astype(int) if side else np.zeros(0, int)
        for side in points_world.shape[:2]
    )
    points = points_world[np.ix_(rows, columns)].reshape(-1, 3).astype(np.float64)
    return points[np.isfinite(points).all(axis=1) & points.any(axis=1)]


def transform_covariance(covariance: Array, T_camera_base: Array, axes: Array) -> Array:
    """Return the (6, 6) covariance of a base that is fixed to the camera, along other axes, from that of the camera.

    ``covariance`` is along the camera's own axes, and ``axes`` (3, 3) takes them to the new ones. A rotation of the
    camera moves the base around it: the lever arm is in the block of translations by rotations (the adjoint, Barfoot,
    State Estimation for Robotics, first edition, section 7.1.4).
    """
    x, y, z = T_camera_base[:3, 3]
    change = np.zeros((6, 6))
    change[:3, :3] = change[3:, 3:] = axes
    change[:3, 3:] = -axes @ np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    transformed = change @ covariance @ change.T
    return (transformed + transformed.T) / 2
