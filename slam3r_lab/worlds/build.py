"""The world of a seed."""

from __future__ import annotations

import numpy as np
import torch

from .family import NARROW, WorldFamily
from .layouts.furnished import build_furnished
from .narrow import build_box_room
from .world import World


def build_world(
    seed: int, family: WorldFamily = NARROW, texels_per_metre: float = 64.0, device: torch.device | str = "cpu"
) -> World:
    """The world of this seed. The same arguments give the same world; its geometry does not depend on
    `texels_per_metre`, the resolution of textures in plain rooms (others have their own). Textures are computed on
    `device`.
    """
    kinds = [kind for kind, _ in family.places]
    kind = kinds[0]
    if len(kinds) > 1:
        weights = np.array([weight for _, weight in family.places])
        kind = kinds[int(np.random.default_rng([seed, 0]).choice(len(kinds), p=weights / weights.sum()))]
    if kind == "boxes":
        return build_box_room(seed, family, texels_per_metre)
    return build_furnished(seed, kind, family, torch.device(device))
