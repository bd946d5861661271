"""Poses, depths and scales that together explain the tracks of a window: Levenberg and Marquardt's method on robust
costs, with a Schur complement.

A point is its depth along the ray on which its first keyframe of the window, its anchor, sees it: one unknown a point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.robust import cauchy_cost, cauchy_weight, charbonnier_cost, charbonnier_weight
from slam3r_ros.geometry.se3 import Array, invert_rigid, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.pose_prior import (
    PosePrior,
    pose_residuals,
    pose_sigmas,
)
from slam3r_ros.vision.tuning import TUNING as VISION_TUNING


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """What M sightings of points say; of each point at its anchor too. In the order of the points, of which a keyframe
    sees each once."""

    keyframe: NDArray[np.intp]
    """(M,) who sees it."""
    point: NDArray[np.intp]
    """(M,) ascending."""
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

    def scaled(self, log_factor: float) -> Estimate:
        """The same with all lengths multiplied, about the oldest keyframe."""
        oldest = invert_rigid(self.T_camera_world[0])[:3, 3]
        factor = float(np.exp(log_factor))
        moved = Sim3(factor, np.eye(3), (1 - factor) * oldest)
        poses = moved.apply_to_extrinsics(self.T_camera_world)
        return Estimate(poses, self.log_scales + log_factor, self.log_depths + log_factor)


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A window."""

    observations: Observations
    anchors: NDArray[np.intp]
    """(N,) keyframe of each point."""
    rays: Array
    """(N, 3) x / z, y / z and 1 at the anchor."""
    priors: tuple[PosePrior | None, ...]
    """What L2W says of each keyframe; None where it says nothing that counts."""
    fixed: int
    """So many keyframes, the oldest, stay where they are."""
    slope_deviation: float
    """Of one coordinate of a slope."""


