"""Pose-graph optimization on Sim(3): where keyframes are so that their chain and the loops closed over it agree.

Each node is a similarity T_world_keyframe, which takes a keyframe's points, in the lengths they were mapped with, to
the world; an edge is a measured similarity between two of them. A monocular chain drifts in scale too, hence Sim(3)
(Strasdat, Montiel and Davison 2010, "Scale drift-aware large scale monocular SLAM").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.least_squares import Damping, levenberg_marquardt
from slam3r_ros.geometry.robust import cauchy_cost, cauchy_weight
from slam3r_ros.geometry.se3 import Array, cross_matrix, inverse_left_jacobian, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.chain_solver import ChainSolver
from slam3r_ros.loop_closure.scale_edges import ScaleEdges
from slam3r_ros.loop_closure.tuning import TUNING


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """E measured similarities between nodes of the graph."""

    first: NDArray[np.intp]
    """(E,) indices of the edges' first nodes."""
    second: NDArray[np.intp]
    """(E,) indices of the edges' second nodes."""
    measured: Sim3
    """(E,) measured T_first_second, which take the second node's points to the first node."""
    sigmas: Array
    """(E, 7) standard deviations of the rotation vector (radians), of the translation (lengths of the first node) and
    of the logarithm of the scale."""

    @staticmethod
    def concatenate(parts: Sequence[Edges]) -> Edges:
        """One set of all edges, in their order."""
        return Edges(
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.second for part in parts]),
            Sim3.concatenate([part.measured for part in parts]),
            np.concatenate([part.sigmas for part in parts]),
        )


def residuals(nodes: Sim3, edges: Edges) -> Array:
    """(E, 7) differences between the nodes' relative transforms and the measured ones, in sigmas.

    With ``D = measured^-1 first^-1 second`` they are D's rotation vector, translation and logarithm of the scale
    (`Sim3.as_vector`), each over its standard deviation.
    """
    difference = edges.measured.inverse() @ (nodes[edges.first].inverse() @ nodes[edges.second])
    return np.asarray(difference.as_vector() / edges.sigmas)


def jacobians(values: Array, edges: Edges) -> tuple[Array, Array]:
    """(E, 7, 7) derivatives of `residuals` by tangent vectors of the edges' first nodes, and of their second nodes.

    ``values`` (E, 7) are the residuals. A tangent vector moves a node by `Sim3.retract`. That of the second node
    multiplies D from the right, that of the first from the left, where the adjoint of ``measured^-1`` takes it
    (Strasdat 2012, thesis, chapter 2; Jacobians of SO(3): Barfoot, "State Estimation for Robotics", equation 7.77).
    """
    vectors, measured = values * edges.sigmas, edges.measured.inverse()
    rotation_jacobian = inverse_left_jacobian(vectors[:, :3])
    of_first, of_second = np.zeros((2, len(vectors), 7, 7))
    of_second[:, :3, :3] = rotation_jacobian.swapaxes(1, 2)  # the right Jacobian is the left one's transpose
    of_second[:, 3:6, 3:6] = np.exp(vectors[:, 6, None, None]) * rotation_from_vector(vectors[:, :3])
    of_second[:, 6, 6] = 1
    arm = vectors[:, 3:6] - measured.translation
    of_first[:, :3, :3] = -rotation_jacobian @ measured.rotation
    of_first[:, 3:6, :3] = cross_matrix(arm) @ measured.rotation
    of_first[:, 3:6, 3:6] = -measured.scale[:, None, None] * measured.rotation
    of_first[:, 3:6, 6] = -arm
    of_first[:, 6, 6] = -1
    of_first /= edges.sigmas[:, :, None]
    of_second /= edges.sigmas[:, :, None]
    return of_first, of_second


def optimize_pose_graph(nodes: Sim3, chain: Edges, loops: Edges, scales: ScaleEdges | None = None) -> Sim3:
    """Nodes (N,) that agree best with the chain, the loops and the measured scales; the first node stays where it is.

    ``chain`` has the N - 1 edges from each node to the next, in their order. First all loops are believed, since a true
    one may be far from closed, and the nodes only have to come near; then Cauchy's kernel lets the loops that agree
    outvote the others.
    """
    edges, solver = Edges.concatenate([chain, loops]), ChainSolver(len(nodes), loops.first, loops.second)
    graph = _Graph(edges, scales or ScaleEdges.none(), np.inf, solver)
    best = _Linearization(graph, nodes, residuals(nodes, edges), np.inf)
    near = Damping(1e-9, 1e-9, 1e2, TUNING.graph_first_min_decrease, TUNING.graph_min_step)
    best, _ = levenberg_marquardt(best, TUNING.graph_max_steps, near)
    best = _Linearization(replace(graph, loop_kernel=TUNING.graph_loop_kernel), best.nodes, best.residuals, np.inf)
    damping = replace(near, min_decrease=TUNING.graph_min_decrease)
    return levenberg_marquardt(best, TUNING.graph_max_steps, damping)[0].nodes


