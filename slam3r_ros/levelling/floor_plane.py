"""The floor in the depth of one keyframe: the largest plane with nothing below it, by RANSAC (Fischler, Bolles
1981)."""

from __future__ import annotations

import numpy as np

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.levelling.tuning import TUNING


def floor_normal(view: KeyframeView) -> Array | None:
    """(3,) the normal of the floor that a keyframe sees, in the world, pointing up; None where it sees none.

    A plane is a floor if the camera is above it, hardly any point is below it, it has enough of the points, and its
    normal is not too far from the camera's own vertical axis (y, downwards).
    """
    rows, columns = np.nonzero(np.isfinite(view.depth))
    if len(rows) < TUNING.floor_points // 10:
        return None
    random = np.random.default_rng(view.id)  # so that results depend on the keyframe alone
    chosen = random.choice(len(rows), min(TUNING.floor_points, len(rows)), replace=False)
    rows, columns = rows[chosen], columns[chosen]
    z, camera = view.depth[rows, columns].astype(np.float64), view.depth_camera
    points = np.stack([(columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z, z], axis=1)
    thickness = TUNING.floor_thickness * float(np.median(z))
    best, most = None, TUNING.min_floor_share * len(points)
    triples = points[random.integers(0, len(points), (TUNING.floor_samples, 3))]
    normals = np.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    for normal, through in zip(normals, triples[:, 0], strict=True):
        length = float(np.linalg.norm(normal))
        if length < 1e-12:
            continue
        up = normal / length * (-1.0 if normal[1] > 0 else 1.0)
        if -up[1] < np.cos(TUNING.max_floor_tilt_rad) or up @ through >= 0:  # tilted too far, or above the camera
            continue
        heights = (points - through) @ up
        on_plane = np.abs(heights) <= thickness
        if on_plane.sum() > most and (heights < -2 * thickness).mean() <= TUNING.max_share_below:
            best, most = on_plane, float(on_plane.sum())
    if best is None:
        return None
    centred = points[best] - points[best].mean(axis=0)
    normal = np.linalg.svd(centred, full_matrices=False)[2][2]
    up = normal * (-1.0 if normal[1] > 0 else 1.0)
    if -up[1] < np.cos(TUNING.max_floor_tilt_rad):
        return None
    return np.asarray(view.T_world_camera[:3, :3] @ up)