def adjust(problem: Problem, start: Estimate, steps: int) -> Estimate:
    """The estimate after at most ``steps`` steps from ``start``, fewer where they save nothing more.

    A start that explains the pixels badly is improved under a wide kernel first. No step raises the cost of its kernel.
    """
    estimate, widening, layout = start, _widening(problem, start), _Layout(problem)
    if widening > 1:
        estimate, taken = _descend(layout, estimate, widening, (steps + 1) // 2)
        steps -= taken
    return _descend(layout, estimate, 1.0, steps)[0]


def adjust_afresh(problem: Problem, estimate: Estimate, steps: int) -> Estimate:
    """The estimate, or a better one that is found from a start that knows nothing: all points equally far away, all
    keyframes in one place. Depths that are wrong in the same way everywhere can lead to a valley of their own.
    """
    free = replace(problem, fixed=1)
    together = np.repeat(estimate.T_camera_world[:1], len(estimate.T_camera_world), axis=0)
    flat = np.full_like(estimate.log_depths, np.median(estimate.log_depths))
    other = adjust(free, replace(estimate, T_camera_world=together, log_depths=flat), steps)
    return other if cost_of(free, other) < TUNING.multi_start_cost_ratio * cost_of(free, estimate) else estimate


def _widening(problem: Problem, start: Estimate) -> float:
    """How much wider than usual the kernel of pixels should be for a start: as its worst keyframe needs."""
    observations, errors = problem.observations, observed_errors(problem, start)
    elsewhere = observations.keyframe != problem.anchors[observations.point]  # at its anchor a point has no error
    typical = [
        float(np.median(errors[seen]))
        for keyframe in range(len(problem.priors))
        if (seen := elsewhere & (observations.keyframe == keyframe)).any()
    ]
    widening = max(typical, default=0.0) / problem.slope_deviation / TUNING.good_start_error
    return min(max(widening, 1.0), TUNING.max_kernel_factor) if np.isfinite(widening) else 1.0


def _descend(layout: _Layout, start: Estimate, widening: float, steps: int) -> tuple[Estimate, int]:
    """The estimate after at most ``steps`` steps under one kernel, and how many were tried."""
    system, damping = _System(layout, start, widening), TUNING.initial_damping
    for tried in range(steps):
        moved = system.moved_by_step(damping)
        following = None if moved is None else _System(layout, moved, widening)
        if following is None or not following.cost < system.cost:
            damping *= 10
            if damping > TUNING.max_damping:
                return system.estimate, tried + 1
            continue
        saved, system, damping = system.cost - following.cost, following, max(damping / 10, TUNING.min_damping)
        if saved < TUNING.min_cost_decrease * system.cost:
            return system.estimate, tried + 1
    return system.estimate, steps


def cost_of(problem: Problem, estimate: Estimate) -> float:
    """What `adjust` makes small."""
    return _System(_Layout(problem), estimate, 1.0).cost


def observed_errors(problem: Problem, estimate: Estimate) -> Array:
    """(M,) distances on the plane of slopes between where points are seen and where they should be."""
    return np.asarray(np.linalg.norm(_Seen(problem, estimate).on_plane, axis=1))


class _Layout:
    """What the systems of one problem have in common: sightings by pairs of keyframes, and L2W's answers as arrays."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        priors = problem.priors
        self.doubts = np.array([1.0 if prior is None else prior.sigma_factor for prior in priors])
        self.known = np.array([k for k, prior in enumerate(priors) if prior is not None], np.intp)
        said = [prior for prior in priors if prior is not None]
        self.tells_pose = np.array([prior.T_camera_world is not None for prior in said], np.bool_)
        nowhere = np.eye(4)
        poses = [nowhere if prior.T_camera_world is None else prior.T_camera_world for prior in said]
        self.said_poses = np.array(poses).reshape(-1, 4, 4)
        self.said_log_scales = np.array([prior.log_scale for prior in said])

    @cached_property
    def by_pair(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """(M,) sightings in the order of their pairs of keyframe and anchor, (P + 1,) where each pair's begin there,
        and (P, 13) numbers of its unknowns: the keyframe's, then the anchor's but for the scale.
        """
        problem, count = self.problem, len(self.problem.priors)
        keyframe, anchor = problem.observations.keyframe, problem.anchors[problem.observations.point]
        pair = keyframe * count + anchor
        order = np.argsort(pair, kind="stable")
        starts = np.flatnonzero(np.diff(pair[order], prepend=-1))
        first = order[starts]
        of_keyframe = 7 * keyframe[first, None] + np.arange(7)
        of_anchor = 7 * anchor[first, None] + np.arange(6)
        return order, np.append(starts, len(order)), np.concatenate([of_keyframe, of_anchor], axis=1)

    @cached_property
    def point_starts(self) -> NDArray[np.intp]:
        """Where the sightings of each point that has some begin."""
        return np.flatnonzero(np.diff(self.problem.observations.point, prepend=-1))


class _Seen:
    """Points as the keyframes see them, (M, ...)."""

    def __init__(self, problem: Problem, estimate: Estimate) -> None:
        observations = problem.observations
        T = estimate.T_camera_world
        rotations, shifts = T[:, :3, :3], T[:, :3, 3]
        between = rotations[:, None] @ rotations[None].swapaxes(-1, -2)  # (K, K, 3, 3) from the second to the first
        offsets = shifts[:, None] - np.einsum("kaij,aj->kai", between, shifts)
        keyframe, anchor = observations.keyframe, problem.anchors[observations.point]
        self.between = between[keyframe, anchor]
        self.at_anchor = (problem.rays * np.exp(estimate.log_depths)[:, None])[observations.point]
        self.points = np.einsum("mij,mj->mi", self.between, self.at_anchor) + offsets[keyframe, anchor]
        z = self.points[:, 2]
        self.front = z > 1e-6
        z = np.where(self.front, z, 1.0)
        self.inverse = 1 / z
        self.slopes = self.points[:, :2] * self.inverse[:, None]
        self.on_plane = self.slopes - observations.slopes
        self.in_depth = np.log(z) - observations.log_depths - estimate.log_scales[keyframe]


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

    def __init__(self, layout: _Layout, estimate: Estimate, widening: float) -> None:
        self._layout, self._problem, self.estimate = layout, layout.problem, estimate
        problem = layout.problem
        self._seen = seen = _Seen(problem, estimate)
        plane = np.einsum("mi,mi->m", seen.on_plane, seen.on_plane) / problem.slope_deviation**2
        self.cost = float((~seen.front).sum()) * TUNING.behind_camera_cost
        self._weights_plane = (
            self._weigh(plane, seen.front, TUNING.reprojection_kernel * widening) / problem.slope_deviation**2
        )
        has_depth = seen.front & np.isfinite(seen.in_depth)
        deviations = (TUNING.pointmap_depth_sigma * layout.doubts)[problem.observations.keyframe]
        self._in_depth = np.where(has_depth, seen.in_depth, 0.0)
        self._weights_depth = (
            self._weigh((self._in_depth / deviations) ** 2, has_depth, TUNING.pointmap_depth_kernel) / deviations**2
        )
        self._prior_normal, self._prior_gradient = self._priors()

    def _weigh(self, squares: Array, used: NDArray[np.bool_], kernel: float) -> Array:
        """Cauchy's weights of squared residuals in deviations, added to the cost; zero where not ``used``."""
        squares = squares / kernel**2
        self.cost += float(cauchy_cost(squares[used]).sum()) * kernel**2
        return np.where(used, cauchy_weight(squares), 0.0)

    @cached_property
    def _equations(self) -> _Equations:
        """The normal equations, points apart."""
        problem, count = self._problem, len(self.estimate.log_scales)
        by_keyframes, by_point = self._jacobians()
        normal, gradient = self._of_keyframes(by_keyframes, 7 * count)
        normal[np.diag_indices(7 * count)] += self._prior_normal
        points, order = len(problem.rays), problem.observations.point
        products = np.einsum("mr,mrc->mc", by_point, by_keyframes)  # (M, 14), the last with the residuals
        diagonal = np.bincount(order, np.einsum("mr,mr->m", by_point, by_point), points).astype(np.float64)
        slope = np.bincount(order, products[:, 13], points).astype(np.float64)
        crossed = np.zeros((points, count, 7))
        crossed[order, problem.observations.keyframe] = products[:, :7]
        starts = self._layout.point_starts
        if len(starts):
            seen = order[starts]
            crossed[seen, problem.anchors[seen], :6] += np.add.reduceat(products[:, 7:13], starts, axis=0)
        return _Equations(normal, gradient + self._prior_gradient, diagonal, slope, crossed.reshape(points, 7 * count))

    def _of_keyframes(self, by_keyframes: Array, unknowns: int) -> tuple[Array, Array]:
        """The keyframes' normal equations (U, U) and gradient (U,): each pair of keyframe and anchor by itself."""
        order, bounds, numbers = self._layout.by_pair
        in_order = by_keyframes[order].reshape(-1, 14)
        products = np.empty((len(numbers), 14, 14))
        for product, start, end in zip(products, 3 * bounds[:-1], 3 * bounds[1:], strict=True):
            of_pair = in_order[start:end]
            np.matmul(of_pair.T, of_pair, out=product)
        places = (numbers[:, :, None] * unknowns + numbers[:, None, :]).ravel()
        normal = np.bincount(places, products[:, :13, :13].ravel(), unknowns**2)
        gradient = np.bincount(numbers.ravel(), products[:, :13, 13].ravel(), unknowns)
        return normal.reshape(unknowns, unknowns).astype(np.float64), gradient.astype(np.float64)

    def moved_by_step(self, damping: float) -> Estimate | None:
        """The estimate one step on; None where the equations say nothing."""
        equations, count = self._equations, len(self.estimate.log_scales)
        inverse = 1 / np.maximum(equations.diagonal * (1 + damping), 1e-12)
        scaled = equations.crossed * inverse[:, None]
        unknowns = np.arange(7 * count)
        free = unknowns[(unknowns >= 7 * self._problem.fixed) | (unknowns % 7 == 6)]
        normal = equations.normal.copy()
        normal[np.diag_indices(7 * count)] = normal.diagonal() * (1 + damping) + TUNING.absolute_damping
        reduced = (normal - equations.crossed.T @ scaled)[np.ix_(free, free)]
        x = np.zeros(7 * count)
        try:
            x[free] = -np.linalg.solve(reduced, (equations.gradient - scaled.T @ equations.slope)[free])
        except np.linalg.LinAlgError:
            return None
        y = -inverse * (equations.slope + equations.crossed @ x)
        return self._moved(x.reshape(count, 7), y)

    def _jacobians(self) -> tuple[Array, Array]:
        """Of slopes and log depth, times the roots of their weights: (M, 3, 14) by the seven unknowns of the keyframe
        and the first six of the anchor, then the residuals themselves; and (M, 3) by the points' log depths.
        """
        seen = self._seen
        u, v, inverse = seen.slopes[:, 0], seen.slopes[:, 1], seen.inverse
        roots = np.sqrt(np.stack([self._weights_plane, self._weights_plane, self._weights_depth], axis=1))
        jacobian = np.zeros((len(u), 3, 14))
        own = jacobian[..., :7]
        own[:, 0, 0], own[:, 0, 1], own[:, 0, 2] = -u * v, 1 + u * u, -v
        own[:, 1, 0], own[:, 1, 1], own[:, 1, 2] = -1 - v * v, u * v, u
        own[:, 2, 0], own[:, 2, 1] = v, -u
        own[:, 0, 3] = own[:, 1, 4] = own[:, 2, 5] = inverse
        own[:, 0, 5], own[:, 1, 5] = -u * inverse, -v * inverse
        own[:, 2, 6] = -1.0
        from_anchor = seen.between.copy()
        from_anchor[:, 0] -= u[:, None] * seen.between[:, 2]
        from_anchor[:, 1] -= v[:, None] * seen.between[:, 2]
        from_anchor *= inverse[:, None, None]
        at, turn = seen.at_anchor[:, None], jacobian[..., 7:10]  # by the anchor's turn: the rows' cross products
        turn[..., 0] = from_anchor[..., 1] * at[..., 2] - from_anchor[..., 2] * at[..., 1]
        turn[..., 1] = from_anchor[..., 2] * at[..., 0] - from_anchor[..., 0] * at[..., 2]
        turn[..., 2] = from_anchor[..., 0] * at[..., 1] - from_anchor[..., 1] * at[..., 0]
        jacobian[..., 10:13] = -from_anchor
        jacobian[:, :2, 13], jacobian[:, 2, 13] = seen.on_plane, self._in_depth
        jacobian *= roots[..., None]
        by_point = np.einsum("mij,mj->mi", from_anchor, seen.at_anchor) * roots
        return jacobian, by_point

    def _priors(self) -> tuple[Array, Array]:
        """What L2W says of the keyframes, as (7 K,) diagonal of the normal equations and gradient; adds the cost."""
        layout, estimate = self._layout, self.estimate
        known, count = layout.known, len(self._problem.priors)
        diagonal, gradient = np.zeros((count, 7)), np.zeros((count, 7))
        if len(known):
            depth = float(np.exp(estimate.log_depths).mean()) if len(estimate.log_depths) else 1.0
            doubts, tells = layout.doubts[known], layout.tells_pose
            scales = estimate.log_scales[known] - layout.said_log_scales
            deviations = np.column_stack([pose_sigmas(doubts, depth), VISION_TUNING.prior_scale_sigma * doubts])
            poses = pose_residuals(estimate.T_camera_world[known], layout.said_poses) * tells[:, None]
            residuals = np.column_stack([poses, scales]) / deviations
            squares = np.add.reduceat(residuals**2, [0, 3, 6], axis=1) / VISION_TUNING.prior_kernel**2
            self.cost += float(charbonnier_cost(squares).sum()) * VISION_TUNING.prior_kernel**2
            weights = np.repeat(charbonnier_weight(squares), [3, 3, 1], axis=1)
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
        if size > TUNING.max_step:
            x, y = x * (TUNING.max_step / size), y * (TUNING.max_step / size)
        T = self.estimate.T_camera_world.copy()
        for k in range(self._problem.fixed, len(x)):
            turn = rotation_from_vector(x[k, :3])
            T[k, :3, :3] = turn @ T[k, :3, :3]
            T[k, :3, 3] = turn @ T[k, :3, 3] + x[k, 3:6]
        log_depths = self.estimate.log_depths + np.clip(y, -TUNING.max_step, TUNING.max_step)
        return replace(
            self.estimate, T_camera_world=T, log_scales=self.estimate.log_scales + x[:, 6], log_depths=log_depths
        )
