"""Where a visitor's view goes that follows the camera: computed here, carried out by `visitors.visitor`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.viewer.extent import MapExtent

_UP = np.array([0.0, 0.0, 1.0])
_BEHIND, _OVER, _AHEAD = 0.30, 0.14, 0.20
"""Fractions of the map's size: how far behind and over the camera a view begins to follow it, and how far ahead of the
camera the point lies around which the mouse turns in first person."""
_PORTRAIT = 0.7
"""Width divided by height of a picture below which it is that of a phone held upright."""
_MARGIN = 1.15
"""Room around the map when the whole of it is looked at."""


class ViewMode(Enum):
    """How a visitor's view moves; the values are what the page calls them."""

    FREE = "Free"
    FOLLOW = "Follow the camera"
    FIRST_PERSON = "First person"
    ABOVE = "From above"


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A visitor's view, in the map's axes and scene units."""

    position: NDArray[np.float64]
    """(3,) of the eye."""
    look_at: NDArray[np.float64]
    """(3,) the point in the middle of the picture, around which the mouse turns."""
    up: NDArray[np.float64]
    """(3,) the direction that points up in the picture."""


def overview(extent: MapExtent, fov_rad: float, aspect: float) -> View:
    """The whole map, obliquely from above and behind; on a phone in the upper half, as panels cover the lower one."""
    distance = _distance(extent, fov_rad, aspect)
    direction = np.array([-0.72, 0.42, 0.55])
    centre = extent.centre - (_UP * 0.5 * distance * math.tan(fov_rad / 2) if aspect < _PORTRAIT else 0.0)
    return View(centre + distance * direction / np.linalg.norm(direction), centre, _UP)


def from_above(extent: MapExtent, fov_rad: float, aspect: float) -> View:
    """The whole map straight from above, the direction in which the camera first looked being up."""
    width, length = extent.high[1] - extent.low[1], extent.high[0] - extent.low[0]
    half = math.tan(fov_rad / 2)
    distance = _MARGIN * max(length / 2 / half, width / 2 / (half * aspect)) + (extent.high[2] - extent.low[2]) / 2
    # Not quite vertical: there, "up" would have no meaning.
    return View(extent.centre + np.array([-0.01 * distance, 0.0, distance]), extent.centre, _UP)


def behind(T_map_camera: NDArray[np.float64], size: float) -> View:
    """Behind and over the camera, looking at it; ``size`` is that of the map."""
    position, ahead = T_map_camera[:3, 3], T_map_camera[:3, 2]
    level = np.array([ahead[0], ahead[1], 0.0])
    level = level / norm if (norm := np.linalg.norm(level)) > 1e-3 else np.array([1.0, 0.0, 0.0])
    return View(position - _BEHIND * size * level + _OVER * size * _UP, position, _UP)


def first_person(T_map_camera: NDArray[np.float64], size: float) -> View:
    """Through the camera."""
    position = T_map_camera[:3, 3]
    return View(position, position + _AHEAD * size * T_map_camera[:3, 2], -T_map_camera[:3, 1])


def eased(
    before: NDArray[np.float64], now: NDArray[np.float64], elapsed_s: float, time_s: float
) -> NDArray[np.float64]:
    """(4, 4) pose on the way from one to another: the distance falls by a factor of e in ``time_s``."""
    share = 1.0 - math.exp(-elapsed_s / time_s)
    moved = before + share * (now - before)
    u, _, vt = np.linalg.svd(moved[:3, :3])
    moved[:3, :3] = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    return moved


def _distance(extent: MapExtent, fov_rad: float, aspect: float) -> float:
    """The distance from which a ball around the map fills the view."""
    half = min(fov_rad / 2, math.atan(math.tan(fov_rad / 2) * aspect))
    return _MARGIN * 0.5 * extent.size / math.sin(half)
