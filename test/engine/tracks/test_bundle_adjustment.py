import numpy as np
import pytest

from slam3r_ros.engine.geometry import Array, invert_rigid, rigid, transform_points
from slam3r_ros.engine.tracks.bundle_adjustment import Estimate, Observations, Problem, adjust, observed_errors
from slam3r_ros.engine.tracks.prior import Prior

KEYFRAMES, POINTS, DEVIATION = 6, 80, 1e-3


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
    problem, true = problem_of(poses, points, priors=(None,) * 5 + (Prior(wrong, 0.0, doubt),))
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
