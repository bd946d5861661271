import numpy as np
import pytest
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.chain_solver import ChainSolver
from slam3r_ros.loop_closure.pose_graph import Edges, jacobians, optimize_pose_graph, residuals
from slam3r_ros.loop_closure.tuning import TUNING

TURN, SHIFT, LOG_SCALE = (np.array([[0, 0.01, 0.002]]), np.array([[0, -0.03, 0]]), 0.01)
"""What each step of a chain drifts by; a larger circle would be no less closed, so nothing in its plane."""
CHAIN = [0.02] * 3 + [0.05] * 3 + [0.02]
LOOP = [0.01] * 3 + [0.02] * 3 + [0.02]


def circle(count: int) -> Sim3:
    """Poses round a circle of radius 3, looking ahead, the last where the first is."""
    angles = np.linspace(0, 2 * np.pi, count)
    zeros = np.zeros(count)
    turns = rotation_from_vector(np.column_stack([zeros, angles, zeros]))
    positions = 3 * np.column_stack([np.sin(angles), zeros, np.cos(angles)])
    return Sim3(np.ones(count), turns, positions)


def between(nodes: Sim3, first: NDArray[np.intp], second: NDArray[np.intp]) -> Sim3:
    return nodes[first].inverse() @ nodes[second]


def edges(nodes: Sim3, pairs: list[tuple[int, int]], deviations: list[float]) -> Edges:
    """Measured exactly."""
    first, second = np.array(pairs).T
    return Edges(first, second, between(nodes, first, second), np.tile(deviations, (len(pairs), 1)))


def drifting(true: Sim3, *, drift: float = 1.0) -> tuple[Sim3, Edges]:
    """Where a chain ends up that errs in each step alike, and its edges."""
    steps = between(true, np.arange(len(true) - 1), np.arange(1, len(true)))
    error = Sim3(np.exp(drift * np.array([LOG_SCALE])), rotation_from_vector(drift * TURN), drift * SHIFT)
    nodes = [true[:1]]
    for number in range(len(steps)):
        nodes.append(nodes[-1] @ steps[number : number + 1] @ error)
    chain = Sim3.concatenate(nodes)
    return chain, edges(chain, [(each, each + 1) for each in range(len(true) - 1)], CHAIN)


def errors(nodes: Sim3, true: Sim3) -> Array:
    """(3,) largest of turns, shifts and logarithms of scales."""
    vectors = (true.inverse() @ nodes).as_vector()
    return np.array([np.linalg.norm(part, axis=1).max() for part in (vectors[:, :3], vectors[:, 3:6], vectors[:, 6:])])


def test_a_chain_that_drifted_round_a_circle_closes() -> None:
    true = circle(60)
    nodes, chain = drifting(true)
    before = errors(nodes, true)
    assert (before > [0.3, 1.0, 0.5]).all()
    closed = optimize_pose_graph(nodes, chain, edges(true, [(0, 59)], LOOP))
    assert (errors(closed, true) < before / [5, 15, 50]).all()
    end = errors(closed[59:], true[59:])
    assert (end < before / 50).all()
    np.testing.assert_array_equal(closed.rotation[0], true.rotation[0])  # the world stays where it is
    np.testing.assert_array_equal(closed.translation[0], true.translation[0])
    assert closed.scale[0] == 1


def test_the_error_is_spread_as_the_deviations_say() -> None:
    true = circle(30)
    nodes, chain = drifting(true, drift=0.0)
    broken = Sim3.concatenate([nodes[:15], Sim3(np.ones(1), np.eye(3)[None], np.array([[0.5, 0, 0]])) @ nodes[15:]])
    deviations = chain.sigmas.copy()
    deviations[14] *= 30
    chain = Edges(chain.first, chain.second, between(broken, chain.first, chain.second), deviations)
    closed = optimize_pose_graph(broken, chain, edges(true, [(0, 29), (1, 28)], LOOP))
    assert errors(broken, true)[1] > 0.4
    assert errors(closed, true)[1] < 0.05  # the break is where it is put right
    even = optimize_pose_graph(
        broken,
        Edges(chain.first, chain.second, chain.measured, np.tile(CHAIN, (29, 1))),
        edges(true, [(0, 29), (1, 28)], LOOP),
    )
    assert errors(even, true)[1] > 0.15


