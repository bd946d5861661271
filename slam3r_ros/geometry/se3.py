"""Rigid transforms as (4, 4) arrays, rotation vectors and quaternions.

A pose stays a plain array ``T_a_b`` (takes points of frame b to frame a): it is composed by ``@``, stacked to
(N, 4, 4), sliced and stored as it is, and these happen for every keyframe in every step of an optimization, where an
object around it would cost more than the arithmetic. `geometry.sim3.Sim3` is the class for transforms with a scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]


def rigid(rotation: ArrayLike, translation: ArrayLike) -> Array:
    """(..., 4, 4) transforms from rotations (..., 3, 3) and translations (..., 3)."""
    rotation = np.asarray(rotation, dtype=np.float64)
    transform = np.zeros((*rotation.shape[:-2], 4, 4))
    transform[..., :3, :3] = rotation
    transform[..., :3, 3] = np.asarray(translation, dtype=np.float64).reshape(rotation.shape[:-1])
    transform[..., 3, 3] = 1
    return transform


def nearest_rotation(matrix: ArrayLike) -> Array:
    """(3, 3) the rotation nearest to a (3, 3) matrix in the Frobenius norm (Umeyama 1991), determinant +1."""
    u, _, vt = np.linalg.svd(np.asarray(matrix, dtype=np.float64))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    return np.asarray((u * signs) @ vt)


def orthonormal(T: Array) -> Array:
    """(4, 4) the rigid transform nearest to one whose rotation has become inexact."""
    return rigid(nearest_rotation(T[:3, :3]), T[:3, 3])


def invert_rigid(transform: ArrayLike) -> Array:
    """(4, 4) inverse of a (4, 4) rigid transform: T_a_b to T_b_a."""
    matrix = np.asarray(transform, dtype=np.float64)
    rotation = matrix[:3, :3]
    return rigid(rotation.T, -rotation.T @ matrix[:3, 3])


def transform_points(transform: ArrayLike, points: ArrayLike) -> Array:
    """(..., 3) points in frame b to frame a, with the (4, 4) transform T_a_b."""
    matrix = np.asarray(transform, dtype=np.float64)
    return np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def rotation_from_vector(rotation_vector: ArrayLike) -> Array:
    """(..., 3, 3) rotations from rotation vectors (..., 3), unit axes times angles in radians: SO(3)'s exponential."""
    vectors = np.asarray(rotation_vector, dtype=np.float64)
    if not vectors.size:
        return np.empty((*vectors.shape, 3))
    return np.asarray(Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()).reshape(*vectors.shape, 3)


def vector_from_rotation(rotation: ArrayLike) -> Array:
    """(..., 3) rotation vectors of rotations (..., 3, 3), their lengths at most pi: SO(3)'s logarithm."""
    matrices = np.asarray(rotation, dtype=np.float64)
    if not matrices.size:
        return np.empty(matrices.shape[:-1])
    return np.asarray(Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec()).reshape(matrices.shape[:-1])


def cross_matrix(vector: ArrayLike) -> Array:
    """(..., 3, 3) skew-symmetric matrices by which ``cross_matrix(a) @ b`` is the cross product of a (..., 3) and b."""
    x, y, z = np.moveaxis(np.asarray(vector, dtype=np.float64), -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)


def inverse_left_jacobian(rotation_vector: ArrayLike) -> Array:
    """(..., 3, 3) inverse left Jacobians of SO(3) at rotation vectors (..., 3), shorter than two pi.

    By them the rotation vector of ``exp(w) R`` changes with a small w (Barfoot, "State Estimation for Robotics",
    equation 7.77b); that of ``R exp(w)`` changes by the matrices at the negative vectors.
    """
    vectors = np.asarray(rotation_vector, dtype=np.float64)
    squares = np.einsum("...i,...i->...", vectors, vectors)
    half = np.sqrt(squares) / 2
    small = half < 1e-2  # where the closed form loses digits, two terms of its series are exact to 1e-14
    safe = np.where(small, 1.0, half)
    quadratic = np.where(small, 1 / 12 + squares / 720 + squares**2 / 30240, (1 - safe / np.tan(safe)) / (4 * safe**2))
    cross = cross_matrix(vectors)
    return np.asarray(np.eye(3) - cross / 2 + quadratic[..., None, None] * (cross @ cross))


def quat_xyzw_from_rotation(rotation: ArrayLike) -> Array:
    """(4,) unit quaternion x y z w, w >= 0, of a (3, 3) rotation."""
    quat = np.asarray(Rotation.from_matrix(np.asarray(rotation, dtype=np.float64)).as_quat())
    return -quat if quat[3] < 0 else quat


def rotation_from_quat_xyzw(quat_xyzw: ArrayLike) -> Array:
    """(3, 3) rotation of a (4,) quaternion x y z w of any length but zero; raises ValueError for zero or not finite."""
    quat = np.asarray(quat_xyzw, dtype=np.float64)
    length = float(np.linalg.norm(quat)) if quat.shape == (4,) else 0.0
    if not (np.isfinite(length) and length > 0):
        raise ValueError(f"quaternion: expected four finite numbers x y z w that are not all zero, got {quat_xyzw!r}")
    return np.asarray(Rotation.from_quat(quat).as_matrix())
