"""Place recognition: which of the remembered places show what a new one shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.place import Place, PlaceView, thumbnail_positions
from slam3r_ros.loop_closure.tuning import TUNING
from slam3r_ros.loop_closure.verification import LoopConstraint, verify_loop
from slam3r_ros.vision.feature_image import Features
from slam3r_ros.vision.tuning import TUNING as VISION_TUNING

_STEP = 8
"""Every eighth pixel of a place's small image, across and down, says what it shows."""


@dataclass(frozen=True, slots=True, eq=False)
class PlaceHint:
    """About where the camera is, as somebody knows who sees the map."""

    position_world: Array
    """(3,) the position in the world of the places."""
    up_world: Array
    """(3,) a unit vector; how far places are apart along it does not count."""
    radius: float
    """Distance within which a place is near, in the world's lengths; 0 for the median depth that the places see."""


def near_places(hint: PlaceHint, places: Sequence[Place], nodes: Sim3, least: int) -> NDArray[np.bool_]:
    """(P,) which places, with their nodes (P,), are near where the camera is said to be; the ``least`` nearest ones are
    in any case."""
    if not places:
        return np.zeros(0, np.bool_)
    away = nodes.translation - hint.position_world
    distances = np.linalg.norm(away - (away @ hint.up_world)[:, None] * hint.up_world, axis=1)
    radius = hint.radius or float(np.median([place.depth for place in places] * nodes.scale))
    return np.asarray(distances <= max(radius, np.sort(distances)[:least][-1]))


def find_loops(
    place: Place, earlier: Sequence[Place], count: int, expected: Sequence[Place] = ()
) -> list[LoopConstraint]:
    """Verified loops to a place from the ``count`` of the earlier ones that look most like it, from those that have
    most features in common with it, and from those that are expected to show the same."""
    similar = most_similar(place.descriptor, earlier, count)
    chosen = [*similar, *most_matching(place.features, earlier, TUNING.matching_places), *expected]
    candidates = {each.index: each for each in chosen}.values()
    loops = [verify_loop(candidate, place) for candidate in candidates]
    return [loop for loop in loops if loop is not None]


def most_matching(features: Features, places: Sequence[Place], count: int) -> list[Place]:
    """The ``count`` places with most votes of features, the best first; none with too few. A feature votes for the
    place that has the one most like it, if those of all other places are clearly less like it (Lowe 2004)."""
    places = [place for place in places if len(place.features.pixels)]
    own = features.first(TUNING.votes).compared
    if len(places) < 2 or not len(own):
        return []
    each_has = max(1, min(TUNING.voting_features, TUNING.most_voting_features // len(places)))
    remembered = [place.features.first(each_has).compared for place in places]
    starts = np.cumsum([0, *(len(each) for each in remembered)])[:-1]
    cosines = np.maximum.reduceat(own @ np.concatenate(remembered).T, starts, axis=1)
    second, best = np.partition(cosines, -2, axis=1)[:, -2:].T
    votes_for = cosines.argmax(axis=1)[1 - best < VISION_TUNING.match_ratio**2 * (1 - second)]
    votes = np.bincount(votes_for, minlength=len(places))
    order = np.argsort(-votes, kind="stable")[:count]
    return [places[position] for position in order if votes[position] >= TUNING.least_votes]


def expected_in_view(view: PlaceView, places: Sequence[Place], nodes: Sim3, count: int) -> list[Place]:
    """The ``count`` places, with nodes (P,), of which a camera sees most where it is believed to be, the best first:
    whatever they look like from there. None of which it sees too little."""
    if not places:
        return []
    chosen = (slice(_STEP // 2, None, _STEP),) * 2
    side = TUNING.thumbnail_px
    shares = thumbnail_positions().reshape(side, side, 2)[chosen].reshape(-1, 2)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        depths = np.exp(np.stack([place.thumbnail_log_depths[chosen].ravel() for place in places]).astype(np.float64))
        sizes = np.array([(place.width, place.height) for place in places], np.float64)
        centres = np.stack([place.matrix[:2, 2] for place in places])
        focal = np.stack([place.matrix[[0, 1], [0, 1]] for place in places])
        rays = (shares * sizes[:, None] - 0.5 - centres[:, None]) / focal[:, None]
        points = np.concatenate([rays, np.ones((*rays.shape[:2], 1))], axis=2) * depths[..., None]
        seen = transform_points(invert_rigid(view.T_world_camera), nodes.apply(points))
        matrix = view.image.matrix
        at = seen[..., :2] / seen[..., 2:] * matrix[[0, 1], [0, 1]] + matrix[:2, 2] + 0.5
        inside = (seen[..., 2] > 0) & (at > 0).all(axis=2) & (at < [view.image.width, view.image.height]).all(axis=2)
    known = np.isfinite(depths)
    share = (inside & known).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    order = [p for p in np.argsort(-share, kind="stable")[:count] if share[p] >= TUNING.min_shared_view]
    return [places[position] for position in order]


def most_similar(descriptor: NDArray[np.float32], places: Sequence[Place], count: int) -> list[Place]:
    """The ``count`` places with the highest similarity score, the best first: the cosine of the angle between the
    descriptors, from all of which the places' mean has been subtracted."""
    if not places:
        return []
    described = np.stack([place.descriptor for place in places]).astype(np.float64)
    common = described.mean(axis=0)
    apart, wanted = described - common, descriptor - common
    lengths = np.linalg.norm(apart, axis=1) * np.linalg.norm(wanted)
    order = np.argsort(-(apart @ wanted) / np.maximum(lengths, 1e-12), kind="stable")
    return [places[position] for position in order[:count]]