def test_what_agrees_stays() -> None:
    true = circle(40)
    nodes, chain = drifting(true, drift=0.0)
    closed = optimize_pose_graph(nodes, chain, edges(true, [(0, 39), (3, 36), (0, 20)], LOOP))
    assert errors(closed, true).max() < 1e-6
    cost = np.square(residuals(closed, chain)).sum()
    assert cost < 1e-9


def test_a_wrong_loop_is_outvoted() -> None:
    true = circle(60)
    nodes, chain = drifting(true)
    right = edges(true, [(0, 59), (1, 58), (2, 57), (3, 59)], LOOP)
    wrong = edges(true, [(10, 40)], LOOP)
    measured = wrong.measured @ Sim3(1.5, rotation_from_vector([0, 1.0, 0]), [2.0, 0, 1])
    wrong = Edges(wrong.first, wrong.second, measured, wrong.sigmas)
    without = errors(optimize_pose_graph(nodes, chain, right), true)
    closed = errors(optimize_pose_graph(nodes, chain, Edges.concatenate([right, wrong])), true)
    assert (closed < 1.3 * without + 0.01).all()


def test_a_scale_that_is_not_known_does_not_pull() -> None:
    true = circle(60)
    nodes, chain = drifting(true, drift=0.0)
    unknown = edges(true, [(0, 59), (1, 58)], [*LOOP[:6], 10.0])
    wrong = Sim3(np.full(2, 3.0), unknown.measured.rotation, unknown.measured.translation)
    closed = optimize_pose_graph(nodes, chain, Edges(unknown.first, unknown.second, wrong, unknown.sigmas))
    assert np.abs(np.log(closed.scale)).max() < 0.01
    known = Edges(unknown.first, unknown.second, wrong, np.tile(LOOP, (2, 1)))
    assert np.abs(np.log(optimize_pose_graph(nodes, chain, known).scale)).max() > 0.3
    # The turn and the way of such a loop count all the same.
    drifted, its_chain = drifting(true)
    assert errors(optimize_pose_graph(drifted, its_chain, unknown)[59:], true[59:])[0] < errors(drifted, true)[0] / 50


def test_it_does_not_depend_on_where_the_world_is_and_how_large() -> None:
    true = circle(40)
    nodes, chain = drifting(true)
    loops = edges(true, [(0, 39), (2, 37)], LOOP)
    world = Sim3(np.full(1, 1.0), rotation_from_vector(np.array([[0.3, -1, 2]])), np.array([[5.0, 2, -7]]))
    elsewhere = Sim3.concatenate([world @ nodes[each : each + 1] for each in range(40)])
    one, other = optimize_pose_graph(nodes, chain, loops), optimize_pose_graph(elsewhere, chain, loops)
    back = Sim3.concatenate([world.inverse() @ other[each : each + 1] for each in range(40)])
    assert errors(back, one).max() < 1e-3

    # In other lengths: all shifts, and what they may err by, are longer.
    def longer(part: Sim3) -> Sim3:
        return Sim3(part.scale, part.rotation, 100 * part.translation)

    def longer_edges(part: Edges) -> Edges:
        return Edges(part.first, part.second, longer(part.measured), part.sigmas * ([1] * 3 + [100] * 3 + [1]))

    large = optimize_pose_graph(longer(nodes), longer_edges(chain), longer_edges(loops))
    small = Sim3(large.scale, large.rotation, large.translation / 100)
    assert errors(small, one).max() < 1e-3


