import numpy as np
import pytest
from window_scene import KEYFRAMES, POINTS, badly_started, disturbed, problem_of, scene

from slam3r_ros.geometry.se3 import Array, rigid
from slam3r_ros.odometry.bundle_equations import (
    BlockStructure,
    Linearization,
    NormalEquations,
    Residuals,
    jacobians,
    limit_step,
    retract,
)
from slam3r_ros.odometry.bundle_problem import Estimate, Problem
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.pose_prior import PosePrior


def residuals_of(problem: Problem, estimate: Estimate) -> Array:
    """(M, 3) reprojection and log depth."""
    residuals = Residuals(problem, estimate)
    return np.column_stack([residuals.reprojection, residuals.log_depth])


def by_differences(problem: Problem, estimate: Estimate, keyframe_step: Array, landmark_step: Array) -> Array:
    """(M, 3) derivatives of the residuals along a small step."""
    ahead, back = (residuals_of(problem, retract(estimate, 0, s * keyframe_step, s * landmark_step)) for s in (1, -1))
    return (ahead - back) / 2


def a_problem(seed: int = 5) -> tuple[Problem, Estimate]:
    """A window with priors, and an estimate that is off in everything."""
    random = np.random.default_rng(seed)
    poses, points = scene(random)
    priors = [PosePrior(rigid(np.eye(3), random.normal(0, 0.1, 3)) @ T, random.normal(0, 0.1), 0.5) for T in poses]
    problem, true = problem_of(poses, points, fixed_keyframes=0, priors=(None, *priors[1:]))
    problem.observations.pointmap_log_depths[::7] = np.nan
    return problem, badly_started(seed, true, 0.1)


@pytest.mark.parametrize("unknown", range(7))
def test_the_jacobian_by_a_keyframe_is_that_of_differences(unknown: int) -> None:
    problem, estimate = a_problem()
    observer, anchor = problem.observations.keyframe, problem.anchors[problem.observations.landmark]
    residuals = Residuals(problem, estimate)
    analytic, _ = jacobians(residuals, residuals.log_depth)
    for keyframe in range(KEYFRAMES):
        step = np.zeros((KEYFRAMES, 7))
        step[keyframe, unknown] = 1e-6
        expected = by_differences(problem, estimate, step.ravel(), np.zeros(POINTS)) / 1e-6
        found = np.where((observer == keyframe)[:, None], analytic[:, :, unknown], 0)
        if unknown < 6:
            found = found + np.where((anchor == keyframe)[:, None], analytic[:, :, 7 + unknown], 0)
        known = np.isfinite(expected)
        assert known.mean() > 0.9 and np.abs(expected[known]).max() > 0.1
        np.testing.assert_allclose(found[known], expected[known], rtol=1e-6, atol=1e-7)


def test_the_jacobian_by_a_landmark_is_that_of_differences() -> None:
    problem, estimate = a_problem()
    residuals = Residuals(problem, estimate)
    _, analytic = jacobians(residuals, residuals.log_depth)
    # No two landmarks share a residual, so all of them may move at once.
    expected = by_differences(problem, estimate, np.zeros(7 * KEYFRAMES), np.full(POINTS, 1e-6)) / 1e-6
    known = np.isfinite(expected)
    assert np.abs(expected[known]).max() > 0.1
    np.testing.assert_allclose(analytic[known], expected[known], rtol=1e-6, atol=1e-7)


def dense_equations(equations: NormalEquations) -> tuple[Array, Array]:
    """(U, U) all of H and (U,) all of b, the landmarks' unknowns behind the keyframes'."""
    H = np.block([[equations.H_kk, equations.H_lk.T], [equations.H_lk, np.diag(equations.H_ll)]])
    return H, np.concatenate([equations.b_k, equations.b_l])


