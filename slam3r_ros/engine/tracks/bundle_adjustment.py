"""Poses, depths and scales that together explain the tracks of a window: Levenberg and Marquardt's method on robust
costs, with a Schur complement.

A point is its depth along the ray on which its first keyframe of the window, its anchor, sees it: one unknown a point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.geometry import Array
from slam3r_ros.engine.tracks.prior import (
    PRIOR_KERNEL,
    SCALE_DEVIATION,
    Prior,
    pose_deviations,
    pose_residuals,
    prior_roots,
)

DEPTH_DEVIATION = 1.0
"""Of the logarithm of one depth of a pointmap against the window's, where L2W is doubted in full. Pointmaps err by
less, but neighbours and successive frames together."""
PIXEL_KERNEL = 2.0
DEPTH_KERNEL = 1.0
"""Deviations at which the weight of a residual has fallen to a half."""
WIDEST_KERNEL = 16.0
"""Most that the kernel of pixels is widened by at first, where a start explains them badly: a narrow one would keep
what a bad start happens to explain and call the rest wrong."""
TYPICAL_ERROR = 1.5
"""Median of errors in deviations up to which a start is a good one."""
BEHIND_COST = 1e3
"""Of a point that is behind a keyframe that sees it."""
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-4, 1e-6, 1e2
"""Of the normal equations, over their diagonal."""
LEAST_NORMAL = 1e-6
"""Added to that diagonal, for unknowns that nothing tells: they stay."""
ENOUGH = 1e-3
"""Share of the cost that a step must save to be followed by another."""
MUCH_BETTER = 0.9
"""Of the cost, that another valley must have."""
LARGEST_STEP = 0.5
"""Of a turn in radians and of a logarithm; beyond it a step is shortened."""


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """What M sightings of points say; of each point at its anchor too."""

    keyframe: NDArray[np.intp]
    """(M,) who sees it."""
    point: NDArray[np.intp]
    """(M,)"""
    slopes: Array
    """(M, 2) x / z and y / z."""
    log_depths: Array
    """(M,) of the keyframe's own pointmap there; NaN where it has none."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """The unknowns."""

    T_camera_world: Array
    """(K, 4, 4)"""
    log_scales: Array
    """(K,) of the world's length of each keyframe's pointmap's unit."""
    log_depths: Array
    """(N,) of the points, at their anchors."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A window."""

    observations: Observations
    anchors: NDArray[np.intp]
    """(N,) keyframe of each point."""
    rays: Array
    """(N, 3) x / z, y / z and 1 at the anchor."""
    priors: tuple[Prior | None, ...]
    """What L2W says of each keyframe; None where it says nothing that counts."""
    fixed: int
    """So many keyframes, the oldest, stay where they are."""
    slope_deviation: float
    """Of one coordinate of a slope."""


