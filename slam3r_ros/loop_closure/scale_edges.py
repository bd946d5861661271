"""Scale edges: what other sensors say of the length of a scene unit along the way holds the scale of the pose graph.

A monocular map has one unknown scale, and that drifts along the way. Where a sensor tells the metres of a scene unit
again and again, the ratios show the drift: each is an edge between a node's scale and the metres of a scene unit, which
are the same for all nodes and not known either.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, eye_array
from scipy.sparse.linalg import splu
from scipy.stats import siegelslopes

from slam3r_ros.geometry.robust import geman_mcclure_weight
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.tuning import TUNING


@dataclass(frozen=True, slots=True)
class ScaleObservation:
    """One comparison of a length in the map with the same length in metres."""

    index: int
    """Number of the frame at which the length was mapped."""
    log_ratio: float
    """Natural logarithm of metres per scene unit."""
    sigma: float
    """Standard deviation of the logarithm, which is a fraction of the length where it is small."""


def corrected_observations(
    observations: Sequence[ScaleObservation], correction: MapCorrection
) -> list[ScaleObservation]:
    """Observations after a closed loop, which has changed lengths in the map: where they grew, a unit has fewer
    metres."""
    if not observations:
        return []
    changes = np.log(correction.of_frames(np.array([each.index for each in observations])).scale).tolist()
    return [replace(each, log_ratio=each.log_ratio - log) for each, log in zip(observations, changes, strict=True)]


class ScaleObservations:
    """Observations of frames, the last one of each, in the order of the frames and in the world as it is now.

    When there are too many every second one is forgotten, and from then on only every second one is kept, so that those
    that remain cover the whole way alike.
    """

    def __init__(self, most: int) -> None:
        """``most``: number of observations above which some are forgotten."""
        self._most = most
        self._of_frame: dict[int, ScaleObservation] = {}
        self._stride, self._skipped = 1, 0

    def __len__(self) -> int:
        return len(self._of_frame)

    def add(self, observation: ScaleObservation) -> None:
        """Take an observation in; it replaces an earlier one of the same frame. One that is not finite is refused with
        ValueError."""
        if not (math.isfinite(observation.log_ratio) and 0 < observation.sigma < math.inf):
            raise ValueError(f"scale observation: expected a finite log-ratio and a positive sigma, got {observation}")
        if observation.index not in self._of_frame:
            self._skipped += 1
            if self._skipped < self._stride:
                return
            self._skipped = 0
        self._of_frame[observation.index] = observation
        if len(self._of_frame) > self._most:
            for index in list(self._of_frame)[::2]:
                del self._of_frame[index]
            self._stride *= 2

    def correct(self, correction: MapCorrection) -> None:
        """Follow a closed loop."""
        moved = corrected_observations(list(self._of_frame.values()), correction)
        self._of_frame = {each.index: each for each in moved}

    def clear(self) -> None:
        """Forget all, since another map has another unit."""
        self._of_frame.clear()
        self._stride, self._skipped = 1, 0

    @property
    def frames(self) -> NDArray[np.int64]:
        """(K,) numbers of the frames."""
        return np.array(list(self._of_frame), np.int64)

    @property
    def log_ratios(self) -> Array:
        """(K,) logarithms of metres per scene unit."""
        return np.array([each.log_ratio for each in self._of_frame.values()])

    @property
    def sigmas(self) -> Array:
        """(K,) standard deviations of these."""
        return np.array([each.sigma for each in self._of_frame.values()])


@dataclass(frozen=True, slots=True, eq=False)
class ScaleEdges:
    """E measured scales of nodes of the pose graph."""

    nodes: NDArray[np.intp]
    """(E,) indices of the nodes, each once, and not that of the first node, which is fixed."""
    log_scales: Array
    """(E,) measured logarithms of the nodes' scales."""
    sigmas: Array
    """(E,) standard deviations of these."""

    @staticmethod
    def none() -> ScaleEdges:
        """No edges."""
        return ScaleEdges(np.empty(0, np.intp), np.empty(0), np.empty(0))


@dataclass(frozen=True, slots=True, eq=False)
class ScaleSteps:
    """S measured ratios of the scales of two nodes."""

    first: NDArray[np.intp]
    """(S,) indices of the first nodes."""
    second: NDArray[np.intp]
    """(S,) indices of the second nodes."""
    log_ratios: Array
    """(S,) measured logarithms of the second node's scale over the first one's."""
    sigmas: Array
    """(S,) standard deviations of these."""


@dataclass(frozen=True, slots=True, eq=False)
class ScaleFit:
    """The scales of N nodes that fit what was observed."""

    log_scales: Array
    """(N,) logarithms of the nodes' scales; the first is as it was."""
    edges: ScaleEdges
    """The observations as edges, without those that contradict the others."""

    def applied(self, nodes: Sim3) -> Sim3:
        """The nodes (N,) with these scales, and every step as long as before in the lengths of its first node."""
        grown = np.exp(self.log_scales) / nodes.scale
        steps = grown[:-1, None] * np.diff(nodes.translation, axis=0)
        ways = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
        return Sim3(np.exp(self.log_scales), nodes.rotation, nodes.translation[0] + ways)

    def steps(self, measured: Sim3) -> Sim3:
        """Steps (N - 1,) from each node to the next with the scales that fit, so that the drift of the measured ones
        does not work against the edges."""
        return replace(measured, scale=np.exp(np.diff(self.log_scales)))


