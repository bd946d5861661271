"""The camera's path on the page: a bounded number of positions, in pieces that are sent one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.io.map_axes import T_map_world
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.viewer.tuning import ViewerTuning


class CameraPath:
    """Positions of the camera by frame. When there are too many, every second one goes, and later ones are thinned
    alike."""

    def __init__(self, tuning: ViewerTuning) -> None:
        self._most, self._piece = tuning.most_path_points, tuning.path_piece_points
        self._step, self._skipped = 1, 0
        self._indices: list[int] = []
        self._poses: list[NDArray[np.float64]] = []
        self._pieces: list[NDArray[np.float32]] = []

    def put(self, index: int, T_world_camera: NDArray[np.float64]) -> None:
        """Append the pose of the next frame, or replace that of the newest."""
        if self._indices and index <= self._indices[-1]:
            self._replace(index, T_world_camera)
            return
        self._skipped += 1
        if self._skipped < self._step:
            return
        self._skipped = 0
        self._indices.append(index)
        self._poses.append(T_world_camera)
        if len(self._indices) > self._most:
            self._indices, self._poses = self._indices[::2], self._poses[::2]
            self._step *= 2
            self._pieces = []
        self._forget_pieces(len(self._indices) - 2)

    def _replace(self, index: int, T_world_camera: NDArray[np.float64]) -> None:
        """Give a recent frame a better pose, where the path has it."""
        for position in range(len(self._indices) - 1, max(-1, len(self._indices) - self._piece), -1):
            if self._indices[position] == index:
                self._poses[position] = T_world_camera
                self._forget_pieces(position)
                return

    def correct(self, correction: MapCorrection) -> None:
        """Move all positions as a closed loop says."""
        if self._indices:
            self._poses = list(correction.of_poses(np.array(self._indices), np.stack(self._poses)))
            self._pieces = []

    def pieces(self) -> tuple[NDArray[np.float32], ...]:
        """(N, 3) positions in the map's axes, scene units, in pieces; one that has not changed is the same object."""
        for number in range(len(self._pieces), -(-max(0, len(self._poses) - 1) // self._piece)):
            poses = self._poses[number * self._piece : (number + 1) * self._piece + 1]
            positions = np.stack([pose[:3, 3] for pose in poses])
            self._pieces.append((positions @ T_map_world[:3, :3].T).astype(np.float32))
        return tuple(self._pieces)

    def _forget_pieces(self, position: int) -> None:
        """Have the pieces made anew that hold this position, or a later one."""
        del self._pieces[max(0, position - 1) // self._piece :]