def test_no_step_makes_it_worse_and_rotations_stay_rotations() -> None:
    true = circle(50)
    nodes, chain = drifting(true, drift=3.0)
    loops = edges(true, [(0, 49), (5, 45)], LOOP)
    closed = optimize_pose_graph(nodes, chain, loops)
    everything = Edges.concatenate([chain, loops])
    assert np.square(residuals(closed, everything)).sum() < 0.2 * np.square(residuals(nodes, everything)).sum()
    np.testing.assert_allclose(
        closed.rotation @ closed.rotation.transpose(0, 2, 1), np.tile(np.eye(3), (50, 1, 1)), atol=1e-9
    )
    assert (closed.scale > 0).all()


def test_five_hundred_places_take_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    true = circle(500)
    nodes, chain = drifting(true, drift=0.1)
    solve, taken = ChainSolver.solve, list[int]()
    monkeypatch.setattr(ChainSolver, "solve", lambda *given: taken.append(1) or solve(*given))  # type: ignore[func-returns-value]
    loops = edges(true, [(each, 499 - each) for each in range(0, 60, 3)], LOOP)
    closed = optimize_pose_graph(nodes, chain, loops)
    assert len(taken) <= 16
    assert (errors(closed, true) < errors(nodes, true) / [4, 10, 100]).all()


def test_equations_without_a_solution_change_nothing() -> None:
    true = circle(10)
    nodes, chain = drifting(true)
    unusable = Edges(chain.first, chain.second, chain.measured, np.full_like(chain.sigmas, np.nan))
    result = optimize_pose_graph(nodes, unusable, edges(true, [(0, 9)], LOOP))
    np.testing.assert_array_equal(result.translation, nodes.translation)


