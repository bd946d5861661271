from dataclasses import replace

import numpy as np
import pytest
from window_scene import FOCAL_PX, KEYFRAMES, POINTS, SIGMA, badly_started, disturbed, problem_of, scene

from slam3r_ros.geometry.se3 import Array, invert_rigid
from slam3r_ros.odometry import bundle_adjustment
from slam3r_ros.odometry.bundle_adjustment import adjust, iterate, window_reprojection_errors
from slam3r_ros.odometry.bundle_equations import BlockStructure, Linearization, Residuals
from slam3r_ros.odometry.bundle_problem import Estimate
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.pose_prior import PosePrior


class Counted(Linearization):
    """Counts the systems set up."""

    made = 0

    def __init__(
        self, structure: BlockStructure, estimate: Estimate, kernel_factor: float, step_size: float = np.inf
    ) -> None:
        Counted.made += 1
        super().__init__(structure, estimate, kernel_factor, step_size)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    monkeypatch.setattr(bundle_adjustment, "Linearization", Counted)
    Counted.made = 0
    return Counted


def position_errors(estimate: Estimate, true: Array) -> Array:
    positions = np.stack([invert_rigid(T)[:3, 3] for T in estimate.T_camera_world])
    return np.asarray(np.linalg.norm(positions - np.stack([invert_rigid(T)[:3, 3] for T in true]), axis=1))


def test_exact_observations_give_poses_depths_and_scales_back() -> None:
    random = np.random.default_rng(0)
    poses, points = scene(random)
    problem, true = problem_of(poses, points, scale=2.0)
    start = disturbed(true, random, 2)
    assert position_errors(start, poses).max() > 0.02
    result = adjust(problem, start, 12)
    assert position_errors(result, poses).max() < 1e-4
    assert np.abs(result.log_depths - true.log_depths).max() < 1e-4
    assert np.abs(result.log_scales - true.log_scales).max() < 1e-3
    assert window_reprojection_errors(problem, result).max() < 1e-4


def test_a_fifth_of_outliers_does_not_disturb() -> None:
    random = np.random.default_rng(1)
    poses, points = scene(random)
    problem, true = problem_of(poses, points)
    wrong = random.random(len(problem.observations.landmark)) < 0.2
    wrong &= problem.observations.keyframe != problem.anchors[problem.observations.landmark]
    problem.observations.normalized_xy[wrong] += random.normal(0, 0.2, (int(wrong.sum()), 2))
    result = adjust(problem, disturbed(true, random, 2, 0.01), 15)
    assert position_errors(result, poses).max() < 3e-3
    assert np.median(window_reprojection_errors(problem, result)[wrong]) > 0.1


def test_wrong_depths_of_pointmaps_give_way_to_triangulation() -> None:
    random = np.random.default_rng(2)
    poses, points = scene(random)
    problem, true = problem_of(poses, points)
    problem.observations.pointmap_log_depths[:] += random.normal(0, 0.2, len(problem.observations.landmark))
    problem.observations.pointmap_log_depths[::5] = np.nan
    result = adjust(problem, disturbed(true, random, 2), 12)
    assert position_errors(result, poses).max() < 5e-3
    assert np.abs(result.log_depths - true.log_depths).max() < 0.02


@pytest.mark.parametrize(("sigma_factor", "kept"), [(1e-5, 1.0), (1.0, 0.0)])
def test_a_prior_counts_by_its_weight(sigma_factor: float, kept: float) -> None:
    random = np.random.default_rng(3)
    poses, points = scene(random)
    wrong = poses[-1].copy()
    wrong[:3, 3] += [0.2, 0, 0]
    problem, true = problem_of(poses, points, priors=(None,) * 5 + (PosePrior(wrong, 0.0, sigma_factor),))
    result = adjust(problem, true, 10)
    moved = result.T_camera_world[-1][0, 3] - poses[-1][0, 3]
    assert moved == pytest.approx(0.2 * kept, abs=0.01)


