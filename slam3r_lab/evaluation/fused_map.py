"""The map as it is saved and shown, against the true points of the whole images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slam3r_lab.evaluation.alignment import iterative_closest_point
from slam3r_lab.evaluation.clouds import ICP_POINTS, AlignedCloud, Cloud, CloudMetrics, cloud_metrics, random_choice
from slam3r_lab.evaluation.samples import PixelChoice
from slam3r_lab.sequences.sequence import ImageSequence, SequenceError
from slam3r_ros.geometry.se3 import transform_points
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.types import MapPoints


def compare_map(
    points: MapPoints, by_trajectory: Sim3, sequence: ImageSequence, positions: Sequence[int], choice: PixelChoice
) -> CloudMetrics | None:
    """Of all points of the map against what the frames at those positions of the sequence truly see, in all of their
    image; None where there are no points, or no frame has depth, intrinsics and a pose."""
    seen = [true_points(sequence, position, choice) for position in positions]
    true = np.concatenate(seen) if seen else np.empty((0, 3))
    if not len(true) or not len(points):
        return None
    return compare_points(points, by_trajectory, Cloud(true, np.zeros_like(true)), choice.seed).metrics


def compare_points(points: MapPoints, by_trajectory: Sim3, true: Cloud, seed: int) -> AlignedCloud:
    """Points without pixels: placed by the trajectory's alignment, then ICP."""
    tree = cKDTree(true.points)
    placed = by_trajectory.apply(points.points_world)
    chosen = np.arange(len(placed))
    if len(chosen) > ICP_POINTS:
        chosen = random_choice(chosen, ICP_POINTS, seed)
    alignment = iterative_closest_point(placed[chosen], tree, true.points) @ by_trajectory
    estimated = Cloud(alignment.apply(points.points_world), np.zeros((len(points), 3)))
    metrics = cloud_metrics(estimated, true, seed, tree)
    return AlignedCloud(alignment, metrics, metrics)


def true_points(sequence: ImageSequence, position: int, choice: PixelChoice) -> NDArray[np.float64]:
    """(N, 3) what a frame truly sees, metres: the chosen pixels of its depth image; none where it has no depth,
    intrinsics or pose."""
    frame, nothing = sequence.frames[position], np.empty((0, 3))
    try:
        depth = sequence.depth(frame)
    except SequenceError:
        return nothing  # reported where the frame's pointmap is made
    camera = None if depth is None else sequence.camera_of(depth)
    if depth is None or camera is None or frame.T_world_camera is None:
        return nothing
    rows, columns = np.divmod(choice.of(position, depth.size), depth.shape[1])
    z = depth[rows, columns].astype(np.float64)
    x, y = (columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z
    return transform_points(frame.T_world_camera, np.stack([x, y, z], axis=1)[z > 0])
