"""How much of what one frame sees another sees too, by true depth and poses; and how well retrieval finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slam3r_lab.sequences.truth import TruePointmap
from slam3r_ros.geometry.se3 import invert_rigid, transform_points
from slam3r_ros.types import Registration

GRID_STEP = 4
"""Every fourth pixel across and down is looked at."""
DEPTH_TOLERANCE = 0.05
"""A point is seen by another frame where that frame's depth differs by no more than this share."""
MOST_REGISTRATIONS = 60


@dataclass(frozen=True, slots=True)
class RetrievalMetrics:
    """The choices that the engine made while it ran."""

    choices: int
    """Retrievals looked at, those that had more candidates than they needed."""
    precision: float
    """Share of the chosen keyframes that are among the same number of truly most overlapping candidates."""
    overlap_chosen: float
    """Mean true overlap of the chosen with the frame to be registered."""
    overlap_best: float
    """The same for the best choice."""
    overlap_random: float
    """The same for a choice at random: the mean over all candidates."""


def overlap(query: TruePointmap, other: TruePointmap) -> float:
    """Share of the query's points (valid ones, on a grid) that the other frame sees: inside its image, not hidden.

    Both poses must be known. 0 where the query has no point.
    """
    assert query.T_world_camera is not None and other.T_world_camera is not None
    points = query.points_camera[::GRID_STEP, ::GRID_STEP].reshape(-1, 3)
    points = points[query.valid[::GRID_STEP, ::GRID_STEP].reshape(-1)]
    if not len(points):
        return 0.0
    seen = transform_points(invert_rigid(other.T_world_camera) @ query.T_world_camera, points)
    camera = other.camera
    ahead = np.flatnonzero(seen[:, 2] > 1e-6)
    x, y, z = seen[ahead].T
    columns = np.rint(x / z * camera.fx + camera.cx)
    rows = np.rint(y / z * camera.fy + camera.cy)
    inside = (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
    rows, columns, z = rows[inside].astype(np.intp), columns[inside].astype(np.intp), z[inside]
    depth = other.points_camera[rows, columns, 2]
    visible = other.valid[rows, columns] & (np.abs(depth - z) <= DEPTH_TOLERANCE * z)
    return float(np.count_nonzero(visible) / len(points))


def measure_retrieval(
    registrations: Sequence[Registration], truth: Mapping[int, TruePointmap]
) -> RetrievalMetrics | None:
    """Compare choices with true overlap; ``truth`` by the engine's frame index. At most `MOST_REGISTRATIONS`, evenly
    spread, are looked at. None where there was nothing to choose, or no truth for it.
    """
    known = {index: each for index, each in truth.items() if each.T_world_camera is not None}
    real = [
        each
        for each in registrations
        if each.candidate_scores and each.registered[0] in known and set(each.candidates) <= known.keys()
    ]
    if not real:
        return None
    picks = np.unique(np.linspace(0, len(real) - 1, min(len(real), MOST_REGISTRATIONS)).round().astype(int))
    precisions, chosen_overlaps, best_overlaps, random_overlaps = [], [], [], []
    for registration in (real[pick] for pick in picks):
        query = known[registration.registered[0]]
        overlaps = np.array([overlap(query, known[candidate]) for candidate in registration.candidates])
        count = len(registration.scene_frames)
        best = np.argsort(-overlaps, kind="stable")[:count]
        chosen = [registration.candidates.index(frame) for frame in registration.scene_frames]
        # Candidates as good as the worst of the best count as best: which of them comes first is chance.
        precisions.append(float(np.mean(overlaps[chosen] >= overlaps[best[-1]])))
        chosen_overlaps.append(float(overlaps[chosen].mean()))
        best_overlaps.append(float(overlaps[best].mean()))
        random_overlaps.append(float(overlaps.mean()))
    means = (float(np.mean(each)) for each in (precisions, chosen_overlaps, best_overlaps, random_overlaps))
    return RetrievalMetrics(len(picks), *means)
