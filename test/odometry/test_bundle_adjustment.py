from dataclasses import replace

import numpy as np
import pytest

from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid, transform_points
from slam3r_ros.odometry import bundle_adjustment
from slam3r_ros.odometry.bundle_adjustment import Estimate, Observations, Problem, adjust, observed_errors
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.pose_prior import PosePrior

KEYFRAMES, POINTS, DEVIATION = 6, 80, 1e-3
FOCAL_PX = 220
"""Of the images that the slopes may be thought to come from: a deviation is a fifth of a pixel."""


def turn(vector: Array) -> Array:
    angle = np.linalg.norm(vector)
    k = vector / angle
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def scene(random: np.random.Generator) -> tuple[Array, Array]:
    """True T_camera_world (K, 4, 4) and points (N, 3) before them."""
    turns = [np.array([0.01, 0.03 * k + 1e-3, -0.02]) for k in range(KEYFRAMES)]
    poses = [rigid(turn(each), [-0.1 * k, 0.02 * k**2, 0.03 * k]) for k, each in enumerate(turns)]
    return np.stack(poses), random.uniform([-1, -1, 2], [1, 1, 4], (POINTS, 3))


def problem_of(poses: Array, points: Array, *, scale: float = 1.0, **changes: object) -> tuple[Problem, Estimate]:
    """All keyframes see all points, anchored at the first or the third; exact, with its exact estimate."""
    seen = np.stack([transform_points(T, points) for T in poses])
    anchors = np.where(np.arange(POINTS) % 2, 0, 2)
    point, keyframe = (each.ravel() for each in np.meshgrid(np.arange(POINTS), np.arange(KEYFRAMES), indexing="ij"))
    at_anchor = seen[anchors, np.arange(POINTS)]
    observed = seen[keyframe, point]
    log_depths = np.log(np.abs(observed[:, 2]) / scale)
    observations = Observations(keyframe, point, observed[:, :2] / observed[:, 2:], log_depths)
    values: dict = {"priors": (None,) * KEYFRAMES, "fixed": 2, "slope_deviation": DEVIATION}
    problem = Problem(observations, anchors, at_anchor / at_anchor[:, 2:], **(values | changes))
    return problem, Estimate(poses, np.full(KEYFRAMES, np.log(scale)), np.log(np.abs(at_anchor[:, 2])))


def disturbed(estimate: Estimate, random: np.random.Generator, fixed: int, size: float = 0.03) -> Estimate:
    poses = estimate.T_camera_world.copy()
    for k in range(fixed, KEYFRAMES):
        poses[k] = rigid(turn(random.normal(0, size, 3)), random.normal(0, size, 3)) @ poses[k]
    scales = estimate.log_scales + random.normal(0, 0.1, KEYFRAMES)
    return Estimate(poses, scales, estimate.log_depths + random.normal(0, 0.1, POINTS))


def badly_started(seed: int, true: Estimate, size: float) -> Estimate:
    """With depths that err by half."""
    random = np.random.default_rng(seed)
    start = disturbed(true, random, 2, size)
    return Estimate(start.T_camera_world, start.log_scales, true.log_depths + random.normal(0, 0.5, POINTS))


class Counted(bundle_adjustment._System):
    """Counts the systems set up."""

    made = 0

    def __init__(self, layout: bundle_adjustment._Layout, estimate: Estimate, widening: float) -> None:
        Counted.made += 1
        super().__init__(layout, estimate, widening)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    monkeypatch.setattr(bundle_adjustment, "_System", Counted)
    Counted.made = 0
    return Counted


def position_errors(estimate: Estimate, true: Array) -> Array:
    positions = np.stack([invert_rigid(T)[:3, 3] for T in estimate.T_camera_world])
    return np.asarray(np.linalg.norm(positions - np.stack([invert_rigid(T)[:3, 3] for T in true]), axis=1))


def test_exact_sightings_give_poses_depths_and_scales_back() -> None:
    random = np.random.default_rng(0)
    poses, points = scene(random)
    problem, true = problem_of(poses, points, scale=2.0)
    start = disturbed(true, random, 2)
    assert position_errors(start, poses).max() > 0.02
    result = adjust(problem, start, 12)
    assert position_errors(result, poses).max() < 1e-4
    assert np.abs(result.log_depths - true.log_depths).max() < 1e-4
    assert np.abs(result.log_scales - true.log_scales).max() < 1e-3
    assert observed_errors(problem, result).max() < 1e-4


