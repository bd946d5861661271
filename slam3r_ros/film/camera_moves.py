"""Where each picture of a film is seen from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slam3r_ros.film.timeline import Timeline
from slam3r_ros.film.tuning import TUNING
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.render.cloud import SplatCloud
from slam3r_ros.render.views import PerspectiveView, look_at


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """The map that a film shows, as its cameras need to know it."""

    middle: Array
    """(3,) the middle of the map, map axes."""
    radius: float
    """Half the diagonal of the map."""
    up: Array
    """(3,) unit vector that points up: the cameras' mean one, since people hold cameras upright."""
    forward: Array
    """(3,) unit vector at right angles to `up`: where the cameras looked on average."""

    @classmethod
    def of(cls, cloud: SplatCloud, timeline: Timeline) -> Stage:
        """The stage of a map and the camera's path through it."""
        percents = [TUNING.outliers_percent, 100 - TUNING.outliers_percent]
        corners = [np.percentile(cloud.points, percents, axis=0)] if len(cloud) else []
        box = np.concatenate([*corners, timeline.path.min(axis=0)[None], timeline.path.max(axis=0)[None]])
        low, high = box.min(axis=0), box.max(axis=0)
        up = _unit(-timeline.poses[:, :3, 1].mean(axis=0), np.array([0.0, 0, 1]))
        ahead = timeline.poses[:, :3, 2].mean(axis=0)
        forward = _unit(ahead - (ahead @ up) * up, np.cross(up, [0.0, 1, 0]))
        return cls((low + high) / 2, max(float(np.linalg.norm(high - low)) / 2, 1e-6), up, forward)

    def from_outside(self, azimuth: float, down: float, camera: Camera) -> PerspectiveView:
        """The whole map, seen from `down` radians above, turned by an azimuth in radians from behind the cameras."""
        left = np.cross(self.up, self.forward)
        level = np.cos(azimuth) * self.forward + np.sin(azimuth) * left
        looks = np.cos(down) * level - np.sin(down) * self.up
        half = min(camera.width / camera.fx, camera.height / camera.fy) / 2
        eye = self.middle - looks * self.radius / np.sin(np.arctan(half)) * TUNING.distance_share
        return PerspectiveView(look_at(eye, self.middle, self.up if down < 1.5 else self.forward), camera)


def outside_camera(size: tuple[int, int]) -> Camera:
    """The camera of the views from outside, for a picture of (height, width) pixels."""
    height, width = size
    focal = width / 2 / np.tan(np.radians(TUNING.field_degrees / 2))
    return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def path_camera(size: tuple[int, int], recorded: Camera) -> Camera:
    """The camera of the view along the path: it shows what the recording's camera saw, and more."""
    height, width = size
    focal = TUNING.path_focal_share * min(recorded.fx * width / recorded.width, recorded.fy * height / recorded.height)
    return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def _unit(vector: Array, otherwise: Array) -> Array:
    """The unit vector in a direction; another one where there is none."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0.1 else otherwise / np.linalg.norm(otherwise)
