"""A figure of a map and the trajectory through it: a plan from above, and a view in perspective."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.cli.trajectory_error import TrueTrajectory
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points
from slam3r_ros.render.canvas import BLACK, GREY, Canvas, Colour, Rectangle
from slam3r_ros.render.cloud import SplatCloud
from slam3r_ros.render.renderer import render
from slam3r_ros.render.views import PerspectiveView, PlanView, look_at
from slam3r_ros.types import StampedPose

_ESTIMATED_COLOUR: Colour = (255, 45, 85)
_TRUE_COLOUR: Colour = (28, 126, 214)
_WHITE: Colour = (255, 255, 255)
_TRAJECTORY_NAMES = ("estimated trajectory", "true trajectory, aligned", "start")


@dataclass(frozen=True, slots=True)
class FigureTuning:
    """How the figure is laid out and what it shows."""

    size: tuple[int, int] = (1600, 860)
    """Width and height of the figure in pixels."""
    plan: Rectangle = field(default_factory=lambda: Rectangle(70, 110, 740, 680))
    """Where the plan lies; it is made narrower or lower where the map is."""
    view: Rectangle = field(default_factory=lambda: Rectangle(850, 110, 720, 680))
    """Where the view in perspective lies."""
    outliers_percent: float = 1.0
    """Share of the points that may lie outside the figure at each end of each axis."""
    margin: float = 0.04
    """Space around the map as a share of its largest extent."""
    ceiling: float = 0.15
    """How far above the highest camera the plan shows points, as a share of the map's height: a ceiling would hide
    everything."""
    view_degrees: float = 50.0
    """Horizontal field of view of the view in perspective."""
    view_down_degrees: float = 32.0
    """How far the view in perspective looks down."""


TUNING = FigureTuning()


def draw_map(
    path: Path, cloud: SplatCloud, trajectory: list[StampedPose], title: str, truth: TrueTrajectory | None = None
) -> None:
    """Write a PNG. Cloud and poses are in map axes (x forward, y left, z up); either may be empty.

    With the truth, the scale bar is in metres. Raises OutputError.
    """
    estimated = np.array([pose.T_world_camera[:3, 3] for pose in trajectory]).reshape(-1, 3)
    lines = [(estimated, _ESTIMATED_COLOUR, 2.2)]
    if truth is not None:
        lines.insert(0, (truth.positions, _TRUE_COLOUR, 6.0))  # below and wider, so that both are seen
    low, high = _limits(cloud.points, [positions for positions, _, _ in lines])
    canvas = Canvas(*TUNING.size)
    canvas.text(TUNING.size[0] / 2, 38, title, 17, align="centre")
    _draw_legend(canvas, has_truth=truth is not None)
    _draw_plan(canvas, cloud, lines, (low, high), None if truth is None else truth.metres_per_unit)
    _draw_view(canvas, cloud, trajectory, lines, (low, high))
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path)


Lines = list[tuple[Array, Colour, float]]
"""Trajectories: positions (N, 3), colour, width in pixels."""


def _limits(points: NDArray[np.float32], lines: list[Array]) -> tuple[Array, Array]:
    """Corners of a box around all but the outermost points, and around the trajectories."""
    corners = [positions for positions in lines if len(positions)]
    if len(points):
        corners.append(np.percentile(points, [TUNING.outliers_percent, 100 - TUNING.outliers_percent], axis=0))
    if not corners:
        return np.full(3, -1.0), np.full(3, 1.0)
    everything = np.concatenate(corners)
    low, high = everything.min(axis=0), everything.max(axis=0)
    margin = np.maximum(TUNING.margin * (high - low).max(), 1e-3)
    return low - margin, high + margin


def _draw_legend(canvas: Canvas, *, has_truth: bool) -> None:
    """One row below the title: the trajectories and where they begin."""
    names = [_TRAJECTORY_NAMES[0], *([_TRAJECTORY_NAMES[1]] if has_truth else []), _TRAJECTORY_NAMES[2]]
    colours = [_ESTIMATED_COLOUR, *([_TRUE_COLOUR] if has_truth else []), BLACK]
    x = TUNING.size[0] / 2 - 120 * len(names)
    for name, colour in zip(names, colours, strict=True):
        if colour is BLACK:
            canvas.disc(np.array([x + 18.0, 66.0]), 5, colour)
        else:
            canvas.line(np.array([[x, 66.0], [x + 34, 66.0]]), colour, 3.5)
        canvas.text(x + 46, 71, name, 11)
        x += 240


def _draw_plan(
    canvas: Canvas, cloud: SplatCloud, lines: Lines, box: tuple[Array, Array], metres_per_unit: float | None
) -> None:
    """The plan: x to the top, y to the left, with ticks and a scale bar."""
    low, high = box
    extent = high - low
    scale = float(min(TUNING.plan.width / extent[1], TUNING.plan.height / extent[0]))
    width, height = max(1, int(extent[1] * scale)), max(1, int(extent[0] * scale))
    left = TUNING.plan.left + (TUNING.plan.width - width) // 2
    area = Rectangle(left, TUNING.plan.top + (TUNING.plan.height - height) // 2, width, height)
    top = high.copy()
    positions = np.concatenate([positions for positions, _, _ in lines])
    if len(positions):
        top[2] = min(high[2], positions[:, 2].max() + TUNING.ceiling * extent[2])
    shown = np.flatnonzero(((cloud.points >= low) & (cloud.points <= top)).all(axis=1))
    above = np.array([high[0], high[1], high[2] + extent.max()])  # so far that depths differ little, as in a photograph
    view = PlanView(above, scale, (height, width))
    canvas.image(area, render(cloud[shown], view, _WHITE).image)
    canvas.frame(area)
    for each, colour, thickness in lines:
        _draw_line(canvas, area, view.project(each).pixels, colour, thickness)
    _draw_ticks(canvas, area, high, scale)
    _draw_scale_bar(canvas, area, scale, metres_per_unit)
    heading = "from above: x (forward) to the top, y (left) to the left, scene units"
    canvas.text(area.left + area.width / 2, TUNING.plan.top - 12, heading, 11, align="centre")


def _draw_line(canvas: Canvas, area: Rectangle, pixels: NDArray[np.floating], colour: Colour, thickness: float) -> None:
    """A trajectory (N, 2) in pixels of an area, with a dot at its start."""
    on_page = pixels + np.array([area.left, area.top])
    canvas.line(on_page, colour, thickness, inside=area)
    if len(on_page) and colour == _ESTIMATED_COLOUR:
        canvas.disc(on_page[0], 5, BLACK, inside=area)


def _draw_ticks(canvas: Canvas, area: Rectangle, high: Array, scale: float) -> None:
    """Coordinates along the left and the lower edge, in units of the map."""
    step = round_length(110 / scale)
    decimals = max(0, -int(np.floor(np.log10(step))))
    for number in np.arange(np.ceil((high[0] - area.height / scale) / step), np.floor(high[0] / step) + 1):
        row = area.top + (high[0] - number * step) * scale
        canvas.line(np.array([[area.left - 5, row], [area.left, row]]), GREY, 1)
        canvas.text(area.left - 9, row + 4, f"{number * step + 0.0:.{decimals}f}", 9, align="right")
    for number in np.arange(np.ceil((high[1] - area.width / scale) / step), np.floor(high[1] / step) + 1):
        column = area.left + (high[1] - number * step) * scale
        canvas.line(np.array([[column, area.bottom], [column, area.bottom + 5]]), GREY, 1)
        canvas.text(column, area.bottom + 20, f"{number * step + 0.0:.{decimals}f}", 9, align="centre")


def _draw_scale_bar(canvas: Canvas, area: Rectangle, scale: float, metres_per_unit: float | None) -> None:
    """A round length in the lower right corner: in metres where these are known, else in units of the map."""
    pixels_per_length = scale if metres_per_unit is None else scale / metres_per_unit
    length = round_length(area.width / 4 / pixels_per_length)
    right, y = area.right - 16.0, area.bottom - 16.0
    left = right - length * pixels_per_length
    unit = "scene units" if metres_per_unit is None else "m"
    for colour, width in ((_WHITE, 7.0), (BLACK, 3.0)):
        canvas.line(np.array([[left, y - 5], [left, y], [right, y], [right, y - 5]]), colour, width)
    canvas.text((left + right) / 2, y - 10, f"{length:g} {unit}", 11, align="centre")


def round_length(length: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not longer, for positive lengths."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(step for step in (1.0, 2.0, 5.0) if step * power <= length * (1 + 1e-9)) * power)


def _draw_view(
    canvas: Canvas, cloud: SplatCloud, trajectory: list[StampedPose], lines: Lines, box: tuple[Array, Array]
) -> None:
    """Seen from behind and above, in the direction in which the camera looked on average."""
    area, (low, high) = TUNING.view, box
    title = "in perspective, in the direction in which the camera looked"
    canvas.text(area.left + area.width / 2, area.top - 12, title, 11, align="centre")
    inside = np.flatnonzero(((cloud.points >= low) & (cloud.points <= high)).all(axis=1))
    if not trajectory or not len(inside):
        return
    shown = cloud[inside]
    T = _behind(trajectory, (low + high) / 2, float(np.linalg.norm(high - low)))
    everything = np.concatenate([shown.points.astype(np.float64), *(positions for positions, _, _ in lines)])
    camera = _fitting_camera(transform_points(invert_rigid(T), everything), area)
    view = PerspectiveView(T, camera)
    canvas.image(area, render(shown, view, _WHITE).image)
    for positions, colour, thickness in lines:
        seen = view.project(positions)
        _draw_line(canvas, area, seen.pixels[seen.depths > 0], colour, thickness)


def _behind(trajectory: list[StampedPose], middle: Array, extent: float) -> Array:
    """(4, 4) pose of a camera that looks at the middle of what the others saw, so far away that all is before it."""
    ahead = np.mean([pose.T_world_camera[:3, 2] for pose in trajectory], axis=0)
    ahead[2] = 0
    forward = ahead / max(float(np.linalg.norm(ahead)), 1e-9) if np.linalg.norm(ahead) > 0.1 else np.array([1.0, 0, 0])
    up = np.array([0.0, 0, 1])
    looks = forward - np.tan(np.radians(TUNING.view_down_degrees)) * up
    looks = looks / np.linalg.norm(looks)
    distance = 0.5 * extent / np.tan(np.radians(TUNING.view_degrees / 2))
    return look_at(middle - distance * looks, middle, up)


def _fitting_camera(points_camera: Array, area: Rectangle) -> Camera:
    """The pinhole camera of an area's size that just shows all but the outermost of camera points (N, 3)."""
    seen = points_camera[points_camera[:, 2] > 0]
    directions = seen[:, :2] / seen[:, 2:]
    percent = TUNING.outliers_percent / 4
    low, high = np.percentile(directions, [percent, 100 - percent], axis=0)
    extent = np.maximum(high - low, 1e-6) * (1 + 2 * TUNING.margin)
    focal = float(min(area.width / extent[0], area.height / extent[1]))
    centre = np.array([area.width - 1, area.height - 1]) / 2 - focal * (low + high) / 2
    return Camera(area.width, area.height, focal, focal, float(centre[0]), float(centre[1]))
