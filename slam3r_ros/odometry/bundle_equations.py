"""The equations of bundle adjustment, in the order of the textbook (Triggs et al. 2000, "Bundle adjustment: a modern
synthesis"): residuals, robust weights, Jacobians, normal equations, Schur complement, back-substitution, retraction.

A keyframe has seven unknowns: a rotation vector w and a translation t, applied on the left as ``T <- (exp(w), t) T``
with T = T_camera_world, and the logarithm of its pointmap's scale. A landmark has one, the logarithm of its depth in
its anchor. An observation has three residuals: two of reprojection and one of its pointmap's depth. A prior of L2W adds
seven residuals to its keyframe.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.robust import cauchy_cost, cauchy_weight, charbonnier_cost, charbonnier_weight
from slam3r_ros.geometry.se3 import Array, rotation_from_vector
from slam3r_ros.odometry.bundle_problem import Estimate, Problem
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.pose_prior import pose_residuals, pose_sigmas
from slam3r_ros.vision.tuning import TUNING as VISION_TUNING

KEYFRAME_UNKNOWNS, ANCHOR_UNKNOWNS = 7, 6
"""Unknowns of a keyframe that observes, and those of an anchor: the anchor's scale moves no landmark."""
MIN_DEPTH = 1e-6
"""Smallest depth of a landmark that counts as in front of a camera, in world lengths."""
MIN_LANDMARK_HESSIAN = 1e-12
"""Smallest diagonal element of the landmarks' normal equations that is divided by."""


class BlockStructure:
    """The sparsity of one problem's normal equations, and its priors as arrays: what no step changes."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        priors = problem.priors
        self.sigma_factors = np.array([1.0 if prior is None else prior.sigma_factor for prior in priors])
        self.with_prior = np.array([k for k, prior in enumerate(priors) if prior is not None], np.intp)
        given = [prior for prior in priors if prior is not None]
        self.has_prior_pose = np.array([prior.T_camera_world is not None for prior in given], np.bool_)
        unused = np.eye(4)
        poses = [unused if prior.T_camera_world is None else prior.T_camera_world for prior in given]
        self.prior_poses = np.array(poses).reshape(-1, 4, 4)
        self.prior_log_scales = np.array([prior.log_scale for prior in given])

    @cached_property
    def keyframe_anchor_pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """(M,) the observations sorted by their pair of keyframe and anchor, (P + 1,) where the observations of each
        pair begin, and (P, 13) the numbers of each pair's unknowns: the keyframe's seven, then the anchor's six.
        """
        problem, count = self.problem, len(self.problem.priors)
        keyframe, anchor = problem.observations.keyframe, problem.anchors[problem.observations.landmark]
        pair = keyframe * count + anchor
        order = np.argsort(pair, kind="stable")
        starts = np.flatnonzero(np.diff(pair[order], prepend=-1))
        first = order[starts]
        of_keyframe = KEYFRAME_UNKNOWNS * keyframe[first, None] + np.arange(KEYFRAME_UNKNOWNS)
        of_anchor = KEYFRAME_UNKNOWNS * anchor[first, None] + np.arange(ANCHOR_UNKNOWNS)
        return order, np.append(starts, len(order)), np.concatenate([of_keyframe, of_anchor], axis=1)

    @cached_property
    def sorted_rows(self) -> Array:
        """(M, 3, 14) memory for the weighted Jacobians, sorted by pair of keyframe and anchor. Every iteration uses it
        again, since new memory of this size costs about as much time as the arithmetic on it."""
        return np.empty((len(self.problem.observations.landmark), 3, KEYFRAME_UNKNOWNS + ANCHOR_UNKNOWNS + 1))

    @cached_property
    def landmark_starts(self) -> NDArray[np.intp]:
        """(L,) the first observation of each landmark that is observed at all."""
        return np.flatnonzero(np.diff(self.problem.observations.landmark, prepend=-1))

    @cached_property
    def free_unknowns(self) -> NDArray[np.intp]:
        """The numbers of the keyframes' unknowns that are estimated: all scales, and the poses that are not fixed."""
        unknowns = np.arange(KEYFRAME_UNKNOWNS * len(self.problem.priors))
        has_free_pose = unknowns >= KEYFRAME_UNKNOWNS * self.problem.fixed_keyframes
        return unknowns[has_free_pose | (unknowns % KEYFRAME_UNKNOWNS == 6)]