def adjust(problem: Problem, start: Estimate, steps: int) -> Estimate:
    """The estimate after at most ``steps`` steps from ``start``, fewer where they save nothing more.

    A start that explains the pixels badly is improved under a wide kernel first. No step raises the cost of its kernel.
    """
    estimate, widening = start, _widening(problem, start)
    if widening > 1:
        estimate, taken = _descend(problem, estimate, widening, (steps + 1) // 2)
        steps -= taken
    return _descend(problem, estimate, 1.0, steps)[0]


def adjust_afresh(problem: Problem, estimate: Estimate, steps: int) -> Estimate:
    """The estimate, or a better one that is found from a start that knows nothing: all points equally far away, all
    keyframes in one place. Depths that are wrong in the same way everywhere can lead to a valley of their own.
    """
    free = replace(problem, fixed=1)
    together = np.repeat(estimate.T_camera_world[:1], len(estimate.T_camera_world), axis=0)
    flat = np.full_like(estimate.log_depths, np.median(estimate.log_depths))
    other = adjust(free, replace(estimate, T_camera_world=together, log_depths=flat), steps)
    return other if cost_of(free, other) < MUCH_BETTER * cost_of(free, estimate) else estimate


def _widening(problem: Problem, start: Estimate) -> float:
    """How much wider than usual the kernel of pixels should be for a start: as its worst keyframe needs."""
    observations, errors = problem.observations, observed_errors(problem, start)
    elsewhere = observations.keyframe != problem.anchors[observations.point]  # at its anchor a point has no error
    typical = [
        float(np.median(errors[seen]))
        for keyframe in range(len(problem.priors))
        if (seen := elsewhere & (observations.keyframe == keyframe)).any()
    ]
    widening = max(typical, default=0.0) / problem.slope_deviation / TYPICAL_ERROR
    return min(max(widening, 1.0), WIDEST_KERNEL) if np.isfinite(widening) else 1.0


def _descend(problem: Problem, start: Estimate, widening: float, steps: int) -> tuple[Estimate, int]:
    """The estimate after at most ``steps`` steps under one kernel, and how many were tried."""
    system, damping = _System(problem, start, widening), FIRST_DAMPING
    for tried in range(steps):
        moved = system.moved_by_step(damping)
        following = None if moved is None else _System(problem, moved, widening)
        if following is None or not following.cost < system.cost:
            damping *= 10
            if damping > MOST_DAMPING:
                return system.estimate, tried + 1
            continue
        saved, system, damping = system.cost - following.cost, following, max(damping / 10, LEAST_DAMPING)
        if saved < ENOUGH * system.cost:
            return system.estimate, tried + 1
    return system.estimate, steps


def cost_of(problem: Problem, estimate: Estimate) -> float:
    """What `adjust` makes small."""
    return _System(problem, estimate, 1.0).cost


def observed_errors(problem: Problem, estimate: Estimate) -> Array:
    """(M,) distances on the plane of slopes between where points are seen and where they should be."""
    return np.asarray(np.linalg.norm(_Seen(problem, estimate).on_plane, axis=1))


class _Seen:
    """Points as the keyframes see them, (M, ...)."""

    def __init__(self, problem: Problem, estimate: Estimate) -> None:
        observations = problem.observations
        T = estimate.T_camera_world
        rotations, shifts = T[:, :3, :3], T[:, :3, 3]
        point, self.keyframe = observations.point, observations.keyframe
        self.anchor = problem.anchors[point]
        at_anchor = problem.rays * np.exp(estimate.log_depths)[:, None]
        world = np.einsum("nji,nj->ni", rotations[problem.anchors], at_anchor - shifts[problem.anchors])
        self.at_anchor = at_anchor[point]
        self.points = np.einsum("mij,mj->mi", rotations[self.keyframe], world[point]) + shifts[self.keyframe]
        self.between = np.einsum("mij,mkj->mik", rotations[self.keyframe], rotations[self.anchor])
        z = self.points[:, 2]
        self.front = z > 1e-6
        self.inverse = 1 / np.where(self.front, z, 1.0)
        self.on_plane = self.points[:, :2] * self.inverse[:, None] - observations.slopes
        log_z = np.log(np.where(self.front, z, 1.0))
        self.in_depth = log_z - observations.log_depths - estimate.log_scales[self.keyframe]


@dataclass(frozen=True, slots=True, eq=False)
class _Equations:
    """Normal equations of K keyframes and N points."""

    normal: Array
    """(7 K, 7 K) of the keyframes."""
    gradient: Array
    """(7 K,)"""
    diagonal: Array
    """(N,) of the points, which do not meet each other."""
    slope: Array
    """(N,) gradient by the points."""
    crossed: Array
    """(N, 7 K) of points and keyframes."""


class _System:
    """The normal equations at an estimate. A keyframe has seven unknowns: turn, shift, logarithm of the scale."""

    def __init__(self, problem: Problem, estimate: Estimate, widening: float) -> None:
        self._problem, self.estimate = problem, estimate
        self._seen = seen = _Seen(problem, estimate)
        self.cost = 0.0
        plane = np.einsum("mi,mi->m", seen.on_plane, seen.on_plane) / problem.slope_deviation**2
        self.cost += float((~seen.front).sum()) * BEHIND_COST
        self._weights_plane = self._weigh(plane, seen.front, PIXEL_KERNEL * widening) / problem.slope_deviation**2
        has_depth = seen.front & np.isfinite(seen.in_depth)
        doubts = np.array([1.0 if prior is None else prior.doubt for prior in problem.priors])
        deviations = DEPTH_DEVIATION * doubts[seen.keyframe]
        depth = np.where(has_depth, seen.in_depth / deviations, 0.0)
        self._in_depth = np.where(has_depth, seen.in_depth, 0.0)
        self._weights_depth = self._weigh(depth**2, has_depth, DEPTH_KERNEL) / deviations**2
        self._prior_normal, self._prior_gradient = self._priors()

    def _weigh(self, squares: Array, used: NDArray[np.bool_], kernel: float) -> Array:
        """Cauchy's weights of squared residuals in deviations, added to the cost; zero where not ``used``."""
        self.cost += float(np.log1p(squares[used] / kernel**2).sum()) * kernel**2 / 2
        return np.where(used, 1 / (1 + squares / kernel**2), 0.0)

    @cached_property
    def _equations(self) -> _Equations:
        """The normal equations, points apart."""
        problem, count = self._problem, len(self.estimate.log_scales)
        roots = np.sqrt(np.stack([self._weights_plane, self._weights_plane, self._weights_depth], axis=1))
        by_keyframe, by_point = self._jacobians()
        by_keyframe *= roots[:, :, None, None]
        by_point *= roots
        residuals = roots * np.column_stack([self._seen.on_plane, self._in_depth])
        flat = by_keyframe.reshape(-1, 7 * count)
        normal = flat.T @ flat
        normal[np.diag_indices(7 * count)] += self._prior_normal
        gradient = residuals.ravel() @ flat + self._prior_gradient
        points, order = len(problem.rays), problem.observations.point
        diagonal = np.bincount(order, np.einsum("mr,mr->m", by_point, by_point), points).astype(np.float64)
        slope = np.bincount(order, np.einsum("mr,mr->m", by_point, residuals), points).astype(np.float64)
        flat *= by_point.reshape(-1, 1)
        starts = np.flatnonzero(np.diff(order, prepend=-1))
        crossed = np.zeros((points, 7 * count))
        if len(starts):
            crossed[order[starts]] = np.add.reduceat(flat, 3 * starts, axis=0)
        return _Equations(normal, gradient, diagonal, slope, crossed)

    def moved_by_step(self, damping: float) -> Estimate | None:
        """The estimate one step on; None where the equations say nothing."""
        equations, count = self._equations, len(self.estimate.log_scales)
        inverse = 1 / np.maximum(equations.diagonal * (1 + damping), 1e-12)
        scaled = equations.crossed * inverse[:, None]
        unknowns = np.arange(7 * count)
        free = unknowns[(unknowns >= 7 * self._problem.fixed) | (unknowns % 7 == 6)]
        normal = equations.normal.copy()
        normal[np.diag_indices(7 * count)] = normal.diagonal() * (1 + damping) + LEAST_NORMAL
        reduced = (normal - equations.crossed.T @ scaled)[np.ix_(free, free)]
        x = np.zeros(7 * count)
        try:
            x[free] = -np.linalg.solve(reduced, (equations.gradient - scaled.T @ equations.slope)[free])
        except np.linalg.LinAlgError:
            return None
        y = -inverse * (equations.slope + equations.crossed @ x)
        return self._moved(x.reshape(count, 7), y)

    def _jacobians(self) -> tuple[Array, Array]:
        """Of slopes and log depth, (M, 3, K, 7) by keyframes and (M, 3) by the points' log depths."""
        seen, count = self._seen, len(self.estimate.log_scales)
        rows = np.arange(len(seen.inverse))
        x, y, inverse = seen.points[:, 0], seen.points[:, 1], seen.inverse
        project = np.zeros((len(rows), 3, 3))
        project[:, 0, 0] = project[:, 1, 1] = project[:, 2, 2] = inverse
        project[:, 0, 2], project[:, 1, 2] = -x * inverse**2, -y * inverse**2
        from_anchor = project @ seen.between
        jacobian = np.zeros((len(rows), 3, count, 7))
        jacobian[rows, :, seen.keyframe, :3] = -project @ _cross(seen.points)
        jacobian[rows, :, seen.keyframe, 3:6] = project
        jacobian[rows, :, seen.anchor, :3] += from_anchor @ _cross(seen.at_anchor)
        jacobian[rows, :, seen.anchor, 3:6] -= from_anchor
        jacobian[rows, 2, seen.keyframe, 6] = -1.0
        return jacobian, np.einsum("mij,mj->mi", from_anchor, seen.at_anchor)

    def _priors(self) -> tuple[Array, Array]:
        """What L2W says of the keyframes, as (7 K,) diagonal of the normal equations and gradient; adds the cost."""
        priors, estimate = self._problem.priors, self.estimate
        known = np.array([k for k, prior in enumerate(priors) if prior is not None], np.intp)
        said = [prior for prior in priors if prior is not None]
        diagonal, gradient = np.zeros((len(priors), 7)), np.zeros((len(priors), 7))
        if said:
            depth = float(np.exp(estimate.log_depths).mean()) if len(estimate.log_depths) else 1.0
            doubts = np.array([prior.doubt for prior in said])
            at = estimate.T_camera_world[known]
            tells = np.array([prior.T_camera_world is not None for prior in said])
            poses = np.stack(
                [T if prior.T_camera_world is None else prior.T_camera_world for prior, T in zip(said, at, strict=True)]
            )
            scales = estimate.log_scales[known] - np.array([prior.log_scale for prior in said])
            deviations = np.column_stack([pose_deviations(doubts, depth), SCALE_DEVIATION * doubts])
            residuals = np.column_stack([pose_residuals(at, poses), scales]) / deviations
            roots = prior_roots(np.add.reduceat(residuals**2, [0, 3, 6], axis=1))
            self.cost += float((roots - 1).sum()) * PRIOR_KERNEL**2
            weights = np.repeat(1 / roots, [3, 3, 1], axis=1)
            weights[~tells, :6] = 0
            diagonal[known], gradient[known] = weights / deviations**2, weights * residuals / deviations
        return diagonal.ravel(), gradient.ravel()

    def _moved(self, x: Array, y: Array) -> Estimate | None:
        """The estimate after a step of keyframes (K, 7) and points (N,); None where that is no number."""
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return None
        depth = float(np.exp(self.estimate.log_depths).mean()) if len(y) else 1.0
        units = np.array([1, 1, 1, 1 / depth, 1 / depth, 1 / depth, 1])
        size = float(np.abs(x * units).max())
        if size > LARGEST_STEP:
            x, y = x * (LARGEST_STEP / size), y * (LARGEST_STEP / size)
        T = self.estimate.T_camera_world.copy()
        for k in range(self._problem.fixed, len(x)):
            turn = cv2.Rodrigues(x[k, :3])[0]
            T[k, :3, :3] = turn @ T[k, :3, :3]
            T[k, :3, 3] = turn @ T[k, :3, 3] + x[k, 3:6]
        log_depths = self.estimate.log_depths + np.clip(y, -LARGEST_STEP, LARGEST_STEP)
        return replace(
            self.estimate, T_camera_world=T, log_scales=self.estimate.log_scales + x[:, 6], log_depths=log_depths
        )


def _cross(points: Array) -> Array:
    """(M, 3, 3) matrices of the cross products with points (M, 3)."""
    matrices = np.zeros((len(points), 3, 3))
    matrices[:, 0, 1], matrices[:, 0, 2], matrices[:, 1, 2] = -points[:, 2], points[:, 1], -points[:, 0]
    matrices[:, 1, 0], matrices[:, 2, 0], matrices[:, 2, 1] = points[:, 2], -points[:, 1], points[:, 0]
    return matrices
