"""A picture of a map and the way through it: from above and in perspective."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.cli.point_view import seen_from
from slam3r_ros.geometry.se3 import invert_rigid, rigid, transform_points
from slam3r_ros.types import MapPoints, StampedPose

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS_DRAWN = 60_000
_VIEW_PX, _VIEW_DEGREES, _VIEW_DOWN_DEGREES, _VIEW_DISTANCE = (900, 800), 60.0, 30.0, 1.0
"""Of the view in perspective: width and height, field of view, how far it looks down, and from where, over the map's
diagonal."""
_TRAJECTORY_COLOUR = "#ff2d55"
_OUTLIERS_PERCENT = 1.0


def draw_map(path: Path, points: MapPoints, trajectory: list[StampedPose], title: str) -> None:
    """Write a PNG. Points and poses are in map axes (x forward, y left, z up); either may be empty."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    positions = np.array([pose.T_world_camera[:3, 3] for pose in trajectory]).reshape(-1, 3)
    low, high = _limits(points.points_world, positions)
    figure = Figure(figsize=(16, 8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    _draw_from_above(figure.add_subplot(1, 2, 1), points, positions, low, high)
    _draw_in_perspective(figure.add_subplot(1, 2, 2), points, trajectory, low, high)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _limits(points: NDArray[np.float32], positions: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Corners of a box around all but the outermost points, and the whole way."""
    corners = [positions] if len(positions) else []
    if len(points):
        corners.append(np.percentile(points, [_OUTLIERS_PERCENT, 100 - _OUTLIERS_PERCENT], axis=0))
    if not corners:
        return np.full(3, -1.0), np.full(3, 1.0)
    everything = np.concatenate(corners)
    low, high = everything.min(axis=0), everything.max(axis=0)
    margin = np.maximum(0.03 * (high - low).max(), 1e-3)
    return low - margin, high + margin


def _inside(points: NDArray[np.float32], low: NDArray[Any], high: NDArray[Any], limit: int) -> NDArray[np.intp]:
    """Indices of at most ``limit`` points inside the box, the same at every call."""
    indices = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
    if len(indices) > limit:
        indices = np.sort(np.random.default_rng(0).choice(indices, limit, replace=False))
    return indices


def _draw_from_above(
    axes: Axes, points: MapPoints, positions: NDArray[np.float64], low: NDArray[Any], high: NDArray[Any]
) -> None:
    """x to the top, y to the left. What is well above the camera is left out, so that a ceiling hides nothing."""
    top = high.copy()
    if len(positions):
        top[2] = min(high[2], positions[:, 2].max() + 0.15 * (high[2] - low[2]))
    chosen = _inside(points.points_world, low, top, _POINTS_DRAWN)
    chosen = chosen[np.argsort(points.points_world[chosen, 2])]
    x, y, _ = points.points_world[chosen].T
    axes.scatter(y, x, s=1.5, c=points.colours[chosen] / 255.0, linewidths=0)
    axes.plot(positions[:, 1], positions[:, 0], color=_TRAJECTORY_COLOUR, linewidth=1.5)
    axes.set_xlim(high[1], low[1])
    axes.set_ylim(low[0], high[0])
    axes.set_aspect("equal")
    axes.set_xlabel("y, left [scene units]")
    axes.set_ylabel("x, forward [scene units]")
    axes.set_title("from above")


def _draw_in_perspective(
    axes: Axes, points: MapPoints, trajectory: list[StampedPose], low: NDArray[Any], high: NDArray[Any]
) -> None:
    """Seen from behind and above, in the direction in which the camera looked on average."""
    axes.set_axis_off()
    axes.set_title("in perspective, in the direction in which the camera looked")
    if not trajectory or not len(points):
        return
    width, height = _VIEW_PX
    focal = 0.5 * width / np.tan(np.radians(_VIEW_DEGREES / 2))
    inside = _inside(points.points_world, low, high, len(points))
    T = _behind(trajectory, (low + high) / 2, float(np.linalg.norm(high - low)))
    side = _voxel_side(points.points_world)
    axes.imshow(seen_from(points.points_world[inside], points.colours[inside], T, (height, width), focal, side))
    way = transform_points(invert_rigid(T), np.array([pose.T_world_camera[:3, 3] for pose in trajectory]))
    way = way[way[:, 2] > 0]
    x, y = focal * way[:, 0] / way[:, 2] + width / 2, focal * way[:, 1] / way[:, 2] + height / 2
    axes.plot(x, y, color=_TRAJECTORY_COLOUR, linewidth=1.5)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def _behind(trajectory: list[StampedPose], middle: NDArray[Any], extent: float) -> NDArray[np.float64]:
    """(4, 4) pose of a camera that looks at the middle of what the others saw, so far away that all is seen."""
    ahead = np.mean([pose.T_world_camera[:3, 2] for pose in trajectory], axis=0)
    ahead[2] = 0
    forward = ahead / max(float(np.linalg.norm(ahead)), 1e-9) if np.linalg.norm(ahead) > 0.1 else np.array([1.0, 0, 0])
    up = np.array([0.0, 0, 1])
    looks = forward - np.tan(np.radians(_VIEW_DOWN_DEGREES)) * up
    looks = looks / np.linalg.norm(looks)
    right = np.cross(forward, up)
    return rigid(np.stack([right, np.cross(looks, right), looks], axis=1), middle - _VIEW_DISTANCE * extent * looks)


def _voxel_side(points: NDArray[np.float32]) -> float:
    """What the map's voxels measure, by the distances of some points to their nearest neighbours."""
    sample = np.random.default_rng(0).choice(len(points), min(len(points), 60), replace=False)
    nearest = [np.partition(np.abs(points - points[index]).max(axis=1), 1)[1] for index in sample if len(points) > 1]
    return float(np.median(nearest)) if nearest else 1.0
