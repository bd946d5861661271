"""One robust estimate of the metric scale from observations of any source."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from slam3r_ros.geometry.robust import geman_mcclure_weight
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.metric_scale.tuning import TUNING


@dataclass(frozen=True, slots=True)
class ScaleObservation:
    """One comparison of a length in the map with the same length in metres."""

    index: int
    """Number of the frame at which the length was mapped."""
    log_ratio: float
    """Natural logarithm of metres per scene unit."""
    sigma: float
    """Standard deviation of the logarithm, which is a fraction of the length where it is small."""


@dataclass(frozen=True, slots=True)
class ScaleEstimate:
    """The scale, as far as the observations tell it."""

    metres_per_unit: float
    """Metres per scene unit."""
    sigma: float
    """Standard deviation of its natural logarithm, which is a fraction of the scale where it is small."""
    count: int
    """Number of observations that were taken into account."""


class ScaleEstimator:
    """The scale that fits most observations: weighted least squares of the log-ratios with Geman and McClure's kernel
    (Zhang 1997), from the middle of the shortest interval on that holds half of them (the least median of squares,
    Rousseeuw 1984). It stands up to errors of nearly half of the observations, all on the same side too, as slipping
    wheels make them.
    """

    def __init__(self) -> None:
        self._observations: dict[int, ScaleObservation] = {}  # by their frames, in the order in which they came
        self._stride, self._skipped = 1, 0

    def add(self, observation: ScaleObservation) -> None:
        """Take an observation in; it replaces an earlier one of the same frame. One that is not finite is refused with
        ValueError.

        When there are too many every second one is forgotten, and from then on only every second one is kept, so that
        those that remain cover the whole time alike.
        """
        if not (math.isfinite(observation.log_ratio) and 0 < observation.sigma < math.inf):
            raise ValueError(f"scale observation: expected a finite log-ratio and a positive sigma, got {observation}")
        if observation.index not in self._observations:
            self._skipped += 1
            if self._skipped < self._stride:
                return
            self._skipped = 0
        self._observations[observation.index] = observation
        if len(self._observations) > TUNING.most_observations:
            for index in list(self._observations)[::2]:
                del self._observations[index]
            self._stride *= 2

    def correct(self, correction: MapCorrection) -> None:
        """Follow a closed loop, which has changed lengths in the map: where they grew, a unit has fewer metres."""
        if not self._observations:
            return
        changes = correction.of_frames(np.array(list(self._observations))).scale
        self._observations = {
            each.index: replace(each, log_ratio=each.log_ratio - math.log(change))
            for each, change in zip(self._observations.values(), changes.tolist(), strict=True)
        }

    def clear(self) -> None:
        """Forget all, since another map has another unit."""
        self._observations.clear()
        self._stride, self._skipped = 1, 0

    @property
    def estimate(self) -> ScaleEstimate | None:
        """The scale by all observations; None while there are too few.

        Its standard deviation follows from the scatter of the observations where that is larger than they say.
        """
        if len(self._observations) < TUNING.min_observations:
            return None
        values = np.array([each.log_ratio for each in self._observations.values()])
        information = np.maximum([each.sigma for each in self._observations.values()], TUNING.least_sigma) ** -2.0
        mean, scatter = _shortest_half(values)
        # Errors in standard deviations: 1 in the mean where the observations' own are right.
        information /= max(1.0, scatter**2 * float(np.median(information)))
        for _ in range(TUNING.iterations):
            squares = (values - mean) ** 2 * information / TUNING.kernel_width**2
            weights = information * geman_mcclure_weight(squares)
            mean, previous = float(np.average(values, weights=weights)), mean
            if abs(mean - previous) < 1e-9:
                break
        sigma = math.hypot(1 / math.sqrt(weights.sum()), TUNING.floor_sigma)
        return ScaleEstimate(math.exp(mean), sigma, len(values))


def _shortest_half(values: Array) -> tuple[float, float]:
    """Middle of the shortest interval that holds more than half of the values, and the standard deviation of normally
    distributed values with such an interval."""
    ordered = np.sort(values)
    count = len(ordered) // 2 + 1
    lengths = ordered[count - 1 :] - ordered[: len(ordered) - count + 1]
    first = int(np.argmin(lengths))
    return float(ordered[first] + ordered[first + count - 1]) / 2, float(lengths[first]) / 2 / 0.6745