class Residuals:
    """The M observations' landmarks in the cameras of their keyframes, and the residuals of the observations."""

    def __init__(self, problem: Problem, estimate: Estimate) -> None:
        observations = problem.observations
        T = estimate.T_camera_world
        R, t = T[:, :3, :3], T[:, :3, 3]
        R_a_b = R[:, None] @ R[None].swapaxes(-1, -2)  # (K, K, 3, 3) from every keyframe b to every keyframe a
        t_a_b = t[:, None] - np.einsum("kaij,aj->kai", R_a_b, t)
        keyframe, anchor = observations.keyframe, problem.anchors[observations.landmark]
        self.R_keyframe_anchor = R_a_b[keyframe, anchor]
        self.points_anchor = (problem.anchor_rays * np.exp(estimate.log_depths)[:, None])[observations.landmark]
        rotated = np.einsum("mij,mj->mi", self.R_keyframe_anchor, self.points_anchor)
        self.points_keyframe = rotated + t_a_b[keyframe, anchor]
        z = self.points_keyframe[:, 2]
        self.in_front = z > MIN_DEPTH
        z = np.where(self.in_front, z, 1.0)
        self.inverse_depths = 1 / z
        self.projected_xy = self.points_keyframe[:, :2] * self.inverse_depths[:, None]
        self.reprojection = self.projected_xy - observations.normalized_xy
        self.log_depth = np.log(z) - observations.pointmap_log_depths - estimate.log_scales[keyframe]


def jacobians(residuals: Residuals, log_depth: Array) -> tuple[Array, Array]:
    """The derivatives of the residuals of M observations.

    Returns (M, 3, 14): by the seven unknowns of the keyframe, by the six of the anchor, and in the last column the
    residuals themselves, for which ``log_depth`` (M,) is taken; and (M, 3): by the logarithm of the landmark's depth.

    With p = (x, y, z) the landmark in the keyframe, (u, v) = (x, y) / z and D = d(u, v, log z) / dp: a step of the
    keyframe moves p by ``w x p + t``, one of the anchor by ``R (q x w - t)``, and one of the log depth by ``R q``, with
    q the landmark in the anchor and R = R_keyframe_anchor.
    """
    u, v, inverse = residuals.projected_xy[:, 0], residuals.projected_xy[:, 1], residuals.inverse_depths
    jacobian = np.zeros((len(u), 3, KEYFRAME_UNKNOWNS + ANCHOR_UNKNOWNS + 1))
    by_keyframe = jacobian[..., :7]
    by_keyframe[:, 0, 0], by_keyframe[:, 0, 1], by_keyframe[:, 0, 2] = -u * v, 1 + u * u, -v
    by_keyframe[:, 1, 0], by_keyframe[:, 1, 1], by_keyframe[:, 1, 2] = -1 - v * v, u * v, u
    by_keyframe[:, 2, 0], by_keyframe[:, 2, 1] = v, -u
    by_keyframe[:, 0, 3] = by_keyframe[:, 1, 4] = by_keyframe[:, 2, 5] = inverse
    by_keyframe[:, 0, 5], by_keyframe[:, 1, 5] = -u * inverse, -v * inverse
    by_keyframe[:, 2, 6] = -1.0
    D_R = residuals.R_keyframe_anchor.copy()
    D_R[:, 0] -= u[:, None] * residuals.R_keyframe_anchor[:, 2]
    D_R[:, 1] -= v[:, None] * residuals.R_keyframe_anchor[:, 2]
    D_R *= inverse[:, None, None]
    q, by_anchor_rotation = residuals.points_anchor[:, None], jacobian[..., 7:10]  # rows of D R, crossed with q
    by_anchor_rotation[..., 0] = D_R[..., 1] * q[..., 2] - D_R[..., 2] * q[..., 1]
    by_anchor_rotation[..., 1] = D_R[..., 2] * q[..., 0] - D_R[..., 0] * q[..., 2]
    by_anchor_rotation[..., 2] = D_R[..., 0] * q[..., 1] - D_R[..., 1] * q[..., 0]
    jacobian[..., 10:13] = -D_R
    jacobian[:, :2, 13], jacobian[:, 2, 13] = residuals.reprojection, log_depth
    return jacobian, np.einsum("mij,mj->mi", D_R, residuals.points_anchor)


