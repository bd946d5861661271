"""Rigid and similarity transforms, quaternions, and the focal length that a pointmap implies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

RANK_TOLERANCE = 1e-9
"""Second singular value, relative to the first, below which points count as lying on one line."""
ROBUST_ITERATIONS = 10
"""Most re-weightings of `robust_similarity`; it stops earlier when nothing changes any more."""
ROBUST_CUTOFF = 2.5
"""Residual, in robust standard deviations, at which a point's weight has fallen to a quarter."""
FOCAL_ITERATIONS = 10
"""Weiszfeld iterations of `fit_focal`; DUSt3R's paper (section 3.3) finds that few are enough."""
FOCAL_SAMPLES = 2048
"""Most pixels that `fit_focal` looks at, taken on a regular grid."""
FIELD_OF_VIEW_DEFAULT = math.radians(60)
"""Field of view over the longer side, assumed where a pointmap says nothing."""
FIELD_OF_VIEW_RANGE = (math.radians(12), math.radians(140))
"""Narrowest and widest field of view over the longer side that an estimate may have."""


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """A scaling, a rotation and a translation: ``target = scale * rotation @ source + translation``."""

    scale: float
    """Length in the target of one unit of the source, positive."""
    rotation: Array
    """(3, 3), determinant +1."""
    translation: Array
    """(3,) units of the target."""

    def apply(self, points: ArrayLike) -> Array:
        """(..., 3) source points to (..., 3) target points."""
        return self.scale * (np.asarray(points, dtype=np.float64) @ self.rotation.T) + self.translation

    @property
    def rigid(self) -> Array:
        """(4, 4) rotation and translation without the scale: the pose of the source's axes in the target."""
        return rigid(self.rotation, self.translation)


def rigid(rotation: ArrayLike, translation: ArrayLike) -> Array:
    """(4, 4) transform from a (3, 3) rotation and a (3,) translation."""
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = np.asarray(translation, dtype=np.float64).reshape(3)
    return transform


def orthonormal(T: Array) -> Array:
    """(4, 4) the rigid transform nearest to one whose rotation has become inexact."""
    u, _, vt = np.linalg.svd(T[:3, :3])
    return rigid(u @ vt, T[:3, 3])


def invert_rigid(transform: ArrayLike) -> Array:
    """(4, 4) inverse of a (4, 4) rigid transform: T_a_b to T_b_a."""
    matrix = np.asarray(transform, dtype=np.float64)
    rotation = matrix[:3, :3]
    return rigid(rotation.T, -rotation.T @ matrix[:3, 3])


def moved_camera(T_camera_world: ArrayLike, moved: Similarity) -> Array:
    """(4, 4) T_camera_world of a camera in a world that has been moved; its own lengths have grown with the world's."""
    matrix = np.asarray(T_camera_world, dtype=np.float64)
    rotation = matrix[:3, :3] @ moved.rotation.T
    return rigid(rotation, moved.scale * matrix[:3, 3] - rotation @ moved.translation)


def transform_points(transform: ArrayLike, points: ArrayLike) -> Array:
    """(..., 3) points in frame b to frame a, with the (4, 4) transform T_a_b."""
    matrix = np.asarray(transform, dtype=np.float64)
    return np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def quat_xyzw_from_rotation(rotation: ArrayLike) -> Array:
    """(4,) unit quaternion x y z w, w >= 0, of a (3, 3) rotation (Shepperd 1978: the largest component first)."""
    r = np.asarray(rotation, dtype=np.float64)
    trace = float(np.trace(r))
    squares = np.array([r[0, 0], r[1, 1], r[2, 2], trace]) * 2 + 1 - trace
    squares[3] = 1 + trace
    largest = int(np.argmax(squares))
    if largest == 3:
        quat = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], squares[3]])
    else:
        i, j, k = largest, (largest + 1) % 3, (largest + 2) % 3
        quat = np.empty(4)
        quat[i], quat[j], quat[k] = squares[i], r[j, i] + r[i, j], r[k, i] + r[i, k]
        quat[3] = r[k, j] - r[j, k]
    quat /= np.linalg.norm(quat)
    return -quat if quat[3] < 0 else quat


