"""The nearest part along many rays at once.

Rays are cast in bundles of neighbours from one point: parts whose bounding sphere lies outside a bundle's cone are left
out, what remains is tested pair by pair, shape by shape, in a few tensor operations.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .parts import Shape
from .shapes import spans
from .world import World

RAYS = 64
"""Rays of a bundle."""
PAIRS_AT_ONCE = {"cpu": 4_000, "cuda": 200_000}
"""Pairs of a bundle and a part that are tested in one go: few enough for a CPU's cache, many enough for a GPU."""
SHELL = -1
"""Part number of the enclosing room."""
NOTHING = -2
"""Part number where a ray meets nothing."""
_WIDEST = 1.4
"""Cones of a larger half angle are not compared with boxes, radians."""


@dataclass(frozen=True, slots=True, eq=False)
class Bundles:
    """B bundles of RAYS rays."""

    origin: Tensor
    """(B, 3) float32, world, metres."""
    direction: Tensor
    """(B, 3, RAYS) float32, world."""


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """What rays meet first."""

    distance: Tensor
    """(B, RAYS) float32, in lengths of the direction; infinite where there is nothing."""
    part: Tensor
    """(B, RAYS) int64: index of the part, SHELL or NOTHING."""


class RayCaster:
    """Casts rays into one world."""

    def __init__(self, world: World, device: torch.device) -> None:
        solids = world.solids
        self._enclosed = world.enclosed
        self._shapes = [Shape(value) for value in np.unique(solids.shape)]
        self._shape = torch.from_numpy(solids.shape).to(device)
        self._centre = _float(solids.centre, device)
        self._radius = _float(solids.radius(), device)
        to_own = solids.rotation.transpose(0, 2, 1) / solids.half[:, :, None]
        self._to_own, self._turn = _float(to_own, device), _float(solids.rotation.transpose(0, 2, 1), device)
        self._half = _float(solids.half, device)
        self._room_middle = _float(world.size / 2, device)
        self._pairs_at_once = PAIRS_AT_ONCE["cpu" if device.type == "cpu" else "cuda"]

    def nearest(self, bundles: Bundles, reach: float = torch.inf) -> Hits:
        """The first part that each ray meets, at most `reach` lengths of its direction away."""
        candidates = self._candidates(bundles, reach)
        per_bundle, order = candidates.sum(dim=1).sort()  # bundles with about as many parts are tested together
        bundles, candidates = Bundles(bundles.origin[order], bundles.direction[order]), candidates[order]
        bundle, part = candidates.nonzero(as_tuple=True)
        hits = [
            self._nearest_of(bundles, start, end, bundle, part, per_bundle)
            for start, end in _chunks(per_bundle.cpu().numpy(), self._pairs_at_once)
        ]
        distance, index = (torch.cat(column) for column in zip(*hits, strict=True))
        if self._enclosed:
            wall = self._leave_room(bundles)
            index = torch.where(wall < distance, SHELL, index)
            distance = torch.minimum(wall, distance)
        index = torch.where(torch.isfinite(distance), index, NOTHING)
        back = order.argsort()
        return Hits(distance[back], index[back])

    def _candidates(self, bundles: Bundles, reach: float) -> Tensor:
        """(B, P) bool: parts that may touch the bundle's cone: by their bounding sphere, and by their own box, made
        larger by the cone's width, against the cone's axis.
        """
        length = lengths(bundles.direction)
        rays = bundles.direction / length[:, None].clamp(min=1e-9)
        axis = torch.nn.functional.normalize(rays.mean(dim=2), dim=1)
        half_angle = torch.acos((rays * axis[:, :, None]).sum(1).amin(1).clamp(-1.0, 1.0))[:, None]
        offset = bundles.origin[:, None] - self._centre
        distance = offset.norm(dim=2)
        angle = torch.acos((-(offset * axis[:, None]).sum(2) / distance.clamp(min=1e-6)).clamp(-1.0, 1.0))
        width = torch.asin((self._radius / distance.clamp(min=1e-6)).clamp(max=1.0))
        touches = (angle <= half_angle + width + 1e-3) | (distance <= self._radius)
        touches &= distance - self._radius <= reach * length.amax(1, keepdim=True)
        thickness = (distance + self._radius) * half_angle.clamp(max=_WIDEST).tan()
        box = self._half + thickness[:, :, None]
        origin = torch.einsum("pij,bpj->bpi", self._turn, offset) / box
        along = torch.einsum("pij,bj->bpi", self._turn, axis) / box
        enter, leave = spans(Shape.BOX, origin.flatten(0, 1)[:, :, None], along.flatten(0, 1)[:, :, None])
        crosses = ((enter <= leave) & (leave >= 0)).view_as(touches)
        return touches & (crosses | (half_angle > _WIDEST))

    def _nearest_of(
        self, bundles: Bundles, start: int, end: int, bundle: Tensor, part: Tensor, per_bundle: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Distances and parts (end - start, RAYS) of the bundles from `start` to `end`."""
        counts = per_bundle[start:end]
        first = int(per_bundle[:start].sum())
        pairs = slice(first, first + int(counts.sum()))
        bundle, part = bundle[pairs], part[pairs]
        most = max(1, int(counts.max()))
        slot = torch.arange(len(part), device=part.device) - (counts.cumsum(0) - counts)[bundle - start]
        entered = bundles.origin.new_full((end - start, most, RAYS), torch.inf)
        parts = part.new_full((end - start, most), NOTHING)
        parts[bundle - start, slot] = part
        for shape in self._shapes:
            chosen = (self._shape[part] == shape).nonzero()[:, 0]
            if len(chosen):
                found = self._enter(shape, bundles, bundle[chosen], part[chosen])
                entered[bundle[chosen] - start, slot[chosen]] = found
        distance, which = entered.min(dim=1)
        return distance, parts.gather(1, which)

    def _enter(self, shape: Shape, bundles: Bundles, bundle: Tensor, part: Tensor) -> Tensor:
        """(M, RAYS) where the bundles' rays enter the parts, infinite where they miss them."""
        to_own = self._to_own[part]
        origin = to_own @ (bundles.origin[bundle] - self._centre[part])[:, :, None]
        enter, leave = spans(shape, origin, to_own @ bundles.direction[bundle])
        return torch.where((enter < leave) & (enter > 0), enter, torch.inf)

    def _leave_room(self, bundles: Bundles) -> Tensor:
        """(B, RAYS) where rays that start in the room meet its walls, floor or ceiling."""
        direction = bundles.direction
        direction = torch.where(direction.abs() < 1e-9, 1e-9, direction)
        offset = (self._room_middle - bundles.origin)[:, :, None]
        return ((offset + direction.sign() * self._room_middle[:, None]) / direction).amin(dim=1)


def lengths(vectors: Tensor) -> Tensor:
    """Lengths (B, R) of vectors (B, 3, R)."""
    x, y, z = vectors.unbind(1)
    return (x * x + y * y + z * z).sqrt()


def _chunks(per_bundle: NDArray[np.int64], pairs_at_once: int) -> list[tuple[int, int]]:
    """Ranges of bundles with at most `pairs_at_once` pairs each, or of one bundle."""
    edges, total = [0], 0
    for index, count in enumerate(per_bundle):
        if total + count > pairs_at_once and index > edges[-1]:
            edges.append(index)
            total = 0
        total += int(count)
    edges.append(len(per_bundle))
    return list(itertools.pairwise(edges))


def _float(values: NDArray[np.float64], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device)
