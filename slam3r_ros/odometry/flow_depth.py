"""Distances from parallax: where dense flow finds a frame's pixels in earlier keyframes, and how far away that is.

Between the corners that are followed, and as well where the network has never seen such a place. Each distance comes
with the error to expect of it: from the way between the keyframes, the texture, and the flow's agreement with itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.klt import dense_flow


@dataclass(frozen=True, slots=True, eq=False)
class PosedImage:
    """An image and where it was taken."""

    image: FeatureImage
    T_camera_world: Array
    """(4, 4)"""


@dataclass(frozen=True, slots=True, eq=False)
class FlowDepth:
    """Of the pixels of a pointmap."""

    log_depths: NDArray[np.float32]
    """(H, W) along the optical axis, world lengths; NaN where parallax tells none."""
    deviations: NDArray[np.float32]
    """(H, W) of them; infinite there."""


def distances_by_parallax(frame: PosedImage, others: Sequence[PosedImage], shape: tuple[int, int]) -> FlowDepth:
    """What keyframes that see the same place tell of a frame's pixels, the grey image's in groups of (H, W)."""
    pixels, rays = frame.image.pixels(shape), frame.image.rays(shape)
    texture = _structure(frame.image.grey, shape)
    each = [
        _triangulated(frame, other, pixels, rays, texture, _found(frame.image.grey, other.image.grey, shape))
        for other in others
    ]
    weight = sum((information for _, information in each), np.zeros(shape))
    told = weight > 0
    mean = sum((information * inverse for inverse, information in each), np.zeros(shape)) / np.where(told, weight, 1.0)
    contradiction = sum((information * (inverse - mean) ** 2 for inverse, information in each), np.zeros(shape))
    told &= (mean > 0) & (contradiction < TUNING.flow_max_disagreement)
    safe = np.where(told, mean, 1.0)
    deviations = np.sqrt(1 / np.where(told, weight, 1) / safe**2 + TUNING.flow_depth_min_sigma**2)
    return FlowDepth(
        np.where(told, -np.log(safe), np.float32(np.nan)).astype(np.float32),
        np.where(told, deviations, np.float32(np.inf)).astype(np.float32),
    )


def _found(
    grey: NDArray[np.uint8], other: NDArray[np.uint8], shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flow (H, W, 2) from one image to another, pixels, and how far from its beginning its way back ends (H, W)."""
    forth, back = dense_flow(grey, other, TUNING.flow_finest_level), dense_flow(other, grey, TUNING.flow_finest_level)
    rows, columns = np.indices(grey.shape, dtype=np.float32)
    returned = cv2.remap(
        back,
        columns + forth[..., 0],
        rows + forth[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(np.inf, np.inf),
    )
    missed = np.linalg.norm(forth + returned, axis=2)
    size = (shape[1], shape[0])
    flow, off = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (forth, missed))
    return np.asarray(flow, np.float32), np.asarray(off, np.float32)


def _structure(grey: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W, 3) mean products of the gradient around each pixel: x x, x y, y y, squared grey levels a pixel."""
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)
    products = np.stack([across * across, across * down, down * down], axis=2)
    smooth = cv2.boxFilter(products, -1, (TUNING.flow_texture_window_px, TUNING.flow_texture_window_px))
    return np.asarray(cv2.resize(smooth, (shape[1], shape[0]), interpolation=cv2.INTER_AREA), np.float32)


def _triangulated(
    frame: PosedImage,
    other: PosedImage,
    pixels: NDArray[np.float32],
    rays: NDArray[np.float32],
    texture: NDArray[np.float32],
    found: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Inverse depths (H, W) of a frame's pixels by the flow to another one, and their information.

    A pixel at inverse depth d is seen there at ``a + d t`` over its last coordinate, where a is its ray turned and t
    the way: linear in d once the pixel that is seen is put in.
    """
    flow, missed = found
    T = (other.T_camera_world @ invert_rigid(frame.T_camera_world)).astype(np.float32)
    focal = float(other.image.matrix[0, 0])
    seen = other.image.normalized_xy(pixels + flow).astype(np.float32)
    turned = rays @ T[:3, :3].T
    by_depth = (T[:2, 3] - seen * T[2, 3]) / turned[..., 2:]
    offset = seen - turned[..., :2] / turned[..., 2:]
    length = np.linalg.norm(by_depth, axis=2) + np.float32(1e-12)
    along = by_depth / length[..., None]
    off_line = np.abs(offset[..., 0] * along[..., 1] - offset[..., 1] * along[..., 0]) * focal
    gradient = (
        texture[..., 0] * along[..., 0] ** 2
        + 2 * texture[..., 1] * along[..., 0] * along[..., 1]
        + texture[..., 2] * along[..., 1] ** 2
    )
    variance = (
        (TUNING.flow_sigma_px / focal) ** 2
        * (1 + (missed / TUNING.flow_sigma_px) ** 2)
        * (1 + TUNING.flow_rich_gradient**2 / (gradient + 1e-6))
    )
    told = (missed < TUNING.flow_max_return_px) & (off_line < TUNING.flow_max_epipolar_px) & (turned[..., 2] > 0.1)
    inverse = np.einsum("hwi,hwi->hw", along, offset) / length
    return np.where(told, inverse, 0), np.where(told, length**2 / np.where(told, variance, 1), 0)
