"""Two-view depth from optical flow: dense flow finds a frame's pixels in earlier keyframes, and their depths are
triangulated.

It gives depths between the landmarks, and does so as well where the networks have never seen such a place. Every
inverse depth (Civera et al. 2008) comes with its variance. That depends on the baseline, the texture along the epipolar
line and the flow's forward-backward error, much as in semi-dense visual odometry (Engel, Sturm and Cremers 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.klt import dense_flow

MIN_RAY_DEPTH = 0.1
"""Smallest depth in the other camera of a frame's unit ray, rotated there; pixels nearer to its edge have no depth."""
_OUTSIDE_PX = 1e4
"""Flow back from outside the other image, far more than any that agrees with the flow forth."""


@dataclass(frozen=True, slots=True, eq=False)
class PosedImage:
    """A grey image and the camera pose at which it was taken."""

    image: FeatureImage
    """The grey image and its intrinsics."""
    T_camera_world: Array
    """(4, 4) rigid transform that takes world points to the camera."""


@dataclass(frozen=True, slots=True, eq=False)
class FlowDepth:
    """Triangulated depths of the pixels of a pointmap (H, W)."""

    log_depths: NDArray[np.float32]
    """(H, W) logarithms of the depths along the optical axis, in world lengths; NaN where none was triangulated."""
    sigmas: NDArray[np.float32]
    """(H, W) standard deviations of these logarithms; infinite where none was triangulated."""


@dataclass(frozen=True, slots=True, eq=False)
class _Flow:
    """Optical flow from a frame to another image, resampled to the pixels of a pointmap (H, W)."""

    vectors: NDArray[np.float32]
    """(H, W, 2) motion of each pixel, in pixels of the grey image."""
    return_errors: NDArray[np.float32]
    """(H, W) distance from each pixel to where the flow forth and back takes it, in pixels of the grey image."""


def triangulate_flow(frame: PosedImage, others: Sequence[PosedImage], shape: tuple[int, int]) -> FlowDepth:
    """The depths of a frame's pixels by several keyframes that see the same place, combined by inverse variances.

    ``shape`` is the (H, W) of the pointmap, whose pixels are groups of those of the networks' crop. Where the keyframes
    contradict each other, a pixel has no depth. The flow is found in images near the nominal size.
    """
    frame, others = (_near_nominal_size(frame), [_near_nominal_size(other) for other in others])
    pixels, rays = frame.image.pixels(shape), frame.image.rays(shape)
    texture = _at_cells(_structure_tensor(frame.image.grey), frame.image, shape)
    pairs = [
        _triangulate_pair(frame, other, pixels, rays, texture, _flow(frame.image, other.image, shape))
        for other in others
    ]
    weight = sum((information for _, information in pairs), np.zeros(shape))
    has_depth = weight > 0
    total = sum((information * inverse for inverse, information in pairs), np.zeros(shape))
    mean = total / np.where(has_depth, weight, 1.0)
    disagreement = sum((information * (inverse - mean) ** 2 for inverse, information in pairs), np.zeros(shape))
    has_depth &= (mean > 0) & (disagreement < TUNING.flow_max_disagreement)
    inverse_depths = np.where(has_depth, mean, 1.0)
    variances = 1 / np.where(has_depth, weight, 1) / inverse_depths**2  # of the logarithm
    sigmas = np.sqrt(variances + TUNING.flow_depth_min_sigma**2)
    return FlowDepth(
        np.where(has_depth, -np.log(inverse_depths), np.float32(np.nan)).astype(np.float32),
        np.where(has_depth, sigmas, np.float32(np.inf)).astype(np.float32),
    )


def _near_nominal_size(posed: PosedImage) -> PosedImage:
    return replace(posed, image=posed.image.near_nominal_size())