def test_what_says_nothing_leaves_the_start() -> None:
    poses, points = scene(np.random.default_rng(4))
    problem, true = problem_of(poses, -points)  # all behind
    result = adjust(problem, true, 3)
    assert np.array_equal(result.T_camera_world[:2], true.T_camera_world[:2])
    assert np.isfinite(result.T_camera_world).all()
    nowhere = Estimate(true.T_camera_world, true.log_scales, np.full(POINTS, np.nan))
    assert adjust(problem, nowhere, 3) is nowhere


@pytest.mark.parametrize("seed", range(3))
def test_a_start_tens_of_pixels_off_converges_beside_wrong_observations(seed: int) -> None:
    random = np.random.default_rng(seed)
    poses, points = scene(np.random.default_rng(0))
    problem, true = problem_of(poses, points)
    wrong = random.random(len(problem.observations.landmark)) < 0.25
    wrong &= problem.observations.keyframe != problem.anchors[problem.observations.landmark]
    problem.observations.normalized_xy[wrong] += random.normal(0, 0.2, (int(wrong.sum()), 2))
    problem.observations.pointmap_log_depths[:] += random.normal(0, 0.3, len(problem.observations.landmark))
    start = badly_started(seed, true, 0.2)
    assert np.median(window_reprojection_errors(problem, start)) * FOCAL_PX > 20
    assert position_errors(start, poses).max() > 0.3
    result = adjust(problem, start, 20)
    assert position_errors(result, poses).max() < 2e-3
    assert np.quantile(np.abs(result.log_depths - true.log_depths), 0.95) < 2e-3  # some points have no good observation
    assert np.median(window_reprojection_errors(problem, result)[~wrong]) * FOCAL_PX < 0.05


