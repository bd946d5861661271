"""Self-calibration of the focal length, for cameras without camera_info: the one with which the windows agree best.

A pointmap gives the focal length to a tenth or two, and to a half on images unlike those of the training. The motion of
corners past each other gives it much better: bundle adjustment of one window with several focal lengths has costs that
lie on a parabola. Its minimum is the window's estimate, and its curvature the information (1 / variance) of that.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slam3r_ros.background_task import BackgroundTask
from slam3r_ros.geometry.robust import weighted_median
from slam3r_ros.odometry.bundle_adjustment import adjust, robust_cost
from slam3r_ros.odometry.bundle_problem import Estimate, Problem
from slam3r_ros.odometry.tuning import TUNING


class FocalSelfCalibration:
    """Collects the estimates of successive windows and combines them by their weighted median.

    A window is evaluated in the background, beside the frames that follow it, and its result is waited for at the next
    keyframe, so what is found does not depend on how fast the machine is.
    """

    def __init__(self) -> None:
        self._log_focals: list[float] = []
        self._information: list[float] = []
        self._keyframes_until_next = 0
        self._evaluation: BackgroundTask[tuple[float, float] | None] = BackgroundTask("self_calibration")
        self._evaluated_focal = 1.0  # with which the window in evaluation was adjusted

    def observe(self, problem: Problem, estimate: Estimate, focal: float) -> float | None:
        """A better focal length than ``focal``, with which this window was adjusted, by the windows before it; None
        where there is none yet. Of every third keyframe the window is evaluated, until the calibration is complete.

        Focal lengths are in pixels of the grey image.
        """
        better = self._combined(focal)
        self._keyframes_until_next -= 1
        is_large_enough = len(problem.priors) >= TUNING.focal_min_keyframes
        if is_large_enough and self._keyframes_until_next <= 0 and not self.is_complete:
            self._keyframes_until_next = TUNING.focal_keyframe_interval
            self._evaluated_focal = focal
            self._evaluation.start(estimate_log_focal_change, problem, estimate)
        return better

    def _combined(self, focal: float) -> float | None:
        """Take the result of the pending window, and return what is better than ``focal`` by all of them so far."""
        if not self._evaluation.is_pending or (found := self._evaluation.result()) is None:
            return None
        log_change, information = found
        self._log_focals.append(float(np.log(self._evaluated_focal)) + log_change)
        self._information.append(min(information, TUNING.focal_max_information))
        if sum(self._information) < TUNING.focal_enough_information:
            return None
        log_focal = weighted_median(np.array(self._log_focals), np.array(self._information))
        return float(np.exp(log_focal)) if abs(log_focal - np.log(focal)) > TUNING.focal_min_change else None

    @property
    def is_complete(self) -> bool:
        """Whether enough windows have been evaluated, so that the focal length does not change any more."""
        return len(self._log_focals) >= TUNING.focal_enough_windows


def estimate_log_focal_change(problem: Problem, estimate: Estimate) -> tuple[float, float] | None:
    """The logarithm of the factor by which one window's focal length should change, and its information (1 / variance);
    None where the window tells too little.

    The minimum is approached in steps of one size, and then found on the parabola through the lowest three costs.
    """
    costs: dict[int, float] = {}
    estimates = {0: estimate}

    def cost(step: int) -> float:
        """The cost after bundle adjustment with normalized image coordinates that many steps larger."""
        if step not in costs:
            changed = with_larger_coordinates(problem, float(np.exp(TUNING.focal_log_step * step)))
            start = estimates[min(estimates, key=lambda other: abs(other - step))]
            estimates[step] = adjust(changed, start, TUNING.focal_iterations)
            costs[step] = robust_cost(changed, estimates[step])
        return costs[step]

    lowest = 0
    while abs(lowest) < TUNING.focal_max_steps:
        downhill = min((lowest, lowest - 1, lowest + 1), key=cost)
        if downhill == lowest:
            break
        lowest = downhill
    left, middle, right = cost(lowest - 1), cost(lowest), cost(lowest + 1)
    curvature = left - 2 * middle + right
    information = curvature / TUNING.focal_log_step**2
    if not np.isfinite(information) or information < TUNING.focal_min_information:
        return None
    vertex = lowest + float(np.clip((left - right) / (2 * curvature), -1, 1))
    return -TUNING.focal_log_step * vertex, float(information)  # larger coordinates mean a smaller focal length


def with_larger_coordinates(problem: Problem, factor: float) -> Problem:
    """The problem of a camera with a focal length that many times smaller: all normalized image coordinates are larger.

    Only the oldest keyframe stays fixed, since the others were placed with the old focal length.
    """
    observations = replace(problem.observations, normalized_xy=problem.observations.normalized_xy * factor)
    rays = problem.anchor_rays * [factor, factor, 1]
    return replace(
        problem,
        observations=observations,
        anchor_rays=rays,
        xy_sigma=problem.xy_sigma * factor,
        fixed_keyframes=1,
    )
