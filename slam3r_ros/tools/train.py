"""`slam3r_ros train`: render the training rooms and train the embedded networks, one stage at a time."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

STAGES = ("data", "i2p", "correlation", "l2w")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the subcommand."""
    parser.add_argument(
        "--stage",
        choices=STAGES,
        required=True,
        help="data: render the rooms; then i2p, correlation and l2w in this order",
    )
    parser.add_argument(
        "--data", type=Path, default=Path("training_data"), help="folder of the rendered rooms (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("training_runs"),
        help="folder of checkpoints, logs and exports (default: %(default)s)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=60.0,
        help="time to train; a run that was stopped goes on where it was (default: %(default)s)",
    )
    parser.add_argument(
        "--rooms", type=int, default=440, help="number of training rooms to render or to use (default: %(default)s)"
    )
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="processes of one thread each (default: %(default)s)"
    )
    parser.add_argument(
        "--learning-rate", type=float, default=None, help="peak learning rate (default: the stage's own)"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run one stage; returns the exit status."""
    from slam3r_ros.training.run import TrainingRun, render_data, train_stage

    if arguments.stage == "data":
        render_data(arguments.data, arguments.rooms, arguments.processes)
        return 0
    try:
        train_stage(
            TrainingRun(
                arguments.stage,
                arguments.data,
                arguments.out,
                arguments.minutes,
                arguments.rooms,
                arguments.processes,
                arguments.learning_rate,
            )
        )
    except FileNotFoundError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    return 0
