"""What a click or a rectangle in the browser hits: points near a ray, and points inside a part of the picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """A rectangle in a visitor's view: a pyramid through the map."""

    T_camera_map: NDArray[np.float64]
    """(4, 4): takes points in the map's axes to the visitor's camera (x right, y down, z forward)."""
    vertical_fov_rad: float
    """Angle between the upper and the lower edge of the visitor's view."""
    aspect: float
    """Width of the visitor's view divided by its height."""
    smallest: tuple[float, float]
    """Left and upper edge of the rectangle, fractions of the view's width and height."""
    largest: tuple[float, float]
    """Right and lower edge of the rectangle, fractions of the view's width and height."""

    def contains(self, points_map: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(N,) whether points (N, 3) in the map's axes, scene units, appear inside the rectangle."""
        T = self.T_camera_map.astype(np.float32)
        in_camera = points_map @ T[:3, :3].T + T[:3, 3]
        half_height = np.tan(self.vertical_fov_rad / 2)
        z = in_camera[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            across = 0.5 + in_camera[:, 0] / z / (2 * half_height * self.aspect)
            down = 0.5 + in_camera[:, 1] / z / (2 * half_height)
        inside: NDArray[np.bool_] = (
            (z > 0)
            & (across >= self.smallest[0])
            & (across <= self.largest[0])
            & (down >= self.smallest[1])
            & (down <= self.largest[1])
        )
        return inside


def point_on_ray(
    origin: NDArray[np.float64],
    direction: NDArray[np.float64],
    clouds: Iterable[NDArray[np.float32]],
    angles_rad: Sequence[float],
) -> NDArray[np.float64] | None:
    """Return the foremost point of clouds (N, 3) within the smallest angle of a ray at which there is one.

    None where no point is within the largest angle.
    """
    origin32, unit = origin.astype(np.float32), (direction / np.linalg.norm(direction)).astype(np.float32)
    best: list[tuple[float, NDArray[np.float32]] | None] = [None] * len(angles_rad)
    for points in clouds:
        if not len(points):
            continue
        along = (points - origin32) @ unit
        across = np.linalg.norm(points - origin32 - along[:, None] * unit, axis=1)
        for level, angle in enumerate(angles_rad):
            hit = np.flatnonzero((along > 0) & (across < np.tan(angle) * along))
            if not len(hit):
                continue
            nearest = hit[along[hit].argmin()]
            found = best[level]
            if found is None or along[nearest] < found[0]:
                best[level] = (float(along[nearest]), points[nearest])
            break
    level_found = next((each for each in best if each is not None), None)
    return None if level_found is None else level_found[1].astype(np.float64)
