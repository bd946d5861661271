"""Scale edges: what another sensor says of the scale removes its drift, and slipping wheels do not bring one in."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.place import Place
from slam3r_ros.loop_closure.place_graph import PlaceGraph
from slam3r_ros.loop_closure.pose_graph import Edges, optimize_pose_graph
from slam3r_ros.loop_closure.scale_edges import (
    ScaleFit,
    ScaleObservation,
    ScaleObservations,
    ScaleSteps,
    corrected_observations,
    fit_scales,
)
from slam3r_ros.loop_closure.tuning import TUNING
from slam3r_ros.metric_scale.estimator import ScaleEstimator
from slam3r_ros.vision.feature_image import Features

COUNT, DRIFT, METRES = 60, 0.01, 2.5
"""Nodes of a chain, by how much its scale grows in each step, and metres per scene unit at its beginning."""


def true_chain(count: int = COUNT) -> Sim3:
    """Poses round a circle, looking ahead."""
    angles = np.linspace(0, 5, count)
    zeros = np.zeros(count)
    turns = rotation_from_vector(np.column_stack([zeros, angles, zeros]))
    positions = 3 * np.column_stack([1 - np.cos(angles), zeros, np.sin(angles)])
    return Sim3(np.ones(count), turns, positions)


def drifted_chain(drift: float = DRIFT, count: int = COUNT) -> tuple[Sim3, Edges]:
    """Where the chain ends up whose scale grows in each step, and its edges."""
    true = true_chain(count)
    steps = true[:-1].inverse() @ true[1:]
    nodes, growth = [true[:1]], Sim3([math.exp(drift)], np.eye(3)[None], np.zeros((1, 3)))
    for number in range(len(steps)):
        nodes.append(nodes[-1] @ steps[number : number + 1] @ growth)
    chain, first = Sim3.concatenate(nodes), np.arange(count - 1)
    measured = chain[:-1].inverse() @ chain[1:]
    return chain, Edges(first, first + 1, measured, np.tile([0.02] * 3 + [0.05] * 3 + [0.02], (count - 1, 1)))


def observed_at(nodes: Sim3, sigma: float = 0.03, noise: Array | None = None) -> ScaleObservations:
    """What a sensor says at every node of a chain: where it has grown, a unit has fewer metres."""
    observations = ScaleObservations(1000)
    errors = np.zeros(len(nodes)) if noise is None else noise
    for index, log_scale in enumerate(np.log(nodes.scale)):
        observations.add(ScaleObservation(index, math.log(METRES) - log_scale + errors[index], sigma))
    return observations


def steps_of(edges: Edges) -> ScaleSteps:
    return ScaleSteps(edges.first, edges.second, np.log(edges.measured.scale), edges.sigmas[:, 6])


def fitted(nodes: Sim3, edges: Edges, observations: ScaleObservations) -> ScaleFit:
    at = observations.frames.astype(np.intp)
    return fit_scales(np.log(nodes.scale), steps_of(edges), steps_of(_no_loops()), at, observations)


def optimized(nodes: Sim3, chain: Edges, fit: ScaleFit) -> Sim3:
    """As `PlaceGraph` does it."""
    held = replace(chain, measured=fit.steps(chain.measured))
    return optimize_pose_graph(fit.applied(nodes), held, _no_loops(), fit.edges)


def test_exact_observations_remove_the_drift_exactly_and_the_way_is_the_true_one() -> None:
    nodes, chain = drifted_chain()
    fit = fitted(nodes, chain, observed_at(nodes))
    np.testing.assert_allclose(fit.log_scales, 0, atol=2e-3)
    np.testing.assert_allclose(fit.edges.log_scales, 0, atol=2e-3)
    assert fit.edges.nodes.tolist() == list(range(1, COUNT))
    closed = optimized(nodes, chain, fit)
    true = true_chain()
    assert np.linalg.norm(nodes.translation - true.translation, axis=1).max() > 0.5
    np.testing.assert_allclose(closed.scale, 1, atol=3e-3)
    np.testing.assert_allclose(closed.translation, true.translation, atol=0.01)
    np.testing.assert_allclose(closed.rotation, true.rotation, atol=1e-3)
    np.testing.assert_array_equal(closed.translation[0], nodes.translation[0])
    assert closed.scale[0] == nodes.scale[0] == 1


def test_a_drift_of_a_factor_of_two_becomes_less_than_five_percent_with_noisy_observations() -> None:
    nodes, chain = drifted_chain(math.log(2) / COUNT)
    noise = np.random.default_rng(1).normal(0, 0.04, COUNT)
    closed = optimized(nodes, chain, fitted(nodes, chain, observed_at(nodes, 0.04, noise)))
    assert nodes.scale[-1] > 1.95
    assert closed.scale.min() > 0.95 and closed.scale.max() < 1.05
    jumps = np.abs(np.diff(np.log(closed.scale)))
    assert jumps.max() < 0.03 and jumps.mean() < 0.01, "the map hardly follows a single observation"


@pytest.mark.parametrize("share", [0.2, 0.4])
def test_wheels_that_slip_do_not_matter(share: float) -> None:
    nodes, chain = drifted_chain()
    random = np.random.default_rng(2)
    noise = random.normal(0, 0.03, COUNT)
    slips = random.permutation(COUNT)[: int(share * COUNT)]
    noise[slips] += random.uniform(0.5, 3, len(slips))  # the wheels turn and the robot hardly moves
    log_scales = fitted(nodes, chain, observed_at(nodes, 0.03, noise)).log_scales
    assert np.abs(log_scales).max() < 0.06


def test_without_drift_nothing_changes() -> None:
    nodes, chain = drifted_chain(0.0)
    noise = np.random.default_rng(3).normal(0, 0.04, COUNT)
    log_scales = fitted(nodes, chain, observed_at(nodes, 0.04, noise)).log_scales
    assert np.abs(log_scales).max() < TUNING.min_scale_correction


def test_a_loop_is_believed_beside_the_observations() -> None:
    nodes, chain = drifted_chain()
    few = ScaleObservations(100)
    for index in range(12):  # of the beginning only
        few.add(ScaleObservation(index, math.log(METRES) - math.log(nodes.scale[index]), 0.001))
    loop = ScaleSteps(np.array([0]), np.array([COUNT - 1]), np.zeros(1), np.full(1, 0.01))
    steps, at, now = steps_of(chain), few.frames.astype(np.intp), np.log(nodes.scale)
    alone = fit_scales(now, steps, steps_of(_no_loops()), at, few).log_scales
    closed = fit_scales(now, steps, loop, at, few).log_scales
    assert abs(alone[-1]) > 0.03 and abs(closed[-1]) < 0.01
    np.testing.assert_allclose(closed[:12], 0, atol=0.02)


def test_observations_follow_corrections() -> None:
    changes = Sim3([1.0, 2.0], np.stack([np.eye(3)] * 2), np.zeros((2, 3)))
    correction = MapCorrection(np.array([0, 5]), changes)
    before = [ScaleObservation(index, 1.0, 0.1) for index in (2, 7)]
    after = corrected_observations(before, correction)
    assert [each.log_ratio for each in after] == pytest.approx([1.0, 1.0 - math.log(2)])
    assert corrected_observations([], correction) == []


def _no_loops() -> Edges:
    none = np.empty(0, np.intp)
    return Edges(none, none, Sim3.empty(), np.empty((0, 7)))


def _place(index: int, T_world_camera: Array) -> Place:
    nothing = np.empty((0, 2), np.float32)
    return Place(
        index=index,
        descriptor=np.zeros(4, np.float32),
        features=Features(nothing, np.empty((0, 128), np.uint8)),
        matrix=np.eye(3),
        width=64,
        height=64,
        log_depths=np.zeros(5),
        log_depth_sigmas=np.zeros(5),
        thumbnail=np.zeros((2, 2), np.uint8),
        thumbnail_log_depths=np.zeros((2, 2), np.float16),
        T_world_camera=T_world_camera,
    )


class _Mapper:
    """What maps along a straight way and makes everything larger step by step, corrected by a graph of places."""

    def __init__(self) -> None:
        self.graph, self.estimator = PlaceGraph(300), ScaleEstimator()
        self.world, self.scale = Sim3.identity(), 1.0  # of the newest part, by corrections; what the tracks believe
        self.corrections: list[MapCorrection] = []
        self.length = 0.0  # of the way in the uncorrected world

    def step(self, number: int, log_error: float = 0.0) -> None:
        """Go on by 0.3 units, and tell of the scale."""
        self.scale *= math.exp(DRIFT)
        self.length += 0.3 * self.scale
        T = self.world.apply_to_pose(rigid(np.eye(3), [0.0, 0.0, self.length]))
        log_ratio = math.log(METRES / self.scale / float(self.world.scale)) + log_error
        observation = ScaleObservation(3 * number, log_ratio, 0.03)
        self.estimator.add(observation)
        self.graph.observe_scale([observation])
        correction = self.graph.add(_place(3 * number, T), Sim3.from_pose(T[None]), [], was_lost=False)
        if correction is not None:
            self.corrections.append(correction)
            self.estimator.correct(correction)
            self.world = correction.newest @ self.world


def test_a_graph_of_places_without_any_loop_is_held_to_one_scale() -> None:
    mapper, random = _Mapper(), np.random.default_rng(4)
    for number in range(100):
        mapper.step(number, float(random.normal(0, 0.03)))
    assert len(mapper.corrections) >= 5 and all(len(each.loops) == 0 for each in mapper.corrections)
    assert mapper.scale > 2.6, "the factor by which the scale has drifted"
    now = mapper.scale * float(mapper.world.scale)
    assert 0.9 < now < 1.1
    positions = mapper.graph.nodes.translation[:, 2]
    expected = positions[0] + 0.3 * np.arange(100)
    assert np.abs(positions[:90] - expected[:90]).max() < 0.05 * expected[89]
    estimate = mapper.estimator.estimate
    assert estimate is not None and estimate.metres_per_unit == pytest.approx(METRES, rel=0.03)


def test_an_earlier_session_keeps_its_scale_and_few_observations_change_nothing() -> None:
    mapper = _Mapper()
    for number in range(TUNING.min_scale_observations - 1):
        mapper.step(number)
    assert not mapper.corrections
    graph = PlaceGraph(300)
    graph.begin_from([_place(0, np.eye(4))], Sim3.from_pose(np.eye(4)[None]), 1, keeps_places=True)
    for number in range(1, 40):
        graph.observe_scale([ScaleObservation(number, 0.1 * number, 0.03)])
        T = rigid(np.eye(3), [0.0, 0.0, float(number)])
        assert graph.add(_place(number, T), Sim3.from_pose(T[None]), [], was_lost=False) is None