@pytest.mark.parametrize(("size", "share"), [(0.1, 0.3), (0.15, 0.2), (0.2, 0.2)])
def test_a_wide_kernel_first_does_not_keep_what_a_bad_start_happens_to_explain(
    size: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    poses, points = scene(np.random.default_rng(0))
    problem, true = problem_of(poses, points)
    start = badly_started(1, true, size)
    explained = np.random.default_rng(1).random(POINTS) < share  # of the points, by the start and by nothing else
    wrong = explained[problem.observations.landmark]
    problem.observations.normalized_xy[wrong] += Residuals(problem, start).reprojection[wrong]
    assert window_reprojection_errors(problem, start)[wrong].max() < 1e-9
    assert np.median(window_reprojection_errors(problem, start)[~wrong]) * FOCAL_PX > 8
    result = adjust(problem, start, 40)
    assert position_errors(result, poses).max() < 0.01
    assert np.median(window_reprojection_errors(problem, result)[~wrong]) * FOCAL_PX < 0.05
    monkeypatch.setattr(bundle_adjustment, "TUNING", replace(TUNING, max_kernel_factor=1.0))
    narrow = adjust(problem, start, 40)
    assert position_errors(narrow, poses).max() > 0.1
    assert np.median(window_reprojection_errors(problem, narrow)[~wrong]) * FOCAL_PX > 5


@pytest.mark.parametrize(("seed", "kernel_factor"), [(13, 1.0), (14, 1.0), (9, 8.0)])
def test_no_step_raises_the_cost(seed: int, kernel_factor: float) -> None:
    random = np.random.default_rng(seed)
    poses, points = scene(random)
    problem, true = problem_of(poses, points, fixed_keyframes=1)
    problem.observations.normalized_xy[:] += random.normal(0, 2 * SIGMA, problem.observations.normalized_xy.shape)
    start, costs, structure = badly_started(seed, true, 0.3), [], BlockStructure(problem)
    for steps in range(20):
        estimate, taken = iterate(structure, start, kernel_factor, steps)
        assert taken <= steps
        costs.append(Linearization(structure, estimate, kernel_factor).cost)
    assert costs[0] == Linearization(structure, start, kernel_factor).cost
    saved = -np.diff(costs)
    assert (saved >= 0).all()
    assert costs[-1] < 0.1 * costs[0]
    assert (saved[: saved.nonzero()[0].max()] == 0).any()  # a step that would have was not taken, and others followed


def test_steps_end_when_they_save_nothing_more(counted: type[Counted]) -> None:
    random = np.random.default_rng(7)
    poses, points = scene(random)
    problem, true = problem_of(poses, points)
    problem.observations.normalized_xy[:] += random.normal(0, SIGMA, problem.observations.normalized_xy.shape)
    result = adjust(problem, disturbed(true, random, 2), 100)
    assert counted.made <= 12
    counted.made = 0
    again = adjust(problem, result, 100)
    assert counted.made <= 2
    assert np.abs(again.T_camera_world - result.T_camera_world).max() < 2e-3
    counted.made = 0
    adjust(problem, true, 100)
    assert counted.made <= 4
    assert adjust(problem, result, 0) is result


def test_a_start_that_is_exact_is_kept_and_found_out_soon(counted: type[Counted]) -> None:
    poses, points = scene(np.random.default_rng(8))
    problem, true = problem_of(poses, points)
    result = adjust(problem, true, 100)
    assert counted.made <= 20
    assert np.abs(result.T_camera_world - poses).max() < 1e-9


@pytest.mark.parametrize("sigma_factor", [1.0, 1e-4])
def test_a_prior_of_the_scale_only_leaves_the_pose_alone(sigma_factor: float) -> None:
    random = np.random.default_rng(9)
    poses, points = scene(random)
    start = disturbed(problem_of(poses, points)[1], random, 2)
    priors = tuple(PosePrior(None, log_scale, sigma_factor) for log_scale in np.log([1.0, 1, 1, 1, 1, 3.0]))
    problem, _ = problem_of(poses, points, priors=priors)
    result = adjust(problem, start, 30)
    assert position_errors(result, poses).max() < 1e-4
    # Nor does it of a keyframe whose pointmap says nothing: there it tells the scale, which nothing else does.
    problem.observations.pointmap_log_depths[problem.observations.keyframe == 5] = np.nan
    result = adjust(problem, start, 30)
    assert position_errors(result, poses).max() < 1e-4
    assert result.log_scales[5] == pytest.approx(np.log(3.0), abs=0.02)
    assert result.log_scales[:5] == pytest.approx(np.zeros(5), abs=0.01)


@pytest.mark.parametrize("factor", [0.7, 1.4])
@pytest.mark.parametrize("tells", [True, False])
def test_a_prior_of_the_scale_only_holds_the_scale_where_nothing_else_does(tells: bool, factor: float) -> None:
    poses, points = scene(np.random.default_rng(10))
    priors = (PosePrior(None, 0.0, 1.0),) * KEYFRAMES if tells else (None,) * KEYFRAMES
    problem, true = problem_of(poses, points, priors=priors, fixed_keyframes=1)
    between = poses @ invert_rigid(poses[0])
    between[:, :3, 3] *= factor  # the world in another size explains all that is seen as well
    start = Estimate(between @ poses[0], np.full(KEYFRAMES, np.log(factor)), true.log_depths + np.log(factor))
    assert window_reprojection_errors(problem, start).max() < 1e-9
    result = start
    for _ in range(12):  # windows
        result = adjust(problem, result, 20)
    assert window_reprojection_errors(problem, result).max() < 1e-4
    ends = [invert_rigid(T[-1])[:3, 3] - invert_rigid(T[0])[:3, 3] for T in (result.T_camera_world, poses)]
    expected = 1.0 if tells else factor
    assert np.linalg.norm(ends[0]) / np.linalg.norm(ends[1]) == pytest.approx(expected, rel=0.01)
    assert np.exp(result.log_depths - true.log_depths) == pytest.approx(np.full(POINTS, expected), rel=0.01)
