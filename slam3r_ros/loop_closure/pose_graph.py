"""A graph of similarities: where keyframes are so that a chain of motions and the loops closed over it agree.

Each keyframe is a similarity that takes its camera's points, in the lengths it was mapped with, to the world (Strasdat
et al. 2010: a monocular chain drifts in scale too). Gauss and Newton's method on sparse normal equations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3

STEPS = 10
"""Most steps of an optimisation."""
STEP_SHARES = (1.0, 0.5, 0.25, 0.1)
"""Of a step, tried until one makes the cost smaller."""
SMALLEST_STEP = 1e-4
"""Of a turn in radians, a logarithm, or a shift in the world's lengths; a smaller one is the last."""
ENOUGH = 1e-3
"""Share of the cost that a step must save to be followed by another."""
DIFFERENCE = 1e-6
"""For derivatives by differences."""
LEAST_NORMAL = 1e-9
"""Added to the normal equations' diagonal, as a share of its mean."""
KERNEL = 3.0
"""Deviations of a loop at which its weight has fallen to a half (Cauchy's kernel): a wrong one is outvoted."""


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """E measured similarities between nodes."""

    first: NDArray[np.intp]
    """(E,) nodes."""
    second: NDArray[np.intp]
    """(E,) nodes."""
    measured: Sim3
    """(E,) that take the second's points to the first's."""
    deviations: Array
    """(E, 7) of turn, radians; shift, the first's lengths; logarithm of the scale."""

    @staticmethod
    def joined(parts: Sequence[Edges]) -> Edges:
        """All of them, in order."""
        return Edges(
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.second for part in parts]),
            Sim3.concatenate([part.measured for part in parts]),
            np.concatenate([part.deviations for part in parts]),
        )


def residuals(nodes: Sim3, edges: Edges) -> Array:
    """(E, 7) by which nodes miss what was measured between them, in deviations."""
    return _missed(nodes, nodes, edges)


def _missed(firsts: Sim3, seconds: Sim3, edges: Edges) -> Array:
    """`residuals` where the edges' first nodes are taken from ``firsts``, their second ones from ``seconds``."""
    between = firsts[edges.first].inverse() @ seconds[edges.second]
    return np.asarray((edges.measured.inverse() @ between).as_vector() / edges.deviations)


def optimised(nodes: Sim3, chain: Edges, loops: Edges) -> Sim3:
    """Nodes (N,), the first of which stays, that agree best with both.

    First all loops are believed, since a true one may be far from closed; then only as many as agree.
    """
    edges = Edges.joined([chain, loops])
    for kernel in (np.inf, KERNEL):
        kernels = np.where(np.arange(len(edges.first)) < len(chain.first), np.inf, kernel)
        nodes = _descended(nodes, edges, kernels)
    return nodes


def _descended(nodes: Sim3, edges: Edges, kernels: Array) -> Sim3:
    """Nodes that edges with these kernels (E,) agree with better."""
    cost = _cost(residuals(nodes, edges), kernels)
    for _ in range(STEPS):
        step = _step(nodes, edges, kernels)
        if step is None:
            break
        for share in STEP_SHARES:
            moved = nodes.retract(share * step)
            if (moved_cost := _cost(residuals(moved, edges), kernels)) < cost:
                break
        else:
            break
        saved, nodes, cost = cost - moved_cost, moved, moved_cost
        if np.abs(step).max() < SMALLEST_STEP or saved < ENOUGH * cost:
            break
    return nodes


def _cost(values: Array, kernels: Array) -> float:
    squares = np.einsum("ei,ei->e", values, values)
    with np.errstate(invalid="ignore"):
        robust = kernels**2 * np.log1p(squares / kernels**2)
    return float(np.where(np.isfinite(kernels), robust, squares).sum())


def _step(nodes: Sim3, edges: Edges, kernels: Array) -> Array | None:
    """(N, 7) by which to move the nodes, each in its own axes; None where the equations have no solution."""
    values = residuals(nodes, edges)
    roots = 1 / np.sqrt(1 + np.einsum("ei,ei->e", values, values) / kernels**2)[:, None]
    jacobians = np.empty((2, len(values), 7, 7))  # which end, edge, residual, unknown
    for unknown in range(7):
        change = np.zeros((len(nodes), 7))
        change[:, unknown] = DIFFERENCE
        moved = nodes.retract(change)
        for end, (firsts, seconds) in enumerate(((moved, nodes), (nodes, moved))):
            jacobians[end, :, :, unknown] = (_missed(firsts, seconds, edges) - values) / DIFFERENCE
    jacobians *= roots[None, :, :, None]
    values = roots * values
    count = 7 * len(nodes)
    rows = np.broadcast_to(np.arange(values.size).reshape(-1, 7, 1), jacobians.shape[1:])
    columns = [7 * ends[:, None, None] + np.arange(7) for ends in (edges.first, edges.second)]
    columns = [np.broadcast_to(each, jacobians.shape[1:]) for each in columns]
    jacobian = coo_array(
        (jacobians.ravel(), (np.concatenate([rows.ravel()] * 2), np.concatenate([c.ravel() for c in columns]))),
        shape=(values.size, count),
    ).tocsc()[:, 7:]
    normal = (jacobian.T @ jacobian).tocsc()
    normal.setdiag(normal.diagonal() + LEAST_NORMAL * normal.diagonal().mean())
    try:
        solved = splu(normal).solve(-(jacobian.T @ values.ravel()))
    except RuntimeError:  # singular
        return None
    step = np.concatenate([np.zeros(7), solved]).reshape(-1, 7)
    return step if np.isfinite(step).all() else None
