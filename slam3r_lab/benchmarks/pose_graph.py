"""How long the pose graph's optimization takes, and the cost that it ends at.

    slam3r_lab bench pose_graph

A camera goes ten times round a circle; its chain drifts in rotation, translation and scale, and 50 loops tie later
rounds to earlier ones. Prints, for 300, 1,000 and 3,000 nodes, the median time of an optimization, and half the sum of
the squared residuals in sigmas before and after.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from slam3r_ros.geometry.se3 import rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.pose_graph import Edges, optimize_pose_graph, residuals

CHAIN_SIGMAS = [0.005] * 3 + [0.01] * 3 + [0.02]
"""Standard deviations of the chain's edges; its errors are a fifth of them, and all of one sign."""
LOOP_SIGMAS = [0.03] * 3 + [0.05] * 3 + [0.05]
"""Standard deviations of the loops."""


def drifting_graph(count: int, loops: int, rounds: int = 10) -> tuple[Sim3, Edges, Edges]:
    """Nodes of a drifting chain of ``count`` keyframes, the chain's edges, and loops that are as they truly are."""
    random = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi * rounds, count)
    zeros = np.zeros(count)
    rotations = rotation_from_vector(np.column_stack([zeros, angles, zeros]))
    true = Sim3(np.ones(count), rotations, 3 * np.column_stack([np.sin(angles), zeros, np.cos(angles)]))
    steps = true[:-1].inverse() @ true[1:]
    errors = np.array(CHAIN_SIGMAS) * (0.2 + 0.3 * random.normal(size=(count - 1, 7))) * 300 / count
    measured = steps @ Sim3.exp(errors)
    nodes = [true[:1]]
    for number in range(count - 1):
        nodes.append(nodes[-1] @ measured[number : number + 1])
    first = np.arange(count - 1)
    chain = Edges(first, first + 1, measured, np.tile(CHAIN_SIGMAS, (count - 1, 1)))
    later = random.choice(np.arange(count // 2, count), loops, replace=False)
    a_round = (count - 1) / rounds
    earlier = np.rint(later - a_round * np.rint(random.uniform(1, 4, loops))).astype(np.intp)
    between = (
        true[earlier].inverse() @ true[later] @ Sim3.exp(0.3 * np.array(LOOP_SIGMAS) * random.normal(size=(loops, 7)))
    )
    return Sim3.concatenate(nodes), chain, Edges(earlier, later, between, np.tile(LOOP_SIGMAS, (loops, 1)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench pose_graph``."""
    parser.description = __doc__
    parser.add_argument("--nodes", type=int, nargs="+", default=[300, 1000, 3000], help="sizes of the graphs")
    parser.add_argument("--loops", type=int, default=50, help="loops of each graph")
    parser.add_argument("--repeats", type=int, default=5, help="optimizations that are timed")


def main(arguments: argparse.Namespace) -> int:
    """Time the optimization and print a line for each size."""
    for count in arguments.nodes:
        nodes, chain, loops = drifting_graph(count, arguments.loops)
        times = []
        for _ in range(arguments.repeats):
            started = time.perf_counter()
            optimized = optimize_pose_graph(nodes, chain, loops)
            times.append(time.perf_counter() - started)
        everything = Edges.concatenate([chain, loops])
        before, after = (float(np.square(residuals(each, everything)).sum()) / 2 for each in (nodes, optimized))
        milliseconds = 1000 * float(np.median(times))
        print(f"{count} nodes, {arguments.loops} loops: {milliseconds:.1f} ms, cost {before:.6g} -> {after:.9g}")
    return 0