def random_graph(random: np.random.Generator, count: int, loops: int, noise: float = 0.02) -> tuple[Sim3, Edges, Edges]:
    """Nodes anywhere, a chain and loops that were measured with errors."""
    nodes = Sim3.exp(random.normal(size=(count, 7)) * [1, 1, 1, 2, 2, 2, 0.3])
    first = random.integers(0, count - 2, loops)
    pairs = [(int(each), int(random.integers(each + 1, count))) for each in first]
    chain, closing = edges(nodes, [(each, each + 1) for each in range(count - 1)], CHAIN), edges(nodes, pairs, LOOP)
    noisy = [
        Edges(
            each.first,
            each.second,
            each.measured @ Sim3.exp(random.normal(0, noise, (len(each.first), 7))),
            each.sigmas,
        )
        for each in (chain, closing)
    ]
    return nodes, noisy[0], noisy[1]


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.6])
def test_jacobians_are_the_derivatives_of_the_residuals(noise: float) -> None:
    nodes, _, loops = random_graph(np.random.default_rng(4), 12, 30, noise)
    exact, step = jacobians(residuals(nodes, loops), loops), 1e-6
    for unknown in range(7):
        tangent = np.zeros((len(nodes), 7))
        tangent[:, unknown] = step
        forth, back = nodes.retract(tangent), nodes.retract(-tangent)
        for of_end, is_first in zip(exact, (True, False), strict=True):
            sides = []
            for moved in (forth, back):
                both = Sim3.concatenate([moved, nodes] if is_first else [nodes, moved])
                apart = Edges(loops.first, loops.second + len(nodes), loops.measured, loops.sigmas)
                sides.append(residuals(both, apart))
            numeric = (sides[0] - sides[1]) / (2 * step)
            np.testing.assert_allclose(of_end[:, :, unknown], numeric, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize(("count", "loops"), [(2, 1), (3, 1), (40, 3), (200, 5), (300, 60), (150, 0)])
def test_the_chain_solver_solves_its_equations(count: int, loops: int) -> None:
    random = np.random.default_rng(count)
    first, second = random.integers(0, count, (2, loops))
    second = np.where(first == second, (first + 1) % count, second)
    blocks = np.zeros((count, 7, count, 7))
    diagonal = random.normal(size=(count, 7, 7))
    diagonal = diagonal @ diagonal.swapaxes(1, 2) + 60 * (1 + loops) * np.eye(7)
    chain, closing = random.normal(size=(count - 1, 7, 7)), random.normal(size=(loops, 7, 7))
    for each in range(count):
        blocks[each, :, each] += diagonal[each]
    for one, other, block in [
        *zip(range(count - 1), range(1, count), chain, strict=True),
        *zip(first, second, closing, strict=True),
    ]:
        blocks[one, :, other] += block
        blocks[other, :, one] += block.T
    right = random.normal(size=(count, 7))
    expected = np.linalg.solve(blocks.reshape(7 * count, -1)[7:, 7:], right[1:].ravel())
    found = ChainSolver(count, first, second).solve(diagonal, chain, closing, right.copy())
    assert found is not None and not found[0].any()
    np.testing.assert_allclose(found[1:].ravel(), expected, atol=1e-10)


def test_the_optimum_has_no_gradient_and_needs_no_chain_of_its_own() -> None:
    nodes, chain, loops = random_graph(np.random.default_rng(5), 90, 12)
    closed = optimize_pose_graph(nodes, chain, loops)
    gradient = np.zeros((90, 7))
    for part in (chain, loops):
        values = residuals(closed, part)
        weight = 1 / (1 + (values**2).sum(axis=1) / TUNING.graph_loop_kernel**2) if part is loops else np.ones(89)
        for end, of_end in zip((part.first, part.second), jacobians(values, part), strict=True):
            np.add.at(gradient, end, np.einsum("eij,ei,e->ej", of_end, values, weight))
    size = np.abs(jacobians(residuals(closed, chain), chain)[0]).max()
    assert np.abs(gradient[1:]).max() < 0.02 * size


def test_gtsam_finds_the_same_optimum() -> None:
    gtsam = pytest.importorskip("gtsam", reason="gtsam has no wheel for every Python")
    if not hasattr(gtsam, "BetweenFactorSimilarity3"):
        pytest.skip("this gtsam has no factors of Similarity3")
    true = circle(60)
    nodes, chain = drifting(true, drift=0.1)
    loops = edges(true, [(0, 59), (3, 58), (10, 52)], LOOP)
    closed = optimize_pose_graph(nodes, chain, loops)

    def of_gtsam(one: Sim3) -> object:
        return gtsam.Similarity3(gtsam.Rot3(one.rotation), one.translation / one.scale, float(one.scale))

    graph, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
    graph.add(gtsam.PriorFactorSimilarity3(0, of_gtsam(nodes[0]), gtsam.noiseModel.Isotropic.Sigma(7, 1e-9)))
    for part in (chain, loops):
        for each in range(len(part.first)):
            noise = gtsam.noiseModel.Diagonal.Sigmas(part.sigmas[each])
            if part is loops:
                noise = gtsam.noiseModel.Robust.Create(
                    gtsam.noiseModel.mEstimator.Cauchy.Create(TUNING.graph_loop_kernel), noise
                )
            ends = int(part.first[each]), int(part.second[each])
            graph.add(gtsam.BetweenFactorSimilarity3(*ends, of_gtsam(part.measured[each]), noise))
    for number in range(60):
        values.insert(number, of_gtsam(nodes[number]))
    parameters = gtsam.LevenbergMarquardtParams()
    parameters.setRelativeErrorTol(1e-12)
    found = gtsam.LevenbergMarquardtOptimizer(graph, values, parameters).optimize()
    there = [found.atSimilarity3(number) for number in range(60)]
    scales = np.array([each.scale() for each in there])
    rotations = np.stack([each.rotation().matrix() for each in there])
    translations = scales[:, None] * np.stack([each.translation() for each in there])
    # gtsam's residuals are logarithms of Sim(3), ours `Sim3.as_vector`: alike where residuals are small.
    moved = errors(nodes, closed)
    assert (errors(Sim3(scales, rotations, translations), closed) < 0.02 * moved).all()
