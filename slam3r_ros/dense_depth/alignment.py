"""Direct image alignment: a partner's pose corrected so that its image agrees with the keyframe's at known depths."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.dense_depth.posed_view import Image, PosedView, normalised_contrast
from slam3r_ros.dense_depth.tuning import TUNING
from slam3r_ros.geometry.se3 import Array, invert_rigid, orthonormal, rigid

_BORDER_PX = 2
"""Pixels at the edge of an image that are not compared."""
_GRADIENT = 1 / 32
"""Of Scharr's filter, to units a pixel."""


def image_and_gradient(view: PosedView, window: int, floor: float) -> Image:
    """(H, W, 3) the normalised image and its gradient across and down, units a pixel."""
    image = normalised_contrast(view.grey, window, floor, TUNING.contrast_gain)
    across = cv2.Scharr(image, cv2.CV_32F, 1, 0, scale=_GRADIENT)
    down = cv2.Scharr(image, cv2.CV_32F, 0, 1, scale=_GRADIENT)
    return np.dstack([image, across, down])


def aligned_partners(reference: PosedView, partners: Sequence[PosedView], inverse_depth: Image) -> list[PosedView]:
    """Partners with poses at which their images agree with the reference's at inverse depths (H, W).

    The depths' own scale must not leak into the poses: the ways from the reference to all partners together keep their
    length.
    """
    moved = [aligned(reference, partner, inverse_depth) for partner in partners]
    origin = reference.T_world_camera[:3, 3]
    before, after = (np.array([each.T_world_camera[:3, 3] - origin for each in views]) for views in (partners, moved))
    scale = float((before * after).sum() / max(float(np.square(after).sum()), 1e-30))
    if not scale > 0:
        return list(partners)
    return [
        view.placed(rigid(view.T_world_camera[:3, :3], origin + scale * way))
        for view, way in zip(moved, after, strict=True)
    ]


def aligned(reference: PosedView, partner: PosedView, inverse_depth: Image) -> PosedView:
    """The partner with the pose at which its image agrees best with the reference's at inverse depths (H, W).

    Robust Gauss-Newton on the difference of the normalised images (direct alignment as in Engel 2017), near to the pose
    it has: an error that all depths have in common looks like a turn and a shift, and only the pose's prior keeps it
    from becoming one. The partner stays where it is if it sees too little.
    """
    window, floor = TUNING.alignment_contrast_window_px, TUNING.alignment_contrast_floor
    stride = TUNING.alignment_stride_px
    rows, columns = np.mgrid[
        stride // 2 : inverse_depth.shape[0] : stride, stride // 2 : inverse_depth.shape[1] : stride
    ]
    grey = normalised_contrast(reference.grey, window, floor, TUNING.contrast_gain)[rows, columns].ravel()
    points = (reference.rays()[rows, columns] / inverse_depth[rows, columns, None]).reshape(-1, 3).astype(np.float64)
    image = image_and_gradient(partner, window, floor)
    T = invert_rigid(partner.T_world_camera) @ reference.T_world_camera
    focal = partner.matrix[0, 0] / TUNING.alignment_prior_px
    depth = float(np.median(points[:, 2]))
    prior = np.repeat([focal**2, (focal / depth) ** 2], 3)
    moved = np.zeros(6)
    for _ in range(TUNING.alignment_steps):
        normal, gradient, count = _normal_equations(grey, points, image, partner.matrix, T)
        if count < TUNING.min_aligned_pixels:
            return partner
        step = TUNING.step_share * np.linalg.solve(normal + np.diag(prior), gradient - prior * moved)
        moved += step
        T = rigid(cv2.Rodrigues(step[:3])[0], step[3:]) @ T
    return partner.placed(reference.T_world_camera @ invert_rigid(orthonormal(T)))


def _normal_equations(grey: Image, points: Array, image: Image, matrix: Array, T: Array) -> tuple[Array, Array, int]:
    """(6, 6) and (6,) of a turn and a shift after T (4, 4), and how many points (N, 3) the image sees."""
    seen = points @ T[:3, :3].T + T[:3, 3]
    z = np.maximum(seen[:, 2], 1e-9)
    pixels = (seen[:, :2] / z[:, None]) * [matrix[0, 0], matrix[1, 1]] + matrix[:2, 2]
    u, v = pixels.T.astype(np.float32)
    there = np.asarray(cv2.remap(image, u[None], v[None], cv2.INTER_LINEAR), np.float32)[0]
    last = np.array([image.shape[1], image.shape[0]]) - 1 - _BORDER_PX
    inside: NDArray[np.bool_] = (seen[:, 2] > 0) & ((pixels >= _BORDER_PX) & (pixels <= last)).all(axis=1)
    residuals = np.where(inside, grey - there[:, 0], 0)
    weights = np.where(inside, 1 / (1 + (residuals / TUNING.alignment_kernel) ** 2) ** 2, 0)
    by_x, by_y = there[:, 1] * matrix[0, 0] / z, there[:, 2] * matrix[1, 1] / z
    by_point = np.stack([by_x, by_y, -(by_x * seen[:, 0] + by_y * seen[:, 1]) / z], axis=1)
    jacobian = np.concatenate([np.cross(seen, by_point), by_point], axis=1)
    variance = float((weights * residuals**2).sum()) / max(float(weights.sum()), 1e-9) + 1e-6
    weighted = jacobian * (weights * TUNING.independent_share / variance)[:, None]
    return weighted.T @ jacobian, weighted.T @ residuals, int(np.count_nonzero(inside))
