"""Bundle adjustment of a sliding window: poses, scales and landmarks that together minimise the reprojection errors.

Levenberg-Marquardt iterations on robust costs. `bundle_problem` has the values, `bundle_equations` the equations of one
iteration.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slam3r_ros.geometry.least_squares import Damping, levenberg_marquardt
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.odometry.bundle_equations import BlockStructure, Linearization, Residuals
from slam3r_ros.odometry.bundle_problem import Estimate, Problem
from slam3r_ros.odometry.tuning import TUNING


def adjust(problem: Problem, start: Estimate, iterations: int) -> Estimate:
    """The estimate after at most so many iterations from ``start``, fewer where they save nothing more.

    A start that explains the observations badly is first improved under a wide robust kernel. No iteration raises the
    cost of its kernel.
    """
    estimate, factor, structure = start, _kernel_factor(problem, start), BlockStructure(problem)
    if factor > 1:
        estimate, used = iterate(structure, estimate, factor, (iterations + 1) // 2)
        iterations -= used
    return iterate(structure, estimate, 1.0, iterations)[0]


def adjust_from_scratch(problem: Problem, estimate: Estimate, iterations: int) -> Estimate:
    """The estimate, or a better local minimum that is found from a start without any knowledge (multi-start).

    There all landmarks are equally far away and all keyframes in one place. Depths of pointmaps that are wrong in the
    same way everywhere can keep `adjust` in a local minimum of their own.
    """
    free = replace(problem, fixed_keyframes=1)
    together = np.repeat(estimate.T_camera_world[:1], len(estimate.T_camera_world), axis=0)
    flat = np.full_like(estimate.log_depths, np.median(estimate.log_depths))
    other = adjust(free, replace(estimate, T_camera_world=together, log_depths=flat), iterations)
    is_better = robust_cost(free, other) < TUNING.multi_start_cost_ratio * robust_cost(free, estimate)
    return other if is_better else estimate


def iterate(structure: BlockStructure, start: Estimate, kernel_factor: float, iterations: int) -> tuple[Estimate, int]:
    """The estimate after at most so many iterations under one robust kernel, and how many were tried."""
    damping = Damping(TUNING.initial_damping, TUNING.min_damping, TUNING.max_damping, TUNING.min_cost_decrease)
    best, tried = levenberg_marquardt(Linearization(structure, start, kernel_factor), iterations, damping)
    return best.estimate, tried


def robust_cost(problem: Problem, estimate: Estimate) -> float:
    """The cost that `adjust` minimises: robust kernels of the residuals of observations and priors, summed."""
    return Linearization(BlockStructure(problem), estimate, 1.0).cost


def window_reprojection_errors(problem: Problem, estimate: Estimate) -> Array:
    """(M,) distances between projected and observed landmarks, in normalized image coordinates."""
    return np.asarray(np.linalg.norm(Residuals(problem, estimate).reprojection, axis=1))


def _kernel_factor(problem: Problem, start: Estimate) -> float:
    """By how much to widen the robust kernel of reprojection errors for a start, at least 1: its worst keyframe
    decides."""
    observations, errors = problem.observations, window_reprojection_errors(problem, start)
    not_anchor = observations.keyframe != problem.anchors[observations.landmark]  # an anchor has no error
    medians = [
        float(np.median(errors[observed]))
        for keyframe in range(len(problem.priors))
        if (observed := not_anchor & (observations.keyframe == keyframe)).any()
    ]
    factor = max(medians, default=0.0) / problem.xy_sigma / TUNING.good_start_error
    return min(max(factor, 1.0), TUNING.max_kernel_factor) if np.isfinite(factor) else 1.0
