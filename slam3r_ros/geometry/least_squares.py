"""Levenberg and Marquardt's method for robust nonlinear least squares, and the solution of small normal equations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from slam3r_ros.geometry.se3 import Array

L = TypeVar("L", bound="Linearization")


class Linearization(Protocol):
    """A least-squares problem linearized at one estimate."""

    @property
    def cost(self) -> float:
        """The robust cost of the estimate, which the optimization makes small."""

    @property
    def step_size(self) -> float:
        """Largest component of the step that led here, in units that can be compared; infinite for the start."""

    def after_step(self: L, damping: float) -> L | None:
        """The problem linearized one step on: at the solution of the normal equations, whose diagonal is damped.

        None where the equations have no solution that can be used.
        """


@dataclass(frozen=True, slots=True)
class Damping:
    """When `levenberg_marquardt` accepts a step, how it damps the next one, and when it ends.

    With ``first``, ``least`` and ``most`` alike it is Gauss and Newton's method, which ends at the first step that
    does not lower the cost.
    """

    first: float
    """Damping of the first step, relative to the diagonal of the normal equations."""
    least: float
    """Smallest damping; an accepted step divides the damping by 10."""
    most: float
    """Largest damping; a rejected step multiplies the damping by 10, and beyond this value the optimization ends."""
    min_decrease: float = 0.0
    """Share of the cost that a step must save for another step to follow it."""
    min_step: float = 0.0
    """`Linearization.step_size` below which a step is the last."""


def levenberg_marquardt(start: L, max_steps: int, damping: Damping) -> tuple[L, int]:
    """The problem linearized at the best estimate found, and how many steps were tried, at most ``max_steps``.

    A step that does not lower the cost is rejected (Levenberg 1944, Marquardt 1963; Hartley and Zisserman, A6.2).
    """
    best, value = start, damping.first
    for tried in range(max_steps):
        following = best.after_step(value)
        if following is None or not following.cost < best.cost:
            value *= 10
            if value > damping.most:
                return best, tried + 1
            continue
        saved, best, value = best.cost - following.cost, following, max(value / 10, damping.least)
        if saved < damping.min_decrease * best.cost or best.step_size < damping.min_step:
            return best, tried + 1
    return best, max_steps


def solve_normal_equations(normal: Array, gradient: Array, damping: float, max_component: float) -> Array | None:
    """(U,) the step ``-normal^-1 gradient``, or None where it is not finite or a component exceeds ``max_component``.

    ``damping``, relative to the mean of the diagonal, is added to the diagonal of ``normal`` (U, U) in place.
    """
    size = len(gradient)
    normal[np.diag_indices(size)] += damping * np.trace(normal) / size
    try:
        step = np.asarray(-np.linalg.solve(normal, gradient), dtype=np.float64)
    except np.linalg.LinAlgError:
        return None
    return step if np.isfinite(step).all() and np.abs(step).max() < max_component else None
