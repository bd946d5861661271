"""Dense depth of a keyframe: sweep, correct the poses, sweep again, refine, and say how sure each pixel is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from slam3r_ros.dense_depth.alignment import aligned_partners
from slam3r_ros.dense_depth.partners import covisibility
from slam3r_ros.dense_depth.plane_sweep import inverse_depth_planes, matching_costs
from slam3r_ros.dense_depth.posed_view import DepthMap, Image, PosedView
from slam3r_ros.dense_depth.refinement import RefinedDepth, refined, smoothed
from slam3r_ros.dense_depth.semi_global import semi_global_planes
from slam3r_ros.dense_depth.tuning import TUNING


def dense_depth(reference: PosedView, partners: Sequence[PosedView], guess: Image, *, align: bool = True) -> DepthMap:
    """Depth of every pixel of the reference that its partners tell, in scene units, with its standard deviation.

    ``guess`` (H, W) are depths that are known roughly, of landmarks or by the networks, NaN elsewhere: they bound the
    planes that are searched, and a wrong scale of a factor up to 1.5 does not matter. ``partners`` see about the same
    from elsewhere, earlier or later (`choose_partners`). With ``align`` their poses are corrected by the images first.
    Nothing is known where there are no partners, no guess, or no parallax. Raises ValueError if the guess has not the
    reference's shape.
    """
    if guess.shape != reference.grey.shape:
        raise ValueError(f"dense_depth: expected a guess of {reference.grey.shape}, got {guess.shape}")
    usable = np.where(guess > 0, guess, np.nan).astype(np.float32)
    if not partners or not np.isfinite(usable).any():
        return DepthMap.unknown(reference)
    widest = max(covisibility(reference, partner, usable).parallax_px for partner in partners)
    if widest < TUNING.min_parallax_share * reference.size[0]:
        return DepthMap.unknown(reference)
    parallax = widest * float(np.nanmedian(usable))
    if align:
        partners = _with_better_poses(reference, partners, usable, widest)
    swept = _swept(reference, partners, usable, widest, TUNING.sweep_scale)
    found = refined(reference, partners, swept.inverse_depth)
    inverse = smoothed(found.inverse_depth, parallax)
    sigma = np.sqrt(sum((factor * part) ** 2 for factor, part in sigma_parts(swept, found, inverse)))
    known = (found.views >= TUNING.min_views) & (sigma <= TUNING.max_sigma)
    return DepthMap(
        np.where(known, 1 / inverse, np.nan).astype(np.float32), np.where(known, sigma, np.inf).astype(np.float32)
    )


@dataclass(frozen=True, slots=True, eq=False)
class SweptDepth:
    """What a sweep tells of the pixels of the whole image; inverse scene units."""

    inverse_depth: Image
    """(H, W)"""
    ambiguity: Image
    """(H, W) root mean square distance of other likely inverse depths."""
    correction: Image
    """(H, W) by how much the median filter changed it."""


def _with_better_poses(
    reference: PosedView, partners: Sequence[PosedView], guess: Image, widest_parallax_px: float
) -> list[PosedView]:
    """Partners whose poses agree with the images at the depths of a coarse sweep, all at the scale of the second one.

    These depths are refined until they have lost the error of the coarse planes, which else would move the poses.
    """
    coarse = _swept(reference, partners, guess, widest_parallax_px, TUNING.alignment_sweep_scale).inverse_depth
    small, *smaller = (view.scaled(TUNING.sweep_scale) for view in (reference, *partners))
    inverse = np.asarray(cv2.resize(coarse, small.size, interpolation=cv2.INTER_AREA), np.float32)
    for _ in range(TUNING.alignment_refinements):
        inverse = refined(small, smaller, inverse).inverse_depth
    parallax = widest_parallax_px * TUNING.sweep_scale * float(np.nanmedian(guess))
    better = aligned_partners(small, smaller, smoothed(inverse, parallax))
    return [view.placed(moved.T_world_camera) for view, moved in zip(partners, better, strict=True)]


def _swept(
    reference: PosedView, partners: Sequence[PosedView], guess: Image, widest_parallax_px: float, scale: float
) -> SweptDepth:
    """Sweep images of a smaller scale, and enlarge what they tell."""
    small = reference.scaled(scale)
    planes = inverse_depth_planes(guess, widest_parallax_px * scale)
    costs = matching_costs(small, [partner.scaled(scale) for partner in partners], planes)
    found = semi_global_planes(costs, small.grey)
    step = np.float32(planes[1] - planes[0])
    plane, ambiguity, correction = (
        np.asarray(cv2.resize(each, reference.size, interpolation=cv2.INTER_LINEAR), np.float32)
        for each in (found.plane, found.ambiguity, found.correction)
    )
    return SweptDepth(np.float32(planes[0]) + plane * step, ambiguity * step, correction * step)


def sigma_parts(swept: SweptDepth, found: RefinedDepth, inverse: Image) -> list[tuple[float, Image]]:
    """What makes log depth unsure, (H, W) each, and the factor with which it counts; squares are to be added."""
    side = (TUNING.spread_window_px, TUNING.spread_window_px)
    mean = cv2.boxFilter(inverse, -1, side)
    spread = np.sqrt(np.maximum(cv2.sqrBoxFilter(inverse, cv2.CV_32F, side) - mean**2, 0))
    return [
        (TUNING.sigma_floor, np.ones_like(inverse)),
        (TUNING.sigma_per_ambiguity, swept.ambiguity / inverse),
        (TUNING.sigma_per_spread, spread / inverse),
        (TUNING.sigma_per_correction, swept.correction / inverse),
        (TUNING.sigma_per_disagreement, found.disagreement / inverse),
    ]
