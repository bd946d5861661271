import numpy as np
import pytest
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure import pose_graph
from slam3r_ros.loop_closure.pose_graph import Edges, optimised, residuals

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
    closed = optimised(nodes, chain, edges(true, [(0, 59)], LOOP))
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
    deviations = chain.deviations.copy()
    deviations[14] *= 30
    chain = Edges(chain.first, chain.second, between(broken, chain.first, chain.second), deviations)
    closed = optimised(broken, chain, edges(true, [(0, 29), (1, 28)], LOOP))
    assert errors(broken, true)[1] > 0.4
    assert errors(closed, true)[1] < 0.05  # the break is where it is put right
    even = optimised(
        broken,
        Edges(chain.first, chain.second, chain.measured, np.tile(CHAIN, (29, 1))),
        edges(true, [(0, 29), (1, 28)], LOOP),
    )
    assert errors(even, true)[1] > 0.15


def test_what_agrees_stays() -> None:
    true = circle(40)
    nodes, chain = drifting(true, drift=0.0)
    closed = optimised(nodes, chain, edges(true, [(0, 39), (3, 36), (0, 20)], LOOP))
    assert errors(closed, true).max() < 1e-6
    cost = np.square(residuals(closed, chain)).sum()
    assert cost < 1e-9


def test_a_wrong_loop_is_outvoted() -> None:
    true = circle(60)
    nodes, chain = drifting(true)
    right = edges(true, [(0, 59), (1, 58), (2, 57), (3, 59)], LOOP)
    wrong = edges(true, [(10, 40)], LOOP)
    measured = wrong.measured @ Sim3(1.5, rotation_from_vector([0, 1.0, 0]), [2.0, 0, 1])
    wrong = Edges(wrong.first, wrong.second, measured, wrong.deviations)
    without = errors(optimised(nodes, chain, right), true)
    closed = errors(optimised(nodes, chain, Edges.joined([right, wrong])), true)
    assert (closed < 1.3 * without + 0.01).all()


def test_a_scale_that_is_not_known_does_not_pull() -> None:
    true = circle(60)
    nodes, chain = drifting(true, drift=0.0)
    unknown = edges(true, [(0, 59), (1, 58)], [*LOOP[:6], 10.0])
    wrong = Sim3(np.full(2, 3.0), unknown.measured.rotation, unknown.measured.translation)
    closed = optimised(nodes, chain, Edges(unknown.first, unknown.second, wrong, unknown.deviations))
    assert np.abs(np.log(closed.scale)).max() < 0.01
    known = Edges(unknown.first, unknown.second, wrong, np.tile(LOOP, (2, 1)))
    assert np.abs(np.log(optimised(nodes, chain, known).scale)).max() > 0.3
    # The turn and the way of such a loop count all the same.
    drifted, its_chain = drifting(true)
    assert errors(optimised(drifted, its_chain, unknown)[59:], true[59:])[0] < errors(drifted, true)[0] / 50


def test_it_does_not_depend_on_where_the_world_is_and_how_large() -> None:
    true = circle(40)
    nodes, chain = drifting(true)
    loops = edges(true, [(0, 39), (2, 37)], LOOP)
    world = Sim3(np.full(1, 1.0), rotation_from_vector(np.array([[0.3, -1, 2]])), np.array([[5.0, 2, -7]]))
    elsewhere = Sim3.concatenate([world @ nodes[each : each + 1] for each in range(40)])
    one, other = optimised(nodes, chain, loops), optimised(elsewhere, chain, loops)
    back = Sim3.concatenate([world.inverse() @ other[each : each + 1] for each in range(40)])
    assert errors(back, one).max() < 1e-3

    # In other lengths: all shifts, and what they may err by, are longer.
    def longer(part: Sim3) -> Sim3:
        return Sim3(part.scale, part.rotation, 100 * part.translation)

    def longer_edges(part: Edges) -> Edges:
        return Edges(part.first, part.second, longer(part.measured), part.deviations * ([1] * 3 + [100] * 3 + [1]))

    large = optimised(longer(nodes), longer_edges(chain), longer_edges(loops))
    small = Sim3(large.scale, large.rotation, large.translation / 100)
    assert errors(small, one).max() < 1e-3


def test_no_step_makes_it_worse_and_rotations_stay_rotations() -> None:
    true = circle(50)
    nodes, chain = drifting(true, drift=3.0)
    loops = edges(true, [(0, 49), (5, 45)], LOOP)
    closed = optimised(nodes, chain, loops)
    everything = Edges.joined([chain, loops])
    assert np.square(residuals(closed, everything)).sum() < 0.2 * np.square(residuals(nodes, everything)).sum()
    np.testing.assert_allclose(
        closed.rotation @ closed.rotation.transpose(0, 2, 1), np.tile(np.eye(3), (50, 1, 1)), atol=1e-9
    )
    assert (closed.scale > 0).all()


def test_five_hundred_places_take_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    true = circle(500)
    nodes, chain = drifting(true, drift=0.1)
    step, taken = pose_graph._step, list[int]()
    monkeypatch.setattr(pose_graph, "_step", lambda *given: taken.append(1) or step(*given))
    loops = edges(true, [(each, 499 - each) for each in range(0, 60, 3)], LOOP)
    closed = optimised(nodes, chain, loops)
    assert len(taken) <= 16
    assert (errors(closed, true) < errors(nodes, true) / [4, 10, 100]).all()


def test_equations_without_a_solution_change_nothing() -> None:
    true = circle(10)
    nodes, chain = drifting(true)
    unusable = Edges(chain.first, chain.second, chain.measured, np.full_like(chain.deviations, np.nan))
    result = optimised(nodes, unusable, edges(true, [(0, 9)], LOOP))
    np.testing.assert_array_equal(result.translation, nodes.translation)