def test_a_fifth_of_wrong_sightings_does_not_disturb() -> None:
    random = np.random.default_rng(1)
    poses, points = scene(random)
    problem, true = problem_of(poses, points)
    wrong = random.random(len(problem.observations.point)) < 0.2
    wrong &= problem.observations.keyframe != problem.anchors[problem.observations.point]
    problem.observations.slopes[wrong] += random.normal(0, 0.2, (int(wrong.sum()), 2))
    result = adjust(problem, disturbed(true, random, 2, 0.01), 15)
    assert position_errors(result, poses).max() < 3e-3
    assert np.median(observed_errors(problem, result)[wrong]) > 0.1


def test_wrong_depths_of_pointmaps_give_way_to_parallax() -> None:
    random = np.random.default_rng(2)
    poses, points = scene(random)
    problem, true = problem_of(poses, points)
    problem.observations.log_depths[:] += random.normal(0, 0.2, len(problem.observations.point))
    problem.observations.log_depths[::5] = np.nan
    result = adjust(problem, disturbed(true, random, 2), 12)
    assert position_errors(result, poses).max() < 5e-3
    assert np.abs(result.log_depths - true.log_depths).max() < 0.02


@pytest.mark.parametrize(("doubt", "kept"), [(1e-5, 1.0), (1.0, 0.0)])
def test_a_prior_counts_as_far_as_it_is_not_doubted(doubt: float, kept: float) -> None:
    random = np.random.default_rng(3)
    poses, points = scene(random)
    wrong = poses[-1].copy()
    wrong[:3, 3] += [0.2, 0, 0]
    problem, true = problem_of(poses, points, priors=(None,) * 5 + (PosePrior(wrong, 0.0, doubt),))
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
def test_a_start_tens_of_pixels_off_converges_beside_wrong_sightings(seed: int) -> None:
    random = np.random.default_rng(seed)
    poses, points = scene(np.random.default_rng(0))
    problem, true = problem_of(poses, points)
    wrong = random.random(len(problem.observations.point)) < 0.25
    wrong &= problem.observations.keyframe != problem.anchors[problem.observations.point]
    problem.observations.slopes[wrong] += random.normal(0, 0.2, (int(wrong.sum()), 2))
    problem.observations.log_depths[:] += random.normal(0, 0.3, len(problem.observations.point))
    start = badly_started(seed, true, 0.2)
    assert np.median(observed_errors(problem, start)) * FOCAL_PX > 20
    assert position_errors(start, poses).max() > 0.3
    result = adjust(problem, start, 20)
    assert position_errors(result, poses).max() < 2e-3
    assert np.quantile(np.abs(result.log_depths - true.log_depths), 0.95) < 2e-3  # some points have no good sighting
    assert np.median(observed_errors(problem, result)[~wrong]) * FOCAL_PX < 0.05