@dataclass(frozen=True, slots=True, eq=False)
class _Graph:
    """What does not change in an optimization of N nodes."""

    edges: Edges
    """The edges of the chain, from each node to the next, and then the loops."""
    scales: ScaleEdges
    """The measured scales of nodes."""
    loop_kernel: float
    """Width of the loops' Cauchy kernel in sigmas; infinite for least squares."""
    solver: ChainSolver
    """The solver for the normal equations of these edges."""


class _Linearization:
    """The pose graph linearized at its nodes, for `levenberg_marquardt`."""

    def __init__(self, graph: _Graph, nodes: Sim3, values: Array, step_size: float) -> None:
        """``values`` (E, 7) are the residuals at the nodes, ``step_size`` is that of `Linearization`."""
        self.nodes, self.step_size, self._graph = nodes, step_size, graph
        self.residuals = values
        squares = np.einsum("ei,ei->e", values, values)
        of_chain, of_loops = squares[: len(nodes) - 1], squares[len(nodes) - 1 :]
        self._loop_squares = of_loops / graph.loop_kernel**2
        if np.isfinite(graph.loop_kernel):
            of_loops = 2 * cauchy_cost(self._loop_squares) * graph.loop_kernel**2
        scales = graph.scales
        self._scale_values = (np.log(nodes.scale[scales.nodes]) - scales.log_scales) / scales.sigmas
        self.cost = float(of_chain.sum() + of_loops.sum() + (self._scale_values**2).sum()) / 2

    def after_step(self, damping: float) -> _Linearization | None:
        """The graph linearized one step on; None where the normal equations have no solution."""
        graph, count = self._graph, len(self.nodes)
        of_first, of_second = jacobians(self.residuals, graph.edges)
        roots = np.sqrt(cauchy_weight(self._loop_squares))[:, None]
        values = self.residuals.copy()
        values[count - 1 :] *= roots
        of_first[count - 1 :] *= roots[..., None]
        of_second[count - 1 :] *= roots[..., None]
        by_first = of_first.swapaxes(1, 2) @ np.concatenate([of_first, values[..., None], of_second], axis=2)
        by_second = of_second.swapaxes(1, 2) @ np.concatenate([of_second, values[..., None]], axis=2)
        sums = self._at_nodes(by_first[..., :8], by_second)
        diagonal, gradient = sums[..., :7], sums[..., 7]
        scales = graph.scales  # a tangent vector's last component adds to the logarithm of its node's scale
        diagonal[scales.nodes, 6, 6] += scales.sigmas**-2.0
        gradient[scales.nodes, 6] += self._scale_values / scales.sigmas
        trace = np.einsum("nii->", diagonal[1:]) / (7 * (count - 1))
        unknowns = np.arange(7)
        diagonal[:, unknowns, unknowns] *= 1 + damping
        diagonal[:, unknowns, unknowns] += TUNING.graph_least_normal * trace
        step = graph.solver.solve(diagonal, by_first[: count - 1, :, 8:], by_first[count - 1 :, :, 8:], -gradient)
        if step is None:
            return None
        moved = self.nodes.retract(step)
        return _Linearization(graph, moved, residuals(moved, graph.edges), float(np.abs(step).max()))

    def _at_nodes(self, of_first: Array, of_second: Array) -> Array:
        """(N, ...) sums over the edges (E, ...) that meet at each node."""
        edges, chain = self._graph.edges, len(self.nodes) - 1
        sums = np.zeros((chain + 1, *of_first.shape[1:]))
        sums[:-1] += of_first[:chain]
        sums[1:] += of_second[:chain]
        np.add.at(sums, edges.first[chain:], of_first[chain:])
        np.add.at(sums, edges.second[chain:], of_second[chain:])
        return sums
