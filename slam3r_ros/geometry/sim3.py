"""Many similarity transforms at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from slam3r_ros.geometry.se3 import Array


@dataclass(frozen=True, slots=True, eq=False)
class Similarities:
    """N transforms ``x -> scale * rotation @ x + shift``."""

    rotations: Array
    """(N, 3, 3)"""
    shifts: Array
    """(N, 3)"""
    scales: Array
    """(N,) positive."""

    @classmethod
    def of_poses(cls, T: Array) -> Similarities:
        """Rigid transforms (N, 4, 4)."""
        return cls(T[:, :3, :3].copy(), T[:, :3, 3].copy(), np.ones(len(T)))

    @classmethod
    def none(cls) -> Similarities:
        """No transform at all."""
        return cls.of_poses(np.empty((0, 4, 4)))

    @staticmethod
    def joined(parts: Sequence[Similarities]) -> Similarities:
        """All of them, in order."""
        return Similarities(
            np.concatenate([part.rotations for part in parts]),
            np.concatenate([part.shifts for part in parts]),
            np.concatenate([part.scales for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.scales)

    def __getitem__(self, chosen: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Similarities:
        return Similarities(self.rotations[chosen], self.shifts[chosen], self.scales[chosen])

    def __matmul__(self, other: Similarities) -> Similarities:
        """The other's first, then these, one by one."""
        return Similarities(
            self.rotations @ other.rotations, self.apply(other.shifts[:, None])[:, 0], self.scales * other.scales
        )

    def inverse(self) -> Similarities:
        """Back again."""
        turned = self.rotations.transpose(0, 2, 1)
        scales = 1 / self.scales
        return Similarities(turned, -scales[:, None] * np.einsum("nij,nj->ni", turned, self.shifts), scales)

    def apply(self, points: Array) -> Array:
        """(N, M, 3) points, M for each."""
        turned = np.einsum("nij,nmj->nmi", self.rotations, points)
        return np.asarray(self.scales[:, None, None] * turned + self.shifts[:, None])

    def vectors(self) -> Array:
        """(N, 7) turns (axes times radians), shifts, logarithms of the scales."""
        turns = Rotation.from_matrix(self.rotations).as_rotvec() if len(self) else np.empty((0, 3))
        return np.column_stack([turns, self.shifts, np.log(self.scales)])

    def moved(self, vectors: Array) -> Similarities:
        """Each after a small one (N, 7), in the order of `vectors`, in its own axes."""
        return self @ Similarities(rotations_of(vectors[:, :3]), vectors[:, 3:6], np.exp(vectors[:, 6]))


def rotations_of(turns: Array) -> Array:
    """(N, 3, 3) of axes times radians (N, 3)."""
    return np.asarray(Rotation.from_rotvec(turns).as_matrix()) if len(turns) else np.empty((0, 3, 3))