def test_the_normal_equations_are_sums_over_the_observations() -> None:
    problem, estimate = a_problem()
    system = Linearization(BlockStructure(problem), estimate, 4.0)
    by_keyframes, by_landmark = system._weighted_jacobians()
    observer, landmark = problem.observations.keyframe, problem.observations.landmark
    J = np.zeros((len(observer), 3, 7 * KEYFRAMES + POINTS))
    for row, (keyframe, anchor, point) in enumerate(zip(observer, problem.anchors[landmark], landmark, strict=True)):
        J[row, :, 7 * keyframe : 7 * keyframe + 7] += by_keyframes[row, :, :7]
        J[row, :, 7 * anchor : 7 * anchor + 6] += by_keyframes[row, :, 7:13]
        J[row, :, 7 * KEYFRAMES + point] += by_landmark[row]
    J, r = J.reshape(-1, J.shape[2]), by_keyframes[..., 13].reshape(-1)
    keyframes = slice(0, 7 * KEYFRAMES)
    H, b = J.T @ J, J.T @ r
    H[keyframes, keyframes] += np.diag(system._prior_hessian)
    b[keyframes] += system._prior_gradient
    found_H, found_b = dense_equations(system._normal_equations)
    np.testing.assert_allclose(found_H, H, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(found_b, b, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("damping", [1e-6, 1e-2, 10.0])
@pytest.mark.parametrize("fixed", [0, 2])
def test_the_schur_complement_solves_the_whole_system(damping: float, fixed: int) -> None:
    problem, estimate = a_problem()
    system = Linearization(BlockStructure(problem), estimate, 4.0)
    free = np.arange(7 * fixed, 7 * KEYFRAMES)
    solution = system._normal_equations.solve(damping, free)
    assert solution is not None
    H, b = dense_equations(system._normal_equations)
    H = H + damping * np.diag(H.diagonal())
    H[np.diag_indices(7 * KEYFRAMES)] += TUNING.absolute_damping
    chosen = np.concatenate([free, 7 * KEYFRAMES + np.arange(POINTS)])
    expected = np.zeros(len(b))
    expected[chosen] = -np.linalg.solve(H[np.ix_(chosen, chosen)], b[chosen])
    np.testing.assert_allclose(np.concatenate(solution), expected, rtol=1e-5, atol=1e-8)


def test_singular_equations_give_no_step() -> None:
    H_kk = -TUNING.absolute_damping * np.eye(7)  # nothing is left of it with the damping that is added
    equations = NormalEquations(H_kk, np.zeros((3, 7)), np.ones(3), np.zeros(7), np.zeros(3))
    assert equations.solve(0.0, np.arange(7)) is None


def test_a_large_step_is_shortened_as_a_whole_and_a_landmark_alone() -> None:
    _, true = problem_of(*scene(np.random.default_rng(0)))
    depth = np.exp(true.log_depths).mean()
    keyframe_step, landmark_step = np.zeros((KEYFRAMES, 7)), np.full(POINTS, 0.1)
    keyframe_step[2, 4], landmark_step[3] = 4 * TUNING.max_step * depth, 9.0
    keyframes, landmarks, size = limit_step(true, keyframe_step.ravel(), landmark_step)
    assert size == TUNING.max_step
    assert keyframes[2 * 7 + 4] == pytest.approx(TUNING.max_step * depth)
    assert landmarks[0] == pytest.approx(0.1 / 4) and landmarks[3] == TUNING.max_step
    small = disturbed(true, np.random.default_rng(1), 0).log_depths - true.log_depths
    assert np.array_equal(limit_step(true, np.zeros(7 * KEYFRAMES), small)[1], small)


def test_the_gradient_is_the_derivative_of_the_cost() -> None:
    random = np.random.default_rng(5)
    problem, true = problem_of(*scene(random), fixed_keyframes=0)
    structure = BlockStructure(problem)
    system = Linearization(structure, badly_started(5, true, 0.1), 4.0)
    equations, keyframes = system._normal_equations, len(problem.priors)
    assert np.abs(equations.b_k).min() > 0
    keyframe_steps, landmark_steps = np.zeros((keyframes, 7)), np.zeros(POINTS)
    for steps, gradient in ((keyframe_steps, equations.b_k), (landmark_steps, equations.b_l)):
        flat, size = steps.reshape(-1), 1e-6
        for unknown in range(len(flat)):
            costs = []
            for flat[unknown] in (size, -size):
                moved = retract(system.estimate, 0, keyframe_steps.ravel(), landmark_steps)
                costs.append(Linearization(structure, moved, 4.0).cost)
            flat[unknown] = 0
            assert (costs[0] - costs[1]) / (2 * size) == pytest.approx(gradient[unknown], rel=1e-4, abs=1e-3)