@pytest.mark.parametrize(("size", "share"), [(0.1, 0.3), (0.15, 0.2), (0.2, 0.2)])
def test_a_wide_kernel_first_does_not_keep_what_a_bad_start_happens_to_explain(
    size: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    poses, points = scene(np.random.default_rng(0))
    problem, true = problem_of(poses, points)
    start = badly_started(1, true, size)
    explained = np.random.default_rng(1).random(POINTS) < share  # of the points, by the start and by nothing else
    wrong = explained[problem.observations.point]
    seen = bundle_adjustment._Seen(problem, start)
    problem.observations.slopes[wrong] += seen.on_plane[wrong]
    assert observed_errors(problem, start)[wrong].max() < 1e-9
    assert np.median(observed_errors(problem, start)[~wrong]) * FOCAL_PX > 8
    result = adjust(problem, start, 40)
    assert position_errors(result, poses).max() < 0.01
    assert np.median(observed_errors(problem, result)[~wrong]) * FOCAL_PX < 0.05
    monkeypatch.setattr(bundle_adjustment, "TUNING", replace(TUNING, max_kernel_factor=1.0))
    narrow = adjust(problem, start, 40)
    assert position_errors(narrow, poses).max() > 0.1
    assert np.median(observed_errors(problem, narrow)[~wrong]) * FOCAL_PX > 5


@pytest.mark.parametrize(("seed", "widening"), [(13, 1.0), (14, 1.0), (9, 8.0)])
def test_no_step_raises_the_cost(seed: int, widening: float) -> None:
    random = np.random.default_rng(seed)
    poses, points = scene(random)
    problem, true = problem_of(poses, points, fixed=1)
    problem.observations.slopes[:] += random.normal(0, 2 * DEVIATION, problem.observations.slopes.shape)
    start, costs, layout = badly_started(seed, true, 0.3), [], bundle_adjustment._Layout(problem)
    for steps in range(20):
        estimate, taken = bundle_adjustment._descend(layout, start, widening, steps)
        assert taken <= steps
        costs.append(bundle_adjustment._System(layout, estimate, widening).cost)
    assert costs[0] == bundle_adjustment._System(layout, start, widening).cost
    saved = -np.diff(costs)
    assert (saved >= 0).all()
    assert costs[-1] < 0.1 * costs[0]
    assert (saved[: saved.nonzero()[0].max()] == 0).any()  # a step that would have was not taken, and others followed


def test_steps_end_when_they_save_nothing_more(counted: type[Counted]) -> None:
    random = np.random.default_rng(7)
    poses, points = scene(random)
    problem, true = problem_of(poses, points)
    problem.observations.slopes[:] += random.normal(0, DEVIATION, problem.observations.slopes.shape)
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


@pytest.mark.parametrize("doubt", [1.0, 1e-4])
def test_a_prior_of_the_scale_only_leaves_the_pose_alone(doubt: float) -> None:
    random = np.random.default_rng(9)
    poses, points = scene(random)
    start = disturbed(problem_of(poses, points)[1], random, 2)
    said = tuple(PosePrior(None, log_scale, doubt) for log_scale in np.log([1.0, 1, 1, 1, 1, 3.0]))
    problem, _ = problem_of(poses, points, priors=said)
    result = adjust(problem, start, 30)
    assert position_errors(result, poses).max() < 1e-4
    # Nor does it of a keyframe whose pointmap says nothing: there it tells the scale, which nothing else does.
    problem.observations.log_depths[problem.observations.keyframe == 5] = np.nan
    result = adjust(problem, start, 30)
    assert position_errors(result, poses).max() < 1e-4
    assert result.log_scales[5] == pytest.approx(np.log(3.0), abs=0.02)
    assert result.log_scales[:5] == pytest.approx(np.zeros(5), abs=0.01)


@pytest.mark.parametrize("factor", [0.7, 1.4])
@pytest.mark.parametrize("tells", [True, False])
def test_a_prior_of_the_scale_only_holds_the_scale_where_nothing_else_does(tells: bool, factor: float) -> None:
    poses, points = scene(np.random.default_rng(10))
    priors = (PosePrior(None, 0.0, 1.0),) * KEYFRAMES if tells else (None,) * KEYFRAMES
    problem, true = problem_of(poses, points, priors=priors, fixed=1)
    between = poses @ invert_rigid(poses[0])
    between[:, :3, 3] *= factor  # the world in another size explains all that is seen as well
    start = Estimate(between @ poses[0], np.full(KEYFRAMES, np.log(factor)), true.log_depths + np.log(factor))
    assert observed_errors(problem, start).max() < 1e-9
    result = start
    for _ in range(12):  # windows
        result = adjust(problem, result, 20)
    assert observed_errors(problem, result).max() < 1e-4
    ends = [invert_rigid(T[-1])[:3, 3] - invert_rigid(T[0])[:3, 3] for T in (result.T_camera_world, poses)]
    expected = 1.0 if tells else factor
    assert np.linalg.norm(ends[0]) / np.linalg.norm(ends[1]) == pytest.approx(expected, rel=0.01)
    assert np.exp(result.log_depths - true.log_depths) == pytest.approx(np.full(POINTS, expected), rel=0.01)


def test_the_equations_are_derivatives_of_the_cost() -> None:
    random = np.random.default_rng(5)
    problem, true = problem_of(*scene(random), fixed=0)
    layout = bundle_adjustment._Layout(problem)
    system = bundle_adjustment._System(layout, badly_started(5, true, 0.1), 4.0)
    equations, keyframes = system._equations, len(problem.priors)
    assert np.abs(equations.gradient).min() > 0
    keyframe_steps, point_steps = np.zeros((keyframes, 7)), np.zeros(POINTS)
    for steps, gradient in ((keyframe_steps, equations.gradient), (point_steps, equations.slope)):
        flat, size = steps.reshape(-1), 1e-6
        for unknown in range(len(flat)):
            costs = []
            for flat[unknown] in (size, -size):
                moved = system._moved(keyframe_steps, point_steps)
                assert moved is not None
                costs.append(bundle_adjustment._System(layout, moved, 4.0).cost)
            flat[unknown] = 0
            assert (costs[0] - costs[1]) / (2 * size) == pytest.approx(gradient[unknown], rel=1e-4, abs=1e-3)