@dataclass(frozen=True, slots=True, eq=False)
class NormalEquations:
    """Gauss-Newton's normal equations ``H step = -b`` of K keyframes (k) and N landmarks (l), in blocks."""

    H_kk: Array
    """(7 K, 7 K) block of the keyframes."""
    H_lk: Array
    """(N, 7 K) block of landmarks and keyframes."""
    H_ll: Array
    """(N,) diagonal block of the landmarks, of which no two share a residual."""
    b_k: Array
    """(7 K,) gradient of the cost by the keyframes' unknowns."""
    b_l: Array
    """(N,) gradient of the cost by the landmarks' unknowns."""

    def solve(self, damping: float, free: NDArray[np.intp]) -> tuple[Array, Array] | None:
        """The damped step (7 K,) of the keyframes and (N,) of the landmarks; None where the equations are singular.

        Landmarks are eliminated by the Schur complement (Triggs 2000, section 6.1). Only the keyframes' unknowns
        ``free`` take part; the others get no step.
        """
        H_ll_inverse = 1 / np.maximum(self.H_ll * (1 + damping), MIN_LANDMARK_HESSIAN)
        eliminated = self.H_lk * H_ll_inverse[:, None]
        H_kk = self.H_kk.copy()
        np.fill_diagonal(H_kk, H_kk.diagonal() * (1 + damping) + TUNING.absolute_damping)
        schur = (H_kk - self.H_lk.T @ eliminated)[np.ix_(free, free)]
        schur_gradient = (self.b_k - eliminated.T @ self.b_l)[free]
        keyframe_step = np.zeros(len(H_kk))
        try:
            keyframe_step[free] = -np.linalg.solve(schur, schur_gradient)
        except np.linalg.LinAlgError:
            return None
        landmark_step = -H_ll_inverse * (self.b_l + self.H_lk @ keyframe_step)  # back-substitution
        return keyframe_step, landmark_step


