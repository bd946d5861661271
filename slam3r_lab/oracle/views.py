"""The true views of a sequence, found by the pixels that the engine gives the encoder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from slam3r_lab.sequences.sequence import ImageSequence, SequenceError
from slam3r_lab.sequences.truth import true_pointmap
from slam3r_ros.engine.encoder import resize_and_crop
from slam3r_ros.geometry.camera import Camera


class OracleError(ValueError):
    """The oracle was asked about an image that its sequence does not have."""


@dataclass(frozen=True, slots=True, eq=False)
class TrueView:
    """What is true of the crop of one image."""

    depth: NDArray[np.float32]
    """(H, W) metres along the optical axis; zero where it, the camera or the pose is not known."""
    camera: Camera | None
    """Pinhole intrinsics of the crop."""

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(H, W)"""
        return self.depth > 0

    @property
    def points_camera(self) -> NDArray[np.float32]:
        """(H, W, 3) metres; zero where not valid."""
        if self.camera is None:
            return np.zeros((*self.depth.shape, 3), np.float32)
        return _rays(self.camera) * self.depth[..., None]


class TrueViews:
    """The views of a sequence by number, and the number of a view by its pixels; each file is read once."""

    def __init__(self, sequence: ImageSequence, image_size: tuple[int, int]) -> None:
        self._sequence = sequence
        self._size = image_size
        self._hashes: list[bytes] = []
        self._views: list[TrueView] = []
        self._last = -1

    def __len__(self) -> int:
        return len(self._sequence)

    def __getitem__(self, number: int) -> TrueView:
        self._read_up_to(number)
        return self._views[number]

    def find(self, crop: NDArray[np.uint8]) -> int:
        """The number of the view of these pixels (H, W, 3): of equal ones the next after that found last.

        Raises OracleError where there is none.
        """
        wanted = _hash_of(crop)
        for number in [*range(self._last + 1, len(self)), *range(self._last + 1)]:
            self._read_up_to(number)
            if self._hashes[number] == wanted:
                self._last = number
                return number
        raise OracleError(
            f"the oracle of sequence {self._sequence.name} was given an image that is none of its {len(self)}: "
            "give the engine the images of the sequence that the oracle was made of"
        )

    def _read_up_to(self, number: int) -> None:
        for missing in range(len(self._hashes), number + 1):
            self._hashes.append(self._read_hash(missing))
            self._views.append(self._read_view(missing))

    def _read_hash(self, number: int) -> bytes:
        try:
            return _hash_of(resize_and_crop(self._sequence.image(self._sequence.frames[number]), self._size))
        except SequenceError as error:
            self._sequence.report(str(error))
            return b""

    def _read_view(self, number: int) -> TrueView:
        frame = self._sequence.frames[number]
        try:
            truth = true_pointmap(self._sequence, frame, self._size)
        except SequenceError as error:
            self._sequence.report(str(error))
            truth = None
        if truth is None or frame.T_world_camera is None:
            return TrueView(np.zeros(self._size, np.float32), None)
        return TrueView(truth.points_camera[..., 2].copy(), truth.camera)


@lru_cache(maxsize=4)
def _rays(camera: Camera) -> NDArray[np.float32]:
    """(H, W, 3) points of the pixels at depth 1."""
    x, y = (np.arange(camera.width) - camera.cx) / camera.fx, (np.arange(camera.height) - camera.cy) / camera.fy
    grid_x, grid_y = np.meshgrid(x, y)
    return np.stack([grid_x, grid_y, np.ones_like(grid_x)], axis=-1).astype(np.float32)


def _hash_of(crop: NDArray[np.uint8]) -> bytes:
    return blake2b(np.ascontiguousarray(crop).tobytes(), digest_size=16).digest()
