"""Similarity transforms, Sim(3): a rotation, a translation and a scale, one or many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_vector, vector_from_rotation


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Sim3:
    """``target = scale * rotation @ source + translation``, for one transform or for a batch of them.

    ``batch`` is the shape in front: () for one transform, (N,) for N of them. ``@`` applies the right one first, and
    broadcasts a single transform, or a batch of one, over the other's batch.
    """

    scale: Array
    """(*batch,) length in the target of one unit of the source, positive."""
    rotation: Array
    """(*batch, 3, 3) rotation matrices, determinant +1."""
    translation: Array
    """(*batch, 3) position of the source's origin, in units of the target."""

    def __init__(self, scale: ArrayLike, rotation: ArrayLike, translation: ArrayLike) -> None:
        """Take the three parts as float64 arrays, without a copy where they are such already."""
        object.__setattr__(self, "scale", np.asarray(scale, dtype=np.float64))
        object.__setattr__(self, "rotation", np.asarray(rotation, dtype=np.float64))
        object.__setattr__(self, "translation", np.asarray(translation, dtype=np.float64))

    @classmethod
    def identity(cls) -> Sim3:
        """The one transform that changes nothing."""
        return cls(1.0, np.eye(3), np.zeros(3))

    @classmethod
    def from_pose(cls, T: Array) -> Sim3:
        """Rigid transforms (*batch, 4, 4), copied, with the scale 1."""
        return cls(np.ones(T.shape[:-2]), T[..., :3, :3].copy(), T[..., :3, 3].copy())

    @classmethod
    def empty(cls) -> Sim3:
        """A batch of no transform."""
        return cls.from_pose(np.empty((0, 4, 4)))

    @classmethod
    def concatenate(cls, parts: Sequence[Sim3]) -> Sim3:
        """One batch (N,) of all transforms of the batches, in their order."""
        return cls(
            np.concatenate([part.scale for part in parts]),
            np.concatenate([part.rotation for part in parts]),
            np.concatenate([part.translation for part in parts]),
        )

    @classmethod
    def exp(cls, tangent: Array) -> Sim3:
        """Sim(3)'s exponential of tangent vectors (*batch, 7): rotation (radians), translation, logarithm of the scale.

        The translation is ``V v`` (`_left_jacobian`), with v the tangent's part (Strasdat 2012, thesis, section 2.4).
        """
        translation = np.einsum("...ij,...j->...i", _left_jacobian(tangent), tangent[..., 3:6])
        return cls(np.exp(tangent[..., 6]), rotation_from_vector(tangent[..., :3]), translation)

    def log(self) -> Array:
        """(*batch, 7) tangent vectors of which these are the exponential, their rotations at most pi long."""
        tangent = self.as_vector()
        tangent[..., 3:6] = np.linalg.solve(_left_jacobian(tangent), self.translation[..., None])[..., 0]
        return tangent

    def as_vector(self) -> Array:
        """(*batch, 7) rotation vectors (radians), translations and logarithms of the scales.

        Not `log`: the translation is here what it is, in units of the target, so that a standard deviation or a
        threshold in metres or in depths can be given for it.
        """
        parts = (vector_from_rotation(self.rotation), self.translation, np.log(self.scale)[..., None])
        return np.concatenate(parts, axis=-1)

    def __len__(self) -> int:
        """Number N of transforms of a batch (N,); a single transform has no length and raises TypeError."""
        return len(self.scale)

    def __getitem__(self, chosen: int | slice | NDArray[np.integer] | NDArray[np.bool_]) -> Sim3:
        """One transform of a batch (N,), or a batch of those chosen."""
        return Sim3(self.scale[chosen], self.rotation[chosen], self.translation[chosen])

    def __matmul__(self, other: Sim3) -> Sim3:
        """The other one first, then this one."""
        return Sim3(self.scale * other.scale, self.rotation @ other.rotation, self.apply(other.translation))

    def inverse(self) -> Sim3:
        """The transforms back from the target to the source."""
        rotation = np.swapaxes(self.rotation, -1, -2)
        scale = 1 / self.scale
        translation = -scale[..., None] * np.einsum("...ij,...j->...i", rotation, self.translation)
        return Sim3(scale, rotation, translation)

    def apply(self, points: ArrayLike) -> Array:
        """(*batch, ..., 3) source points to target points; the axes behind the batch's are points of one transform."""
        points = np.asarray(points, dtype=np.float64)
        if self.rotation.ndim == 2:
            return np.asarray(self.scale * (points @ self.rotation.T) + self.translation)
        axes = (..., *[None] * (points.ndim - self.translation.ndim))
        rotated = np.einsum("...ij,...j->...i", self.rotation[(*axes, slice(None), slice(None))], points)
        return np.asarray(self.scale[(*axes, None)] * rotated + self.translation[(*axes, slice(None))])

    def apply_to_pose(self, T_source_camera: Array) -> Array:
        """(*batch, 4, 4) rigid poses T_target_camera of cameras, which move with the points but have no size."""
        return rigid(self.rotation @ T_source_camera[..., :3, :3], self.apply(T_source_camera[..., :3, 3]))

    def apply_to_extrinsics(self, T_camera_source: Array) -> Array:
        """(*batch, 4, 4) rigid T_camera_target from T_camera_source: `apply_to_pose` for inverted poses.

        Written out, since inverting twice would cost the optimizers two roundings and twice the time.
        """
        rotation = T_camera_source[..., :3, :3] @ np.swapaxes(self.rotation, -1, -2)
        translation = self.scale[..., None] * T_camera_source[..., :3, 3]
        return rigid(rotation, translation - np.einsum("...ij,...j->...i", rotation, self.translation))

    @property
    def pose(self) -> Array:
        """(*batch, 4, 4) rotation and translation without the scale: the pose of the source's axes in the target."""
        return rigid(self.rotation, self.translation)

    def retract(self, tangent: Array) -> Sim3:
        """``self @ exp(tangent)``: moved by tangent vectors (*batch, 7) in the source's axes and units."""
        return self @ Sim3.exp(tangent)


_QUADRATURE_NODES, _QUADRATURE_WEIGHTS = (each / 2 for each in np.polynomial.legendre.leggauss(8))
"""Gauss-Legendre quadrature on an interval of length 1: with 8 nodes `_left_jacobian` is exact to 1e-13."""


def _left_jacobian(tangent: Array) -> Array:
    """(*batch, 3, 3) the matrix V of Sim(3)'s exponential: the integral over u in [0, 1] of ``e^(s u) exp(u [w]x)``.

    ``w`` and ``s`` are the rotation vector and the logarithm of the scale in tangent vectors (*batch, 7). Quadrature
    instead of the closed form, which needs four cases for small angles and scales.
    """
    u = (_QUADRATURE_NODES + 0.5).reshape(-1, *[1] * (tangent.ndim - 1))
    weights = _QUADRATURE_WEIGHTS.reshape(u.shape) * np.exp(u * tangent[..., 6])
    rotations = rotation_from_vector(u[..., None] * tangent[..., :3])
    return np.asarray((weights[..., None, None] * rotations).sum(axis=0))