class Linearization:
    """The robust cost at an estimate and, once a step is asked for, the normal equations there."""

    def __init__(
        self, structure: BlockStructure, estimate: Estimate, kernel_factor: float, step_size: float = np.inf
    ) -> None:
        """``kernel_factor`` widens the robust kernel of the reprojection errors; ``step_size`` is that of the step that
        led to the estimate (see `limit_step`)."""
        self.estimate, self.step_size = estimate, step_size
        self._structure, self._problem, self._kernel_factor = structure, structure.problem, kernel_factor
        problem = structure.problem
        self._residuals = residuals = Residuals(problem, estimate)
        squares = np.einsum("mi,mi->m", residuals.reprojection, residuals.reprojection) / problem.xy_sigma**2
        self.cost = float((~residuals.in_front).sum()) * TUNING.behind_camera_cost
        kernel = TUNING.reprojection_kernel * kernel_factor
        self._reprojection_weights = self._robust_weights(squares, residuals.in_front, kernel) / problem.xy_sigma**2
        has_depth = residuals.in_front & np.isfinite(residuals.log_depth)
        sigmas = (TUNING.pointmap_depth_sigma * structure.sigma_factors)[problem.observations.keyframe]
        self._log_depth = np.where(has_depth, residuals.log_depth, 0.0)
        squares = (self._log_depth / sigmas) ** 2
        self._depth_weights = self._robust_weights(squares, has_depth, TUNING.pointmap_depth_kernel) / sigmas**2
        self._prior_hessian, self._prior_gradient = self._prior_terms()

    def after_step(self, damping: float) -> Linearization | None:
        """The linearization at the estimate after one damped Gauss-Newton step; None where the equations give none."""
        solution = self._normal_equations.solve(damping, self._structure.free_unknowns)
        if solution is None or not all(np.isfinite(each).all() for each in solution):
            return None
        keyframe_step, landmark_step, size = limit_step(self.estimate, *solution)
        estimate = retract(self.estimate, self._problem.fixed_keyframes, keyframe_step, landmark_step)
        return type(self)(self._structure, estimate, self._kernel_factor, size)

    def _robust_weights(self, squares: Array, used: NDArray[np.bool_], kernel: float) -> Array:
        """(M,) weights by Cauchy's kernel for squared residuals (M,) in sigmas, whose cost is added to the cost;
        zero where a residual is not ``used``."""
        squares = squares / kernel**2
        self.cost += float(cauchy_cost(squares[used]).sum()) * kernel**2
        return np.where(used, cauchy_weight(squares), 0.0)

    def _prior_terms(self) -> tuple[Array, Array]:
        """(7 K,) diagonal of the normal equations and (7 K,) gradient of L2W's priors, whose cost is added to the
        cost. Their kernel is Charbonnier's, so that a prior that disagrees for long is not forgotten."""
        structure, estimate = self._structure, self.estimate
        known, count = structure.with_prior, len(self._problem.priors)
        diagonal, gradient = np.zeros((count, 7)), np.zeros((count, 7))
        if len(known):
            depth = float(np.exp(estimate.log_depths).mean()) if len(estimate.log_depths) else 1.0
            factors, has_pose = structure.sigma_factors[known], structure.has_prior_pose
            scales = estimate.log_scales[known] - structure.prior_log_scales
            sigmas = np.column_stack([pose_sigmas(factors, depth), VISION_TUNING.prior_scale_sigma * factors])
            poses = pose_residuals(estimate.T_camera_world[known], structure.prior_poses) * has_pose[:, None]
            residuals = np.column_stack([poses, scales]) / sigmas
            squares = np.add.reduceat(residuals**2, [0, 3, 6], axis=1) / VISION_TUNING.prior_kernel**2
            self.cost += float(charbonnier_cost(squares).sum()) * VISION_TUNING.prior_kernel**2
            weights = np.repeat(charbonnier_weight(squares), [3, 3, 1], axis=1)
            weights[~has_pose, :6] = 0
            diagonal[known], gradient[known] = weights / sigmas**2, weights * residuals / sigmas
        return diagonal.ravel(), gradient.ravel()

    @cached_property
    def _normal_equations(self) -> NormalEquations:
        """The normal equations of observations and priors: sums of ``J^T W J`` and of ``J^T W r``."""
        problem, unknowns = self._problem, KEYFRAME_UNKNOWNS * len(self.estimate.log_scales)
        by_keyframes, by_landmark = self._weighted_jacobians()
        H_kk, b_k = self._keyframe_block(by_keyframes, unknowns)
        H_kk[np.diag_indices(unknowns)] += self._prior_hessian
        count, landmark = len(problem.anchor_rays), problem.observations.landmark
        products = np.einsum("mr,mrc->mc", by_landmark, by_keyframes)  # (M, 14), the last with the residuals
        H_ll = np.bincount(landmark, np.einsum("mr,mr->m", by_landmark, by_landmark), count).astype(np.float64)
        b_l = np.bincount(landmark, products[:, 13], count).astype(np.float64)
        H_lk = np.zeros((count, len(problem.priors), KEYFRAME_UNKNOWNS))
        H_lk[landmark, problem.observations.keyframe] = products[:, :7]
        starts = self._structure.landmark_starts
        if len(starts):
            observed = landmark[starts]
            H_lk[observed, problem.anchors[observed], :6] += np.add.reduceat(products[:, 7:13], starts, axis=0)
        return NormalEquations(H_kk, H_lk.reshape(count, unknowns), H_ll, b_k + self._prior_gradient, b_l)

    def _weighted_jacobians(self) -> tuple[Array, Array]:
        """`jacobians`, every row times the square root of its residual's weight."""
        by_keyframes, by_landmark = jacobians(self._residuals, self._log_depth)
        weights = np.stack([self._reprojection_weights, self._reprojection_weights, self._depth_weights], axis=1)
        roots = np.sqrt(weights)
        by_keyframes *= roots[..., None]
        return by_keyframes, by_landmark * roots

    def _keyframe_block(self, by_keyframes: Array, unknowns: int) -> tuple[Array, Array]:
        """The keyframes' normal equations (U, U) and gradient (U,): each pair of keyframe and anchor by itself."""
        order, bounds, numbers = self._structure.keyframe_anchor_pairs
        np.take(by_keyframes, order, axis=0, out=self._structure.sorted_rows, mode="clip")  # the mode without a copy
        in_order = self._structure.sorted_rows.reshape(-1, 14)
        products = np.empty((len(numbers), 14, 14))
        for product, start, end in zip(products, 3 * bounds[:-1], 3 * bounds[1:], strict=True):
            of_pair = in_order[start:end]
            np.matmul(of_pair.T, of_pair, out=product)
        places = (numbers[:, :, None] * unknowns + numbers[:, None, :]).ravel()
        H_kk = np.bincount(places, products[:, :13, :13].ravel(), unknowns**2)
        b_k = np.bincount(numbers.ravel(), products[:, :13, 13].ravel(), unknowns)
        return H_kk.reshape(unknowns, unknowns).astype(np.float64), b_k.astype(np.float64)


