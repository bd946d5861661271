"""Place recognition: which of the remembered places show what a new one shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.place import Place
from slam3r_ros.loop_closure.verification import LoopConstraint, verify_loop


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


def find_loops(place: Place, earlier: Sequence[Place], count: int) -> list[LoopConstraint]:
    """Verified loops to a place from the ``count`` of the earlier ones that look most like it."""
    loops = [verify_loop(candidate, place) for candidate in most_similar(place.descriptor, earlier, count)]
    return [loop for loop in loops if loop is not None]


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
