"""The focal length, where no camera_info gives it: the one with which the tracks of windows agree best.

A pointmap tells it to a tenth or two, on pictures unlike those of the training to a half; how corners move past each
other tells it much better. The costs of a window that is adjusted with some focal lengths lie on a parabola, whose
lowest point counts as much as it is bent.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from slam3r_ros.geometry.robust import weighted_median
from slam3r_ros.odometry.bundle_adjustment import Estimate, Problem, adjust, cost_of
from slam3r_ros.odometry.tuning import TUNING


class FocalSearch:
    """Collects what windows say. A window is asked beside the frames that follow it, and waited for when the next one
    comes: what is found does not depend on how fast the machine is.
    """

    def __init__(self) -> None:
        self._log_focals: list[float] = []
        self._information: list[float] = []
        self._keyframes_until = 0
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="calibration")
        self._asked: tuple[float, Future[tuple[float, float] | None]] | None = None  # with its focal length

    def observe(self, problem: Problem, estimate: Estimate, focal: float) -> float | None:
        """A better focal length than the one that this window was adjusted with, by the windows before it; None where
        there is none yet. Every third window is asked, until it is settled.
        """
        better = self._answered(focal)
        self._keyframes_until -= 1
        if len(problem.priors) >= TUNING.focal_min_keyframes and self._keyframes_until <= 0 and not self.is_settled:
            self._keyframes_until = TUNING.focal_keyframe_interval
            self._asked = focal, self._executor.submit(lowest, problem, estimate)
        return better

    def _answered(self, focal: float) -> float | None:
        """What is better than ``focal`` once the window that was asked last has been heard."""
        asked, self._asked = self._asked, None
        if asked is None or (found := asked[1].result()) is None:
            return None
        change, information = found
        self._log_focals.append(float(np.log(asked[0])) - change)
        self._information.append(min(information, TUNING.focal_max_information))
        if sum(self._information) < TUNING.focal_enough_information:
            return None
        log_focal = weighted_median(np.array(self._log_focals), np.array(self._information))
        return float(np.exp(log_focal)) if abs(log_focal - np.log(focal)) > TUNING.focal_min_change else None

    @property
    def is_settled(self) -> bool:
        """Whether no more windows are asked."""
        return len(self._log_focals) >= TUNING.focal_enough_windows


def lowest(problem: Problem, estimate: Estimate) -> tuple[float, float] | None:
    """By what logarithm the slopes of a window should be larger, and how surely (1 / variance); None where it tells too
    little."""
    costs: dict[int, float] = {}
    estimates = {0: estimate}

    def cost(step: int) -> float:
        if step not in costs:
            changed = with_slopes(problem, float(np.exp(TUNING.focal_log_step * step)))
            start = estimates[min(estimates, key=lambda other: abs(other - step))]
            estimates[step] = adjust(changed, start, TUNING.focal_iterations)
            costs[step] = cost_of(changed, estimates[step])
        return costs[step]

    middle = 0
    while abs(middle) < TUNING.focal_max_steps:
        downhill = min((middle, middle - 1, middle + 1), key=cost)
        if downhill == middle:
            break
        middle = downhill
    left, low, right = cost(middle - 1), cost(middle), cost(middle + 1)
    bend = left - 2 * low + right
    information = bend / TUNING.focal_log_step**2
    if not np.isfinite(information) or information < TUNING.focal_min_information:
        return None
    return TUNING.focal_log_step * (middle + float(np.clip((left - right) / (2 * bend), -1, 1))), float(information)


def with_slopes(problem: Problem, factor: float) -> Problem:
    """The window of a camera that sees everything under slopes so many times as large; only its oldest keyframe stays
    where it is, since the others were placed with the old slopes."""
    observations = replace(problem.observations, slopes=problem.observations.slopes * factor)
    rays = problem.rays * [factor, factor, 1]
    deviation = problem.slope_deviation * factor
    return replace(problem, observations=observations, rays=rays, slope_deviation=deviation, fixed=1)
