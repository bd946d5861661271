"""The command line ``slam3r_lab``: worlds, training, evaluation and benchmarks."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from slam3r_ros.cli.command_line import Command, CommandLine

COMMAND_LINE = CommandLine(
    "slam3r_lab",
    {
        "render": Command("slam3r_lab.commands.render", "render a video of a procedural world, with truth"),
        "train": Command("slam3r_lab.commands.train", "train networks on rendered and recorded sequences"),
        "evaluate": Command(
            "slam3r_lab.commands.evaluate", "measure weights on sequences with truth: poses, clouds, networks, cost"
        ),
        "parity": Command("slam3r_lab.commands.parity", "compare networks and engine with golden numbers"),
        "soak": Command("slam3r_lab.commands.soak", "long runs of the node, and faults on purpose"),
        "distributions": Command(
            "slam3r_lab.commands.distributions", "compare the names of ROS in use with a distribution's sources"
        ),
        "bench": Command("slam3r_lab.benchmarks.run", "measure speed, memory and accuracy (bench --help lists what)"),
    },
)
BENCHMARKS = CommandLine(
    "slam3r_lab bench",
    {
        "accuracy": Command("slam3r_lab.benchmarks.accuracy", "accuracy of all weights, oracles and baselines"),
        "features": Command(
            "slam3r_lab.benchmarks.features", "features for loops from other directions, in other light"
        ),
        "loops": Command("slam3r_lab.benchmarks.loops", "accuracy with and without loop closure"),
        "covariance": Command("slam3r_lab.benchmarks.covariance", "published covariances against true errors"),
        "dense-depth": Command("slam3r_lab.benchmarks.dense_depth", "dense depth of keyframes against true depth"),
        "scale-drift": Command(
            "slam3r_lab.benchmarks.scale_drift", "the drift of the scale with odometry or a depth camera"
        ),
        "localization": Command("slam3r_lab.benchmarks.localization", "how a camera is found in a map of before"),
        "sessions": Command("slam3r_lab.benchmarks.sessions", "two sessions in one map file, in real processes"),
        "map-file": Command("slam3r_lab.benchmarks.map_file", "a map file: writing, opening, and being killed"),
        "viewer": Command("slam3r_lab.benchmarks.viewer", "the live page: its cost, drawing, first points, memory"),
        "oracle": Command("slam3r_lab.benchmarks.oracle", "the engine's errors with networks of known errors"),
        "sizes": Command("slam3r_lab.benchmarks.sizes", "time and error against the size of the networks"),
        "curves": Command("slam3r_lab.benchmarks.learning_curves", "draw the kept learning curves anew"),
        "pose_graph": Command("slam3r_lab.benchmarks.pose_graph", "time and cost of the pose graph's optimization"),
        "gpu": Command("slam3r_lab.benchmarks.gpu", "all that needs a GPU, without ROS, in under 8 minutes"),
    },
)
"""The benchmarks that have options of their own. The parts of ``slam3r_lab bench PART ...`` share theirs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns its exit status, 2 for a command line that cannot be understood, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["bench"] and words[1:2] and words[1] in BENCHMARKS.commands:
        return BENCHMARKS.run(words[1:])
    return COMMAND_LINE.run(words)


if __name__ == "__main__":
    sys.exit(main())
