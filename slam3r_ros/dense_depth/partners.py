"""Which images to compare a keyframe with: by overlap and parallax, not by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slam3r_ros.dense_depth.posed_view import Image, PosedView
from slam3r_ros.dense_depth.tuning import TUNING
from slam3r_ros.geometry.se3 import invert_rigid

GRID_PX = 16
"""Distance of the pixels that a choice looks at."""


@dataclass(frozen=True, slots=True)
class Covisibility:
    """What two views have in common, as far as a guess of the depths tells."""

    overlap: float
    """Share of the reference's pixels that the partner sees."""
    parallax_px: float
    """Median motion of them that is due to the way between the cameras, pixels of the partner; 0 without overlap."""
    zoom: float
    """Median ratio of their depth in the partner to that in the reference."""


def covisibility(reference: PosedView, partner: PosedView, guess: Image) -> Covisibility:
    """Of a partner, by a guess (H, W) of the reference's depths, NaN where there is none: there it is the median."""
    width, height = reference.size
    rows, columns = np.mgrid[GRID_PX // 2 : height : GRID_PX, GRID_PX // 2 : width : GRID_PX]
    depths = guess[rows, columns].ravel().astype(np.float64)
    known = np.isfinite(depths)
    depths = np.where(known, depths, np.median(depths[known]) if known.any() else np.nanmedian(guess))
    pixels = np.stack([columns.ravel(), rows.ravel(), np.ones(columns.size)])
    T = invert_rigid(partner.T_world_camera) @ reference.T_world_camera
    turned = T[:3, :3] @ np.linalg.inv(reference.matrix) @ pixels
    points = turned * depths + T[:3, 3:]
    front = (points[2] > 0) & (turned[2] > 0)
    if not front.any():
        return Covisibility(0.0, 0.0, 1.0)
    points, turned, depths = points[:, front], turned[:, front], depths[front]
    seen, at_infinity = ((partner.matrix @ each)[:2] / each[2] for each in (points, turned))
    inside = (seen >= 0).all(axis=0) & (seen < np.array(partner.size)[:, None]).all(axis=0)
    if not inside.any():
        return Covisibility(0.0, 0.0, 1.0)
    parallax = np.linalg.norm(seen - at_infinity, axis=0)[inside]
    return Covisibility(
        np.count_nonzero(inside) / len(front),
        float(np.median(parallax)),
        float(np.median(points[2, inside] / depths[inside])),
    )


def choose_partners(
    reference: PosedView, candidates: Sequence[PosedView], guess: Image, count: int = TUNING.partners
) -> list[int]:
    """Positions of at most ``count`` candidates, the best first; fewer where the others tell too little.

    A candidate's score is the product of its squared overlap, how near its parallax is to the best one, and how equal
    the sizes of things are in both images. Each choice lowers the score of candidates near the chosen one.
    """
    if not np.isfinite(guess).any():
        return []
    best_px = TUNING.parallax_share * reference.size[0]
    scores = np.zeros(len(candidates))
    for number, candidate in enumerate(candidates):
        seen = covisibility(reference, candidate, guess)
        if seen.parallax_px < TUNING.min_parallax_share * reference.size[0]:
            continue
        ratio = seen.parallax_px / best_px
        scores[number] = seen.overlap**2 * 2 * ratio / (1 + ratio**2) * min(seen.zoom, 1 / seen.zoom)
    places = np.array([each.T_world_camera[:3, 3] for each in candidates]).reshape(-1, 3)
    chosen: list[int] = []
    while len(chosen) < min(count, len(candidates)):
        best = int(np.argmax(scores))
        if scores[best] < TUNING.min_partner_score:
            break
        chosen.append(best)
        way = float(np.linalg.norm(places[best] - reference.T_world_camera[:3, 3]))
        apart = np.linalg.norm(places - places[best], axis=1) / max(way, 1e-12)
        scores *= np.sqrt(np.minimum(apart / TUNING.same_place_share, 1))
        scores[best] = 0
    return chosen
