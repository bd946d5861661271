"""What tracking and local mapping tell each other. These values are all that passes between the two."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.vision.klt import Pixels


def positions_of(wanted: NDArray[np.intp], ids: NDArray[np.intp]) -> NDArray[np.intp]:
    """(F,) position of each wanted identifier (F,) among ``ids`` (N,), which are all different; -1 where it is not
    there."""
    if not len(ids):
        return np.full(len(wanted), -1, np.intp)
    order = np.argsort(ids, kind="stable")
    places = order[np.searchsorted(ids, wanted, sorter=order).clip(max=len(ids) - 1)]
    return np.where(ids[places] == wanted, places, -1)


@dataclass(frozen=True, slots=True, eq=False)
class LocalMap:
    """The landmarks that tracking follows, as local mapping has them after its last change."""

    ids: NDArray[np.intp]
    """(N,) identifier of each landmark in the sliding window; a landmark keeps it as long as it is there."""
    positions_world: Array
    """(N, 3) scene units."""
    observations: NDArray[np.intp]
    """(N,) how many keyframes of the window see each landmark; its depth is a guess until two do."""
    log_scale: float
    """Logarithm of the world's length of one unit of the newest keyframe's own pointmap."""

    def transformed(self, moved: Sim3) -> LocalMap:
        """The landmarks after a similarity has moved the world."""
        log_scale = self.log_scale + float(np.log(moved.scale))
        return replace(self, positions_world=moved.apply(self.positions_world), log_scale=log_scale)

    def depths(self, rows: NDArray[np.intp], T_camera_world: Array) -> Array:
        """(F,) the depths of the landmarks in these rows along a camera's optical axis, scene units."""
        return np.asarray(self.positions_world[rows] @ T_camera_world[2, :3] + T_camera_world[2, 3])


@dataclass(frozen=True, slots=True, eq=False)
class ActiveTracks:
    """Where the landmarks that are still tracked were seen last."""

    rows: NDArray[np.intp]
    """(F,) the row of each track's landmark in the `LocalMap`."""
    pixels: Pixels
    """(F, 2) column and row in the newest image."""
    pixels_at_keyframe: Pixels
    """(F, 2) the same in the last keyframe."""
    count_at_keyframe: int
    """How many landmarks were tracked when the last keyframe was made."""

    def __len__(self) -> int:
        return len(self.rows)

    def kept(self, which: NDArray[np.bool_]) -> ActiveTracks:
        """The tracks that are chosen by a mask (F,)."""
        return replace(
            self,
            rows=self.rows[which],
            pixels=self.pixels[which],
            pixels_at_keyframe=self.pixels_at_keyframe[which],
        )

    @classmethod
    def at_keyframe(cls, pixels: Pixels) -> ActiveTracks:
        """One track for every landmark of a local map, in a keyframe that sees them at these pixels (N, 2)."""
        return cls(np.arange(len(pixels)), pixels, pixels, len(pixels))


NO_LANDMARKS = LocalMap(np.zeros(0, np.intp), np.zeros((0, 3)), np.zeros(0, np.intp), 0.0)
NO_TRACKS = ActiveTracks.at_keyframe(np.empty((0, 2), np.float32))
