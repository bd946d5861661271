"""Training data in memory: clips of some tens of frames with depth, poses and intrinsics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

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
    def families_of_all(self) -> list[str]:
        """The family (folder of a recording) of each clip."""
        return [name.split(":")[0] for name in self.names.tolist()]

    @property
    def families(self) -> tuple[str, ...]:
        """Each family once, in the order of their names."""
        return tuple(sorted(set(self.families_of_all)))

    def of_family(self, family: str) -> NDArray[np.int64]:
        """Indices of the clips of a family."""
        return np.flatnonzero(np.char.startswith(self.names, f"{family}:"))

    def draw(self, random: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Indices (count,) of random clips, by their weights."""
        return random.choice(len(self), count, p=self.weight / self.weight.sum())

    def share(self, worker: int, count: int) -> Clips:
        """Every `count`-th clip, from the one with index `worker` on."""
        return Clips(**{part.name: getattr(self, part.name)[worker::count] for part in fields(self)})

    def like(self, other: Clips) -> Clips:
        """Some of these clips, of each family as many as `other` has of it or all there are, evenly chosen."""
        chosen: list[int] = []
        for family in other.families:
            own, wanted = self.of_family(family), len(other.of_family(family))
            chosen += own[np.linspace(0, len(own) - 1, min(wanted, len(own))).astype(int)].tolist()
        return Clips(**{part.name: getattr(self, part.name)[chosen] for part in fields(self)})

    @classmethod
    def joined(cls, parts: Iterable[Clips], count: int) -> Clips:
        """All clips of several sets, `count` together, taken one set after the other, so that a generator's need not
        all be in memory. Raises DataError when their images or lengths differ.
        """
        columns: dict[str, NDArray[Any]] = {}
        names: list[str] = []
        for part in parts:
            place = slice(len(names), len(names) + len(part))
            names += part.names.tolist()
            for name in (field.name for field in fields(cls) if field.name != "names"):
                values = getattr(part, name)
                if name not in columns:
                    columns[name] = np.empty((count, *values.shape[1:]), values.dtype)
                if columns[name].shape[1:] != values.shape[1:]:
                    shapes = sorted([columns[name].shape[1:], values.shape[1:]])
                    raise DataError(
                        f"training data of different shapes (frames, height, width, 3): {shapes}; render it again"
                    )
                columns[name][place] = values
        assert len(names) == count
        return cls(names=np.array(names), **columns)
