"""One robust estimate of the metric scale from observations of any source."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from slam3r_ros.geometry.robust import geman_mcclure_weight
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.scale_edges import ScaleObservation, ScaleObservations
from slam3r_ros.metric_scale.tuning import TUNING


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
        self._observed = ScaleObservations(TUNING.most_observations)

    def add(self, observation: ScaleObservation) -> None:
        """Take an observation in; it replaces an earlier one of the same frame. One that is not finite is refused with
        ValueError."""
        self._observed.add(observation)

    def correct(self, correction: MapCorrection) -> None:
        """Follow a closed loop, which has changed lengths in the map: where they grew, a unit has fewer metres."""
        self._observed.correct(correction)

    def clear(self) -> None:
        """Forget all, since another map has another unit."""
        self._observed.clear()

    @property
    def estimate(self) -> ScaleEstimate | None:
        """The scale by all observations; None while there are too few.

        Its standard deviation follows from the scatter of the observations where that is larger than they say.
        """
        if len(self._observed) < TUNING.min_observations:
            return None
        values = self._observed.log_ratios
        information = np.maximum(self._observed.sigmas, TUNING.least_sigma) ** -2.0
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