def fit_scales(
    log_scales: Array, steps: ScaleSteps, loops: ScaleSteps, at: NDArray[np.intp], observed: ScaleObservations
) -> ScaleFit:
    """The scales of nodes whose logarithms are now ``log_scales`` (N,), by steps between neighbours, by loops, and by
    observations made at nodes ``at`` (K,), K > 0.

    Weighted least squares over the logarithms of the nodes' scales, that of the metres of a scene unit, and the mean
    drift of a step: steps err alike, and without it the nodes at both ends would lag behind. Observations that
    contradict their neighbours count little or nothing (`_weights`).
    """
    count, sigmas = len(log_scales), observed.sigmas
    weights, scatter = _weights(observed.log_ratios, sigmas)
    information = weights * (sigmas * scatter) ** -2.0
    # With metres per unit exp(L) everywhere, an observation r at a node says that the node's logarithm should be
    # log_scales + r - L: of two nodes, the one with fewer metres to a unit is to become smaller.
    targets = log_scales[at] + observed.log_ratios
    metres, drift = count, count + 1  # columns of the unknowns that belong to no node
    rows = [
        *_rows(steps.log_ratios, steps.sigmas, [(steps.first, -1), (steps.second, 1), (drift, 1)]),
        *_rows(loops.log_ratios, loops.sigmas, [(loops.first, -1), (loops.second, 1)]),
        *_rows(targets, 1 / np.sqrt(np.maximum(information, 1e-12)), [(at, 1), (metres, 1)]),
        *_rows(np.zeros(1), np.full(1, TUNING.chain_scale_sigma), [(drift, 1)]),
    ]
    solution = _least_squares(rows, count + 2, float(log_scales[0]))
    sums = np.bincount(at, information, count)
    means = np.bincount(at, information * (targets - solution[metres]), count) / np.maximum(sums, 1e-12)
    used = np.flatnonzero(sums[1:] > 1e-6 * sums.max()) + 1
    return ScaleFit(solution[:count], ScaleEdges(used, means[used], 1 / np.sqrt(sums[used])))


def _weights(log_ratios: Array, sigmas: Array) -> tuple[Array, float]:
    """(K,) weights of observations in their order, and by what factor they scatter more than they say, at least 1.

    Geman and McClure's kernel (Zhang 1997) on the differences from a running mean, which has the same weights and
    begins with the running median: it follows the drift, and not the wheels that slip now and then. The line through
    the observations by repeated medians (Siegel 1982) is taken off before.
    """
    width, mode = TUNING.scale_window, "reflect" if len(log_ratios) > TUNING.scale_window else "edge"

    def windows(values: Array) -> Array:
        padded = np.pad(values, width, mode=mode)  # type: ignore[call-overload]
        return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * width + 1))

    order = np.arange(len(log_ratios))
    level = log_ratios - order * siegelslopes(log_ratios, order).slope
    errors = level - np.median(windows(level), axis=1)
    scatter = max(1.0, float(np.median(np.abs(errors / sigmas))) / 0.6745)
    weights = np.ones(len(level))
    for _ in range(TUNING.scale_iterations):
        weights = geman_mcclure_weight((errors / (sigmas * scatter * TUNING.scale_edge_kernel)) ** 2)
        of_windows = windows(weights / sigmas**2)
        errors = level - (windows(level) * of_windows).sum(axis=1) / of_windows.sum(axis=1)
    return weights, scatter


_Row = tuple[float, list[tuple[int, float]]]
"""A right side and the columns with their coefficients, all over the standard deviation."""


def _rows(right: Array, sigmas: Array, terms: Sequence[tuple[NDArray[np.intp] | int, int]]) -> Iterator[_Row]:
    """Rows of a system of equations: the coefficients of each term's columns, one for each row, or one for all."""
    for row, (value, sigma) in enumerate(zip(right.tolist(), sigmas.tolist(), strict=True)):
        columns = ((column if isinstance(column, int) else int(column[row]), sign / sigma) for column, sign in terms)
        yield value / sigma, list(columns)


def _least_squares(rows: Sequence[_Row], count: int, first: float) -> Array:
    """(count,) the least-squares solution, of which the first component is given."""
    right = np.array([value for value, _ in rows])
    row = np.repeat(np.arange(len(rows)), [len(terms) for _, terms in rows])
    column, values = np.array([term for _, terms in rows for term in terms]).T
    matrix = csc_array((values, (row, column.astype(np.intp))), shape=(len(rows), count))
    unknown = matrix[:, 1:]
    normal = (unknown.T @ unknown + 1e-9 * eye_array(count - 1)).tocsc()
    solution = splu(normal).solve(unknown.T @ (right - first * matrix[:, [0]].toarray()[:, 0]))
    return np.concatenate([[first], solution])
