"""Which keyframes see which points, and where: the tracks of a sparse model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.se3 import invert_rigid, transform_points

AGREEMENT = 0.03
"""A keyframe sees a point if its own depth at that pixel differs from the point's by less than this share."""


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """The points that one keyframe sees."""

    view: KeyframeView
    points: NDArray[np.intp]
    """(K,) indices of the points, ascending."""
    pixels: NDArray[np.float64]
    """(K, 2) column and row of the points' projections in the keyframe's image, pixel centres at integers."""


def observations(points_world: NDArray[np.float32], keyframes: Sequence[KeyframeView]) -> Iterator[Observations]:
    """Yield what each keyframe sees of points (N, 3), both in the world of the engine."""
    for view in keyframes:
        in_camera = transform_points(invert_rigid(view.T_world_camera), points_world)
        front = np.flatnonzero(in_camera[:, 2] > 0)
        x, y, z = in_camera[front].T
        camera, on_depth = view.camera, view.depth_camera
        pixels = np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], axis=1)
        columns = np.rint(on_depth.fx * x / z + on_depth.cx)
        rows = np.rint(on_depth.fy * y / z + on_depth.cy)
        height, width = view.depth.shape
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        inside &= (pixels > -0.5).all(axis=1) & (pixels < [camera.width - 0.5, camera.height - 0.5]).all(axis=1)
        kept = np.flatnonzero(inside)
        own = view.depth[rows[kept].astype(np.intp), columns[kept].astype(np.intp)]
        seen = kept[np.abs(own - z[kept]) < AGREEMENT * z[kept]]  # False where the depth is not known
        yield Observations(view, front[seen], pixels[seen])
