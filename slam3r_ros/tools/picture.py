"""A picture of a map and the way through it: from above and in perspective."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.types import MapPoints, StampedPose

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS_DRAWN = 60_000
_POINTS_IN_PERSPECTIVE = 20_000
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
    _draw_in_perspective(figure.add_subplot(1, 2, 2, projection="3d"), points, positions, low, high)
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
    axes: Any, points: MapPoints, positions: NDArray[np.float64], low: NDArray[Any], high: NDArray[Any]
) -> None:
    chosen = _inside(points.points_world, low, high, _POINTS_IN_PERSPECTIVE)
    x, y, z = points.points_world[chosen].T
    axes.scatter(x, y, z, s=1.5, c=points.colours[chosen] / 255.0, linewidths=0, depthshade=False)
    axes.plot(*positions.T, color=_TRAJECTORY_COLOUR, linewidth=1.5)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_zlim(low[2], high[2])
    axes.set_box_aspect(high - low)
    axes.set_proj_type("persp", focal_length=0.6)
    axes.view_init(elev=35, azim=-150)
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    axes.set_zlabel("z")
    axes.set_title("in perspective, seen from behind the first camera")
