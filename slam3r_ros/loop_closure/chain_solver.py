"""The normal equations of a chain of nodes with loops, solved by block elimination.

Nodes of the chain that no loop touches meet their two neighbours only: every second one of them is eliminated at once
(block cyclic reduction: Golub and Van Loan, "Matrix Computations", section 4.5), again and again, until the ends of the
loops are left. These are solved by a sparse factorization.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import bsr_array, csc_array
from scipy.sparse.linalg import SuperLU, splu

from slam3r_ros.geometry.se3 import Array

Indices = NDArray[np.intp]

FEWEST_AT_ONCE = 32
"""Fewest nodes that are eliminated at once; fewer are left to the sparse factorization, which is faster for them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """Nodes that are eliminated at once, and their neighbours among those that are left; no two are neighbours."""

    nodes: Indices
    """(M,) the nodes to eliminate."""
    before: Indices
    """(M,) the last node left before each of them; a slot that is not used where there is none."""
    after: Indices
    """(M,) the first node left after each of them; a slot that is not used where there is none."""


class ChainSolver:
    """The order of elimination for one graph, to be used for all equations with its structure.

    Node 0 is fixed and has no unknowns; the others, 1 to ``count`` - 1, have seven each.
    """

    def __init__(self, count: int, loop_first: Indices, loop_second: Indices) -> None:
        """For a chain of ``count`` nodes and loops between nodes ``loop_first`` (L,) and ``loop_second`` (L,)."""
        self._count = count
        is_end = np.zeros(count + 2, np.bool_)
        is_end[loop_first], is_end[loop_second] = True, True
        self._levels: list[_Level] = []
        rest = np.arange(1, count)
        while True:
            index = np.arange(len(rest))
            last_end = np.maximum.accumulate(np.where(is_end[rest], index, -1))
            chosen = np.flatnonzero(~is_end[rest] & ((index - last_end) % 2 == 1))
            if len(chosen) < FEWEST_AT_ONCE:
                break
            padded = np.concatenate([[count], rest, [count + 1]])  # two slots that are not used
            self._levels.append(_Level(rest[chosen], padded[chosen], padded[chosen + 2]))
            rest = np.delete(rest, chosen)
        self._rest = rest
        self._joins = np.flatnonzero((loop_first > 0) & (loop_second > 0))
        first, second = (np.searchsorted(rest, each[self._joins]) for each in (loop_first, loop_second))
        self._arrange_rest(first, second)

    def _arrange_rest(self, loop_first: Indices, loop_second: Indices) -> None:
        """Find the order in which the nodes that are left are eliminated, and where their blocks lie."""
        size = len(self._rest)
        index = np.arange(size)
        rows = np.concatenate([index, index[:-1], index[1:], loop_first, loop_second])
        columns = np.concatenate([index, index[1:], index[:-1], loop_second, loop_first])
        values = np.where(rows == columns, 2.0 + len(rows), -1.0)
        graph = csc_array((values, (rows, columns)), shape=(size, size))
        self._order = _factorize(graph, "MMD_AT_PLUS_A").perm_c
        rows, columns = self._order[rows], self._order[columns]
        keys, self._places = np.unique(rows.astype(np.int64) * size + columns, return_inverse=True)
        self._starts, self._columns = np.searchsorted(keys // size, np.arange(size + 1)), keys % size

    def solve(self, diagonal: Array, chain: Array, loops: Array, right: Array) -> Array | None:
        """(N, 7) the solution, zero for node 0; None where there is none. The arguments are overwritten.

        The equations are symmetric and positive definite: ``diagonal`` (N, 7, 7) are the blocks of the nodes, ``chain``
        (N - 1, 7, 7) those of node i's rows and node i + 1's columns, ``loops`` (L, 7, 7) those of the loops' first
        nodes' rows and second nodes' columns; ``right`` (N, 7) are the right sides.
        """
        count = self._count
        diagonal = np.concatenate([diagonal, np.zeros((2, 7, 7))])
        upper = np.concatenate([chain, np.zeros((3, 7, 7))])  # of every node left and the next one left
        upper[0] = 0
        known = np.concatenate([right, np.zeros((2, 7))])[..., None]
        factors = []
        try:
            for level in self._levels:
                nodes, before, after = level.nodes, level.before, level.after
                to_before, to_after = upper[before], upper[nodes]
                sides = np.concatenate([to_before.swapaxes(1, 2), to_after, known[nodes]], axis=2)
                solved = np.linalg.inv(diagonal[nodes]) @ sides
                before_side = to_before @ solved
                after_side = to_after.swapaxes(1, 2) @ solved[..., 7:]
                diagonal[before] -= before_side[..., :7]
                diagonal[after] -= after_side[..., :7]
                upper[before] = -before_side[..., 7:14]
                known[before] -= before_side[..., 14:]
                known[after] -= after_side[..., 7:]
                factors.append(solved)
            solution = np.zeros((count + 2, 7, 1))
            rest = self._rest
            solution[rest] = self._solve_rest(diagonal[rest], upper[rest[:-1]], loops[self._joins], known[rest])
        except (np.linalg.LinAlgError, RuntimeError, ValueError):  # singular or not finite
            return None
        for level, solved in zip(reversed(self._levels), reversed(factors), strict=True):
            of_neighbours = np.concatenate([solution[level.before], solution[level.after]], axis=1)
            solution[level.nodes] = solved[..., 14:] - solved[..., :14] @ of_neighbours
        return solution[:count, :, 0] if np.isfinite(solution[:count]).all() else None

    def _solve_rest(self, diagonal: Array, chain: Array, loops: Array, right: Array) -> Array:
        """(R, 7, 1) the solution of the R nodes that are left when most of the chain has been eliminated."""
        blocks = np.concatenate([diagonal, chain, chain.swapaxes(1, 2), loops, loops.swapaxes(1, 2)])
        sums = np.zeros((len(self._columns), 7, 7))
        np.add.at(sums, self._places, blocks)
        size = 7 * len(diagonal)
        matrix = bsr_array((sums, self._columns, self._starts), shape=(size, size)).tocsc()
        ordered = np.empty_like(right)
        ordered[self._order] = right
        solved = _factorize(matrix, "NATURAL").solve(ordered.ravel())
        return np.asarray(solved).reshape(-1, 7, 1)[self._order]


def _factorize(matrix: csc_array, order: str) -> SuperLU:
    """The factors of a symmetric and positive definite matrix, whose diagonal serves as pivots."""
    return splu(matrix, permc_spec=order, diag_pivot_thresh=0.0, options={"SymmetricMode": True})