def rotation_from_quat_xyzw(quat_xyzw: ArrayLike) -> Array:
    """(3, 3) rotation of a (4,) quaternion x y z w of any length but zero; raises ValueError for zero or not finite."""
    quat = np.asarray(quat_xyzw, dtype=np.float64)
    length = float(np.linalg.norm(quat)) if quat.shape == (4,) else 0.0
    if not (np.isfinite(length) and length > 0):
        raise ValueError(f"quaternion: expected four finite numbers x y z w that are not all zero, got {quat_xyzw!r}")
    x, y, z, w = quat / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def weighted_similarity(source: ArrayLike, target: ArrayLike, weights: ArrayLike) -> Similarity | None:
    """The similarity that minimises ``sum w |target - (s R source + t)|^2`` (Umeyama 1991, with weights).

    ``source`` and ``target`` are (N, 3), ``weights`` (N,). Points that are not finite, and weights that are not
    positive, are left out. None where what remains does not determine a similarity: fewer than three points, or all
    of them on one line in either frame. Raises ValueError when the shapes do not fit.
    """
    x, y, w = _usable(source, target, weights)
    return _umeyama(x, y, w)


def robust_similarity(source: ArrayLike, target: ArrayLike, weights: ArrayLike) -> Similarity | None:
    """`weighted_similarity` that up to about 40 % of grossly wrong points do not disturb.

    Iteratively re-weighted least squares with Geman and McClure's weights, the spread taken from the weighted median
    of the residuals. The first weights reduce points that lie far out in either frame, since one far point can
    outweigh all others in a plain least squares start. Same arguments, same None, same errors.
    """
    x, y, w = _usable(source, target, weights)
    best = _umeyama(x, y, w * _nearness(x, w) * _nearness(y, w)) if len(w) else None
    if best is None:
        return _umeyama(x, y, w)
    size = float(np.sqrt(np.average(np.sum((y - np.median(y, axis=0)) ** 2, axis=1), weights=w)))
    previous = math.inf
    for _ in range(ROBUST_ITERATIONS):
        offsets = y - best.apply(x)
        residuals = np.sqrt(np.einsum("ij,ij->i", offsets, offsets))
        spread = weighted_median(residuals, w)
        if spread <= 1e-12 * size or abs(previous - spread) <= 2e-3 * spread:
            break
        fitted = _umeyama(x, y, w / (1 + (residuals / (ROBUST_CUTOFF * spread)) ** 2) ** 2)
        if fitted is None:
            break
        best, previous = fitted, spread
    return best


def weighted_median(values: ArrayLike, weights: ArrayLike) -> float:
    """The smallest of (N,) values below or at which half of the (N,) weights lie; NaN where there are none."""
    v, w = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if not len(v):
        return math.nan
    order = np.argsort(v)
    total = np.cumsum(w[order])
    return float(v[order[min(int(np.searchsorted(total, total[-1] / 2)), len(v) - 1)]])


def _usable(source: ArrayLike, target: ArrayLike, weights: ArrayLike) -> tuple[Array, Array, Array]:
    """The points that count, as float64, their weights scaled to a maximum of 1."""
    x, y = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    w = np.asarray(weights, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != 3 or y.shape != x.shape or w.shape != x.shape[:1]:
        raise ValueError(f"similarity: expected (N, 3), (N, 3) and (N,), got {x.shape}, {y.shape} and {w.shape}")
    keep = np.isfinite(w) & (w > 0) & np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    x, y, w = x[keep], y[keep], w[keep]
    return x, y, w / w.max() if len(w) else w


def _nearness(points: Array, weights: Array) -> Array:
    """(N,) in (0, 1]: falls with the distance from the points' middle, in units of the median distance."""
    squares = ((points - np.median(points, axis=0)) ** 2).sum(axis=1)
    middle = weighted_median(squares, weights)
    near: Array = 1 / (1 + squares / middle) if middle > 0 else (squares <= 0).astype(np.float64)
    return near


def _umeyama(x: Array, y: Array, w: Array) -> Similarity | None:
    total = float(w.sum())
    if len(w) < 3 or not total > 0:
        return None
    mean_x, mean_y = w @ x / total, w @ y / total
    centred_x, centred_y = x - mean_x, y - mean_y
    variance_x = float(w @ np.sum(centred_x**2, axis=1)) / total
    covariance = (centred_y * w[:, None]).T @ centred_x / total
    if not (np.isfinite(covariance).all() and variance_x > 0):
        return None
    u, d, vt = np.linalg.svd(covariance)
    if not d[1] > RANK_TOLERANCE * d[0]:
        return None
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * signs) @ vt
    scale = float(d @ signs) / variance_x
    return Similarity(scale, rotation, mean_y - scale * rotation @ mean_x)


