"""Where a picture is seen from: a pinhole camera, or a plan seen from above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, invert_rigid


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """N points on the picture."""

    pixels: NDArray[np.float32]
    """(N, 2) column and row, pixel centres at integers."""
    depths: NDArray[np.float32]
    """(N,) distances along the view's axis; not positive for points that are behind the camera."""
    pixels_per_unit: NDArray[np.float32]
    """(N,) size of a unit length at the points, in pixels."""


class View(Protocol):
    """What takes points to a picture."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture in pixels."""

    def project(self, points: NDArray[np.float32] | Array) -> Projection:
        """Points (N, 3) on the picture."""

    def directions(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3) vectors of any length from the viewer to points (N, 3)."""

    def enlarged(self, factor: int) -> View:
        """The same view in a picture that is `factor` times as high and wide."""


@dataclass(frozen=True, slots=True, eq=False)
class PerspectiveView:
    """The view of a pinhole camera."""

    T_points_camera: Array
    """(4, 4): takes camera points (x right, y down, z forward) to the frame of the points."""
    camera: Camera
    """Intrinsics without distortion."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture in pixels."""
        return self.camera.height, self.camera.width

    def project(self, points: NDArray[np.float32] | Array) -> Projection:
        """Points (N, 3) on the picture."""
        T = invert_rigid(self.T_points_camera).astype(np.float32)
        x, y, z = (np.asarray(points, np.float32) @ T[:3, :3].T + T[:3, 3]).T
        inverse = np.divide(np.float32(1), z, out=np.zeros_like(z), where=z > 0)
        camera = self.camera
        columns = x * inverse * np.float32(camera.fx) + np.float32(camera.cx)
        rows = y * inverse * np.float32(camera.fy) + np.float32(camera.cy)
        return Projection(np.stack([columns, rows], axis=1), z, inverse * np.float32(camera.fx))

    def directions(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3) vectors from the camera to points (N, 3)."""
        return points - self.T_points_camera[:3, 3].astype(np.float32)

    def enlarged(self, factor: int) -> PerspectiveView:
        """The same view in a picture that is `factor` times as high and wide."""
        camera = self.camera.scaled(self.camera.width * factor, self.camera.height * factor)
        return PerspectiveView(self.T_points_camera, camera)


@dataclass(frozen=True, slots=True, eq=False)
class PlanView:
    """A plan in map axes, without perspective: x (forward) to the top, y (left) to the left, seen from above."""

    corner: Array
    """(3,) the x and the y at the upper left corner of the picture, and the z from which depths are counted: above all
    points."""
    pixels_per_unit: float
    size: tuple[int, int]
    """Height and width of the picture in pixels."""

    def project(self, points: NDArray[np.float32] | Array) -> Projection:
        """Points (N, 3) on the picture."""
        below = self.corner.astype(np.float32) - np.asarray(points, np.float32)
        scale = np.float32(self.pixels_per_unit)
        shift = np.float32(0.5)  # the corner is that of a pixel, not its centre
        return Projection(below[:, [1, 0]] * scale - shift, below[:, 2], np.full(len(below), scale, np.float32))

    def directions(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3) vectors straight down."""
        return np.broadcast_to(np.array([0, 0, -1], np.float32), points.shape)

    def enlarged(self, factor: int) -> PlanView:
        """The same view in a picture that is `factor` times as high and wide."""
        height, width = self.size
        return PlanView(self.corner, self.pixels_per_unit * factor, (height * factor, width * factor))


def look_at(eye: Array, target: Array, up: Array) -> Array:
    """(4, 4) T_points_camera of a camera at `eye` that looks at `target`, with `up` to the top of its picture."""
    forward = (target - eye) / max(float(np.linalg.norm(target - eye)), 1e-9)
    right = np.cross(forward, up)
    if np.linalg.norm(right) < 1e-6:  # looks along the up axis: any right will do
        right = np.cross(forward, np.roll(up, 1))
    right = right / np.linalg.norm(right)
    T = np.eye(4)
    T[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    T[:3, 3] = eye
    return T
