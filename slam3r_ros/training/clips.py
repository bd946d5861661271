"""Training data in memory: clips of some tens of frames with depth, poses and intrinsics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_CLIP = 40
FRAME_RATE_HZ = 8.0


class DataError(RuntimeError):
    """Training data that is missing or does not fit; the message says what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """R clips of F frames each."""

    names: NDArray[np.str_]
    """(R,) what each clip is: `family:seed` of a rendered world, `folder:first frame` of a recording."""
    weight: NDArray[np.float64]
    """(R,) how often each clip is drawn, relative to the others."""
    colour: NDArray[np.uint8]
    """(R, F, H, W, 3) RGB."""
    depth: NDArray[np.float16]
    """(R, F, H, W) z-depth, metres; 0 where it is not known."""
    T_world_camera: NDArray[np.float32]
    """(R, F, 4, 4) metres, camera axes x right, y down, z forward."""
    camera: NDArray[np.float32]
    """(R, 3) focal length, column and row of the principal point, pixels."""
    empty_is_sky: NDArray[np.bool_]
    """(R,) whether there certainly is nothing where there is no depth, as in rendered worlds."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def frame_count(self) -> int:
        """F."""
        return int(self.colour.shape[1])

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) pixels."""
        return int(self.colour.shape[2]), int(self.colour.shape[3])

    @property
    def families(self) -> tuple[str, ...]:
        """Of the worlds (folders of recordings), each once, in the order of their names."""
        return tuple(sorted({name.split(":")[0] for name in self.names.tolist()}))

    def of_family(self, family: str) -> NDArray[np.int64]:
        """Indices of the clips of a family."""
        return np.flatnonzero(np.char.startswith(self.names, f"{family}:"))

    def draw(self, random: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Indices (count,) of random clips, by their weights."""
        return random.choice(len(self), count, p=self.weight / self.weight.sum())

    def share(self, worker: int, count: int) -> Clips:
        """Every `count`-th clip, from the one with index `worker` on."""
        return Clips(**{part.name: getattr(self, part.name)[worker::count] for part in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Clips]) -> Clips:
        """All clips of several sets; raises DataError when their images or lengths differ."""
        shapes = sorted({part.colour.shape[1:] for part in parts})
        if len(shapes) != 1:
            raise DataError(f"training data of different shapes (frames, height, width, 3): {shapes}; render it again")
        names = [part.name for part in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
