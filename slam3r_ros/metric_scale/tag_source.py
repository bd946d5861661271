"""Scale from an AprilTag of known size (family 36h11), seen in several keyframes and triangulated in the map."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.scale_edges import ScaleObservation
from slam3r_ros.metric_scale.tuning import TUNING

_SIDES = ((0, 1), (1, 2), (2, 3), (3, 0))
"""The corners that a side of the tag lies between; the diagonals follow from them."""


@dataclass(frozen=True, slots=True, eq=False)
class TagView:
    """The tag as one keyframe sees it."""

    index: int
    """Number of the keyframe's frame."""
    T_world_camera: Array
    """(4, 4) pose of the keyframe, scene units."""
    corners_xy: Array
    """(4, 2) normalized image coordinates x / z, y / z of the corners, in the tag's order."""
    pixel: float
    """Size of a pixel in normalized image coordinates, 1 / focal length."""


class TagSource:
    """Finds the tag in keyframes and compares its triangulated sides with their true length."""

    def __init__(self, tag_id: int, size_m: float) -> None:
        """``tag_id``: number of the tag in the family; ``size_m``: length of a side of its black square, metres."""
        self._id, self._size_m = tag_id, size_m
        parameters = cv2.aruco.DetectorParameters()
        parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        family = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
        self._detector = cv2.aruco.ArucoDetector(family, parameters)
        self._views: deque[TagView] = deque(maxlen=TUNING.tag_views)

    def add(self, view: KeyframeView) -> ScaleObservation | None:
        """Look for the tag in a keyframe's image; the observation, when enough keyframes have seen it from directions
        that differ enough. The keyframes of one observation are not used for the next, and a later view of a keyframe
        replaces the earlier one."""
        seen = self.find(view)
        if seen is None:
            return None
        others = [each for each in self._views if each.index != seen.index]
        self._views = deque([*others, seen], maxlen=TUNING.tag_views)
        if len(self._views) < TUNING.tag_views:
            return None
        observation = triangulated_scale(list(self._views), self._size_m)
        if observation is not None:
            self._views.clear()
        return observation

    def find(self, view: KeyframeView) -> TagView | None:
        """The tag in a keyframe's image; None where it is not there, or not whole."""
        grey = cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY)
        corners, ids, _ = self._detector.detectMarkers(grey)
        if ids is None or np.count_nonzero(ids == self._id) != 1:  # two of one number: no telling which is which
            return None
        pixels = np.asarray(corners[int(np.flatnonzero(ids.ravel() == self._id)[0])], dtype=np.float64)[0]
        camera = view.camera
        xy = (pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
        return TagView(view.index, view.T_world_camera, xy, 1 / math.sqrt(camera.fx * camera.fy))

    def correct(self, correction: MapCorrection) -> None:
        """Follow a closed loop, which has moved the keyframes."""
        poses = [correction.of_poses(np.array([each.index]), each.T_world_camera[None])[0] for each in self._views]
        moved = [replace(each, T_world_camera=T) for each, T in zip(self._views, poses, strict=True)]
        self._views = deque(moved, maxlen=TUNING.tag_views)

    def clear(self) -> None:
        """Forget what was seen, since another map has begun."""
        self._views.clear()


def triangulated_scale(views: list[TagView], size_m: float) -> ScaleObservation | None:
    """The scale by a tag with sides of ``size_m`` metres that several keyframes see; None where they see it from too
    much the same direction, their rays do not meet, or the result would say too little."""
    corners = [triangulated([(v.T_world_camera, v.corners_xy[number]) for v in views]) for number in range(4)]
    centre = np.mean(corners, axis=0)
    directions = np.stack([centre - view.T_world_camera[:3, 3] for view in views])
    distances = np.linalg.norm(directions, axis=1)
    directions /= distances[:, None]
    parallax = float(np.arccos(np.clip((directions @ directions.T).min(), -1, 1)))
    errors = [_reprojection_errors(view, np.stack(corners)) for view in views]
    sides = np.array([np.linalg.norm(corners[a] - corners[b]) for a, b in _SIDES])
    if parallax < TUNING.min_tag_parallax_rad or not np.isfinite(sides).all() or sides.min() <= 0:
        return None
    if float(np.median(np.concatenate(errors))) > TUNING.max_tag_error_px:
        return None
    side, pixel = float(sides.mean()), max(view.pixel for view in views)
    # A corner is off by the pixel's error across the rays, and by that over the parallax along them, both of which the
    # views average; a side has two corners, and four sides are averaged.
    across = TUNING.tag_pixel_sigma * pixel * float(distances.mean()) / math.sqrt(len(views))
    sigma = max(across / parallax / side / math.sqrt(2), float(sides.std()) / side / 2, across / side)
    if sigma > TUNING.max_tag_sigma:
        return None
    return ScaleObservation(views[-1].index, math.log(size_m / side), sigma)


def triangulated(rays: list[tuple[Array, Array]]) -> Array:
    """(3,) the point that several cameras see: linear triangulation, each equation over the point's depth in a second
    pass (Hartley and Zisserman 12.2). A ray is the camera's pose T_world_camera (4, 4) and x / z, y / z (2,)."""
    projections = [(invert_rigid(T)[:3], xy) for T, xy in rays]
    weights = np.ones(len(rays))
    point = np.full(3, np.nan)
    for _ in range(2):
        rows = [
            w * (xy[axis] * P[2] - P[axis]) for w, (P, xy) in zip(weights, projections, strict=True) for axis in (0, 1)
        ]
        homogeneous = np.linalg.svd(np.stack(rows))[2][-1]
        if abs(homogeneous[3]) < 1e-12:
            return point
        point = homogeneous[:3] / homogeneous[3]
        depths = np.array([P[2, :3] @ point + P[2, 3] for P, _ in projections])
        weights = 1 / np.maximum(np.abs(depths), 1e-9)
    return point


def _reprojection_errors(view: TagView, corners: NDArray[np.float64]) -> Array:
    """(4,) distances in pixels between the corners as seen and as they should be; infinite behind the camera."""
    x, y, z = transform_points(invert_rigid(view.T_world_camera), corners).T
    in_front = z > 0
    z = np.where(in_front, z, 1.0)
    errors = np.hypot(x / z - view.corners_xy[:, 0], y / z - view.corners_xy[:, 1]) / view.pixel
    return np.asarray(np.where(in_front, errors, np.inf))
