"""How far off a pose may be, from how well the points it was computed from agree with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points
from slam3r_ros.types import MapUpdate, PoseEstimate

PATCHES = 8
"""Rows and columns of patches in an image. The errors within one patch count as one: networks and maps err smoothly."""
NEAREST = 0.1
"""Depth, over the median one, below which a point is left out: it would outweigh all others."""
LEAST_ERROR_PX = 0.05
"""Reprojection error that is assumed where it is smaller: nothing is measured better."""
MEDIAN_OF_NORM = 1.1774
"""Median length of a vector of two normal errors of deviation 1: sqrt(2 ln 2)."""


class PoseUncertainty:
    """Covariances of one tracked frame after the other.

    That of a frame that L2W located is `pose_covariance` of its points' reprojection error. Image tracks that have
    moved it have a smaller one, which tells too little: they agree with each other better than the map does with the
    truth. A frame whose pose image tracks alone give has that of its tracks added to that of the last frame that L2W
    located: the tracks tell how well it fits the keyframes, these how well they fit the map.
    """

    def __init__(self) -> None:
        self._seen: Array = np.empty((0, 3))
        self._by_points: PoseEstimate | None = None

    def look(self, update: MapUpdate) -> None:
        """Note what a tracked frame that was registered saw; it stands for what the frames up to the next one see."""
        if update.pose is None or not len(update.pointmaps.points_world):
            return
        if not update.pose.by_tracks:
            self._by_points = update.pose
        self._seen = transform_points(invert_rigid(update.pose.T_world_camera), patch_points(update))

    def of(self, pose: PoseEstimate, unit: float) -> tuple[Array, Array]:
        """(6, 6) of the camera's position and rotation along its own axes: of the frame's own estimate alone, and of
        its pose on the map; ``unit`` is the length of a scene unit.
        """
        own = self._with_qualities_of(pose, unit)
        if not pose.by_tracks or self._by_points is None:
            return own, own
        return own, own + self._with_qualities_of(self._by_points, unit)

    def _with_qualities_of(self, pose: PoseEstimate, unit: float) -> Array:
        return pose_covariance(
            self._seen * unit,
            focal_px=pose.focal_px,
            reprojection_error_px=pose.reprojection_error_px,
            inlier_fraction=pose.inlier_fraction,
        )


def pose_covariance(
    points_camera: Array, *, focal_px: float, reprojection_error_px: float, inlier_fraction: float
) -> Array:
    """(6, 6) covariance of a camera's position and rotation, both along its own axes.

    ``points_camera`` (N, 3) are what was seen in N patches of the image, in front of the camera, any length;
    ``focal_px`` and the median reprojection error belong to one image. With p = (x, y, z) the inverse is

        H = w / s^2  sum_p J'J + diag(1/d^2, 1/d^2, 1/d^2, 1, 1, 1)
        J = 1/z [[1, 0, -x/z], [0, 1, -y/z]] [-I, [p]x]
        s = max(error, 0.05 px) / 1.1774 / focal          w = inlier fraction          d = median z

    the information of least squares, where moving and turning the camera by (v, r) moves p in it by -v + p x r. It
    assumes that the patches' errors are normal and independent of each other, that outliers tell nothing, and that
    the map is right: the error is that of the pose on the map; how far the map has drifted is not in it. The last term
    bounds it where little is seen: nobody is less sure than a depth and a radian. Translations are in the length of
    the points, squared; rotations in square radians.
    """
    points = points_camera[points_camera[:, 2] > 0]
    depth = float(np.median(points[:, 2])) if len(points) else 1.0
    points = points[points[:, 2] > NEAREST * depth]
    x, y, z = (points[:, axis] / depth for axis in range(3))
    zero = np.zeros_like(z)
    rows = np.stack(
        [
            np.stack([-1 / z, zero, x / z**2, x * y / z**2, -1 - x**2 / z**2, y / z], axis=1),
            np.stack([zero, -1 / z, y / z**2, 1 + y**2 / z**2, -x * y / z**2, -x / z], axis=1),
        ]
    ).reshape(-1, 6)
    deviation = max(reprojection_error_px, LEAST_ERROR_PX) / (MEDIAN_OF_NORM * focal_px)
    information = np.eye(6) + inlier_fraction / deviation**2 * rows.T @ rows
    to_lengths = np.diag([depth, depth, depth, 1, 1, 1])
    covariance = to_lengths @ np.linalg.inv(information) @ to_lengths
    return (covariance + covariance.T) / 2


def patch_points(update: MapUpdate) -> NDArray[np.float64]:
    """(N, 3) world points of a frame in the middles of its patches, scene units, without invalid ones.

    There is none for a frame without a pointmap.
    """
    rows, columns = (
        np.minimum((np.arange(PATCHES) + 0.5) * side / PATCHES, side - 1).astype(int) if side else np.zeros(0, int)
        for side in update.pointmaps.points_world.shape[:2]
    )
    points = update.pointmaps.points_world[np.ix_(rows, columns)].reshape(-1, 3).astype(np.float64)
    return points[np.isfinite(points).all(axis=1) & points.any(axis=1)]


def at_base(covariance: Array, T_camera_base: Array, axes: Array) -> Array:
    """(6, 6) the covariance of a base fixed to the camera, along other axes, from the camera's along its own.

    ``axes`` (3, 3) takes the camera's to the new ones. The base's position turns with the camera around it.
    """
    x, y, z = T_camera_base[:3, 3]
    change = np.zeros((6, 6))
    change[:3, :3] = change[3:, 3:] = axes
    change[:3, 3:] = -axes @ np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    moved = change @ covariance @ change.T
    return (moved + moved.T) / 2
