"""Inverse depths to a fraction of a pixel: one Gauss-Newton step of a window along its epipolar lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from slam3r_ros.dense_depth.alignment import image_and_gradient
from slam3r_ros.dense_depth.posed_view import EpipolarGeometry, Image, PosedView, normalised_contrast
from slam3r_ros.dense_depth.tuning import TUNING

_BORDER_PX = 1
"""Pixels at the edge of an image that are not compared."""


@dataclass(frozen=True, slots=True, eq=False)
class RefinedDepth:
    """Of every pixel of the reference."""

    inverse_depth: Image
    """(H, W)"""
    views: Image
    """(H, W) sum of the partners' weights, each at most 1: how many see the pixel and agree."""
    disagreement: Image
    """(H, W) standard deviation of inverse depth by which the partners' own steps differ."""


def refined(reference: PosedView, partners: Sequence[PosedView], inverse_depth: Image) -> RefinedDepth:
    """A step from inverse depths (H, W) that makes the partners' windows more equal to the reference's.

    Least squares of the difference of the normalised images (Lucas and Kanade 1981, along the epipolar line), all
    partners together, each weighted by how well it agrees; damped, so that a window without texture stays.
    """
    window, floor = TUNING.refinement_contrast_window_px, TUNING.refinement_contrast_floor
    image = normalised_contrast(reference.grey, window, floor, TUNING.contrast_gain)
    zero = np.zeros_like(inverse_depth)
    gradient, curvature, views, squared_parallax, separate = (zero.copy() for _ in range(5))
    for partner in partners:
        each = _Partner.at(image, reference, partner, inverse_depth)
        gradient += each.gradient
        curvature += each.curvature
        views += each.weight
        squared_parallax += each.squared_parallax
        separate += each.gradient**2 / (each.curvature + TUNING.refinement_damping * each.squared_parallax + 1e-9)
    total = curvature + TUNING.refinement_damping * squared_parallax + 1e-9
    step = TUNING.step_share * gradient / total
    longest = TUNING.max_step_px / np.sqrt(np.maximum(squared_parallax, 1e-12))
    disagreement = np.sqrt(np.maximum(separate - gradient**2 / total, 0) / total)
    moved = np.maximum(inverse_depth + step.clip(-longest, longest), 1e-9)
    return RefinedDepth(moved, views, disagreement)


def smoothed(inverse_depth: Image, parallax_per_inverse_depth: float) -> Image:
    """(H, W) after a bilateral filter. On planes inverse depth is linear in the image, so these stay as they are."""
    sigma = TUNING.smoothing_parallax_px / max(parallax_per_inverse_depth, 1e-9)
    side = TUNING.smoothing_px
    return np.asarray(cv2.bilateralFilter(inverse_depth, side, sigma, side / 2), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Partner:
    """One partner's part in the normal equation of every pixel, all (H, W)."""

    gradient: Image
    curvature: Image
    weight: Image
    squared_parallax: Image

    @classmethod
    def at(cls, image: Image, reference: PosedView, partner: PosedView, inverse_depth: Image) -> _Partner:
        """At inverse depths (H, W)."""
        window, floor = TUNING.refinement_contrast_window_px, TUNING.refinement_contrast_floor
        geometry = EpipolarGeometry.between(reference, partner)
        height, width = image.shape
        columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        at_infinity, epipole = geometry.at_infinity.astype(np.float32), geometry.epipole.astype(np.float32)
        x, y, z = (
            at_infinity[i, 0] * columns + at_infinity[i, 1] * rows + at_infinity[i, 2] + inverse_depth * epipole[i]
            for i in range(3)
        )
        over = 1 / np.maximum(z, np.float32(1e-6))
        u, v = x * over, y * over
        there = cv2.remap(image_and_gradient(partner, window, floor), u, v, cv2.INTER_LINEAR)
        inside = (
            (z > 1e-6)
            & (u >= _BORDER_PX)
            & (v >= _BORDER_PX)
            & (u <= partner.size[0] - 1 - _BORDER_PX)
            & (v <= partner.size[1] - 1 - _BORDER_PX)
        )
        by_u, by_v = (epipole[0] - u * epipole[2]) * over, (epipole[1] - v * epipole[2]) * over
        slope = np.where(inside, there[..., 1] * by_u + there[..., 2] * by_v, 0)
        residual = np.where(inside, image - there[..., 0], 0)
        error = _mean(residual**2)
        weight = np.where(inside, 1 / (1 + error / TUNING.refinement_kernel**2) ** 2, 0)
        return cls(
            weight * _mean(slope * residual),
            weight * _mean(slope**2),
            weight,
            weight * np.where(inside, by_u**2 + by_v**2, 0),
        )


def _mean(values: Image) -> Image:
    side = TUNING.refinement_window_px
    return np.asarray(cv2.boxFilter(values, -1, (side, side)), np.float32)