def limit_step(estimate: Estimate, keyframe_step: Array, landmark_step: Array) -> tuple[Array, Array, float]:
    """A step (7 K,) of the keyframes and (N,) of the landmarks, limited to `OdometryTuning.max_step`, and its size.

    The size is the largest component of the keyframes' step, with translations in mean depths. A step that is too large
    is shortened as a whole, and then every landmark's by itself.
    """
    depth = float(np.exp(estimate.log_depths).mean()) if len(landmark_step) else 1.0
    units = np.array([1, 1, 1, 1 / depth, 1 / depth, 1 / depth, 1])
    size = float(np.abs(keyframe_step.reshape(-1, KEYFRAME_UNKNOWNS) * units).max())
    if size > TUNING.max_step:
        keyframe_step, landmark_step = (each * (TUNING.max_step / size) for each in (keyframe_step, landmark_step))
    return keyframe_step, np.clip(landmark_step, -TUNING.max_step, TUNING.max_step), min(size, TUNING.max_step)


def retract(estimate: Estimate, fixed_keyframes: int, keyframe_step: Array, landmark_step: Array) -> Estimate:
    """The estimate moved by a step (7 K,) of the keyframes and (N,) of the landmarks; fixed poses stay."""
    steps = keyframe_step.reshape(-1, KEYFRAME_UNKNOWNS)
    T = estimate.T_camera_world.copy()
    for k in range(fixed_keyframes, len(steps)):
        rotation = rotation_from_vector(steps[k, :3])
        T[k, :3, :3] = rotation @ T[k, :3, :3]
        T[k, :3, 3] = rotation @ T[k, :3, 3] + steps[k, 3:6]
    return Estimate(T, estimate.log_scales + steps[:, 6], estimate.log_depths + landmark_step)
