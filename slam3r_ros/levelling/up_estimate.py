"""The direction that points up in the map, from many observations of it."""

from __future__ import annotations

from collections import deque

import numpy as np

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.levelling.tuning import TUNING
from slam3r_ros.loop_closure.correction import MapCorrection


class UpEstimate:
    """Directions in, one direction out when enough of them agree: the mean of those near their median direction."""

    def __init__(self) -> None:
        self._observed: deque[tuple[int, Array]] = deque(maxlen=TUNING.most_observations)

    def add(self, index: int, up_world: Array) -> None:
        """Take in a direction (3,) of any length that points up in the world, observed at a frame. One without length,
        or that is not finite, says nothing and is left out."""
        length = float(np.linalg.norm(up_world))
        if np.isfinite(length) and length > 1e-9:
            self._observed.append((index, np.asarray(up_world, dtype=np.float64) / length))

    def correct(self, correction: MapCorrection) -> None:
        """Follow a correction of the map, which has turned it."""
        turned = [
            (index, correction.of_frames(np.array([index])).rotation[0] @ direction)
            for index, direction in self._observed
        ]
        self._observed = deque(turned, maxlen=TUNING.most_observations)

    def clear(self) -> None:
        """Forget all, since another map has begun."""
        self._observed.clear()

    @property
    def direction(self) -> Array | None:
        """(3,) unit vector that points up in the world; None while too few observations agree."""
        if len(self._observed) < TUNING.min_observations:
            return None
        directions = np.stack([direction for _, direction in self._observed])
        angles = np.arccos(np.clip(directions @ directions.T, -1, 1))
        centre = directions[int(np.argmin(np.median(angles, axis=1)))]  # the one nearest to the others
        agreeing = np.arccos(np.clip(directions @ centre, -1, 1)) <= TUNING.agreement_rad
        if agreeing.sum() < max(TUNING.min_observations, TUNING.min_agreeing_share * len(directions)):
            return None
        mean = directions[agreeing].mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean))