def fit_focal(points_camera: ArrayLike, confidence: ArrayLike) -> float | None:
    """The focal length in pixels that minimises ``sum c |pixel' - f (x, y) / z|`` (DUSt3R's paper, section 3.3).

    ``points_camera`` is (H, W, 3), x right, y down, z forward, any unit; ``confidence`` (H, W). pixel' counts from the
    principal point, taken to be the centre ((W - 1) / 2, (H - 1) / 2). Weiszfeld's iterations: least squares with the
    weights c / residual, again and again. Points that are not finite or not in front of the camera (so also the zeros
    that mark invalid ones) are left out, and those further from the axis than the widest field of view, which would
    outweigh all others. None where fewer than 16 remain or they say nothing about the focal length; otherwise within
    FIELD_OF_VIEW_RANGE. Raises ValueError when the shapes do not fit.
    """
    points = np.asarray(points_camera)
    weights = np.asarray(confidence)
    if points.ndim != 3 or points.shape[2] != 3 or weights.shape != points.shape[:2]:
        raise ValueError(f"fit_focal: expected (H, W, 3) and (H, W), got {points.shape} and {weights.shape}")
    height, width = weights.shape
    step = max(1, math.ceil(math.sqrt(height * width / FOCAL_SAMPLES)))
    rows, columns = np.arange(step // 2, height, step), np.arange(step // 2, width, step)
    grid_y, grid_x = np.meshgrid(rows - (height - 1) / 2, columns - (width - 1) / 2, indexing="ij")
    sample = points[rows[:, None], columns].reshape(-1, 3).astype(np.float64)
    weight = weights[rows[:, None], columns].reshape(-1).astype(np.float64)
    keep = np.isfinite(sample).all(axis=1) & np.isfinite(weight) & (weight > 0) & (sample[:, 2] > 0)
    widest = math.sqrt(2) * math.tan(FIELD_OF_VIEW_RANGE[1] / 2)
    keep[keep] = np.abs(sample[keep, :2]).max(axis=1) <= widest * sample[keep, 2]
    if np.count_nonzero(keep) < 16:
        return None
    pixels = np.stack([grid_x.ravel()[keep], grid_y.ravel()[keep]], axis=1)
    focal = _weiszfeld(pixels, sample[keep, :2] / sample[keep, 2:], weight[keep])
    if focal is None:
        return None
    longest, shortest = (focal_from_field_of_view(angle, width, height) for angle in FIELD_OF_VIEW_RANGE)
    return min(max(focal, shortest), longest)


def _weiszfeld(pixels: Array, rays: Array, confidence: Array) -> float | None:
    """The factor f of least ``sum c |pixels - f rays|``; None where it is not a positive number."""
    along, length = np.einsum("ij,ij->i", pixels, rays), np.einsum("ij,ij->i", rays, rays)
    off_axis = length > 1e-12
    if not off_axis.any():
        return None
    # From the weighted median of the single factors, since a least squares start is at the mercy of outliers.
    focal = weighted_median(along[off_axis] / length[off_axis], (confidence * np.sqrt(length))[off_axis])
    for _ in range(FOCAL_ITERATIONS):
        offsets = pixels - focal * rays
        distance = np.sqrt(np.einsum("ij,ij->i", offsets, offsets))
        weight = confidence / np.maximum(distance, 1e-6)
        denominator = float(weight @ length)
        if not denominator > 0:
            return None
        focal, previous = float(weight @ along) / denominator, focal
        if abs(focal - previous) <= 1e-6 * abs(focal):
            break
    return focal if np.isfinite(focal) and focal > 0 else None


def estimate_focal(points_camera: ArrayLike, confidence: ArrayLike, fallback_px: float | None = None) -> float:
    """`fit_focal`, and where that finds nothing ``fallback_px`` or the focal length of a 60 degree field of view."""
    focal = fit_focal(points_camera, confidence)
    if focal is not None:
        return focal
    height, width = np.asarray(confidence).shape
    return fallback_px if fallback_px is not None else focal_from_field_of_view(FIELD_OF_VIEW_DEFAULT, width, height)


def focal_from_field_of_view(angle_rad: float, width: int, height: int) -> float:
    """Focal length in pixels of an image whose longer side spans the angle."""
    return max(width, height) / (2 * math.tan(angle_rad / 2))