def _at_cells(values: NDArray[np.float32], image: FeatureImage, shape: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W, ...) means of an image's values (height, width, ...) over the pixels of ``shape`` = (H, W) equal cells of
    the crop."""
    part = image.crop
    x, y = image.width * part.width / shape[1], image.height * part.height / shape[0]  # pixels of a cell
    to_image = np.array([[x, 0, image.width * part.left + (x - 1) / 2], [0, y, image.height * part.top + (y - 1) / 2]])
    smooth = cv2.blur(values, (max(1, round(x)), max(1, round(y))), borderType=cv2.BORDER_REPLICATE)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (shape[1], shape[0])
    return np.asarray(cv2.warpAffine(smooth, to_image, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _flow(image: FeatureImage, other_image: FeatureImage, shape: tuple[int, int]) -> _Flow:
    """Dense flow from one image to another, with its forward-backward error."""
    level, grey, other = TUNING.flow_finest_level, image.grey, other_image.grey
    forth, back = dense_flow(grey, other, level), dense_flow(other, grey, level)
    rows, columns = np.indices(grey.shape, dtype=np.float32)
    returning = cv2.remap(
        back,
        columns + forth[..., 0],
        rows + forth[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(_OUTSIDE_PX, _OUTSIDE_PX),
    )
    errors = np.linalg.norm(forth + returning, axis=2)
    return _Flow(_at_cells(forth, image, shape), _at_cells(errors, image, shape))


def _structure_tensor(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(height, width, 3) mean products x x, x y and y y of the image's gradient around each pixel, in squared grey
    levels a pixel."""
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)
    products = np.stack([across * across, across * down, down * down], axis=2)
    side = TUNING.flow_texture_window_px
    return np.asarray(cv2.boxFilter(products, -1, (side, side)), np.float32)


def _triangulate_pair(
    frame: PosedImage,
    other: PosedImage,
    pixels: NDArray[np.float32],
    rays: NDArray[np.float32],
    texture: NDArray[np.float32],
    flow: _Flow,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Inverse depths (H, W) of a frame's pixels by the flow to one other image, and their information (1 / variance),
    which is 0 where there is no depth.

    With ``a`` the ray of a pixel rotated to the other camera and ``t`` the translation between the cameras, the pixel
    at inverse depth d projects to ``a + d t``, divided by its last coordinate. With the observed projection put in,
    that is linear in d: ``offset = d * epipolar``. Of these two equations the part along the epipolar line gives d,
    and the part across it shows outliers.
    """
    focal = float(other.image.matrix[0, 0])
    T = (other.T_camera_world @ invert_rigid(frame.T_camera_world)).astype(np.float32)
    observed = other.image.normalized_xy(pixels + flow.vectors).astype(np.float32)
    rotated = rays @ T[:3, :3].T
    epipolar = (T[:2, 3] - observed * T[2, 3]) / rotated[..., 2:]
    offset = observed - rotated[..., :2] / rotated[..., 2:]
    length = np.linalg.norm(epipolar, axis=2) + np.float32(1e-12)
    direction = epipolar / length[..., None]
    epipolar_errors = np.abs(offset[..., 0] * direction[..., 1] - offset[..., 1] * direction[..., 0]) * focal
    squared_gradient = (
        texture[..., 0] * direction[..., 0] ** 2
        + 2 * texture[..., 1] * direction[..., 0] * direction[..., 1]
        + texture[..., 2] * direction[..., 1] ** 2
    )
    variance = (
        (TUNING.flow_sigma_px / focal) ** 2
        * (1 + (flow.return_errors / TUNING.flow_sigma_px) ** 2)
        * (1 + TUNING.flow_rich_gradient**2 / (squared_gradient + 1e-6))
    )
    has_depth = (
        (flow.return_errors < TUNING.flow_max_return_px)
        & (epipolar_errors < TUNING.flow_max_epipolar_px)
        & (rotated[..., 2] > MIN_RAY_DEPTH)
    )
    inverse_depths = np.einsum("hwi,hwi->hw", direction, offset) / length
    information = length**2 / np.where(has_depth, variance, 1)
    return np.where(has_depth, inverse_depths, 0), np.where(has_depth, information, 0)
