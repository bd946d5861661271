"""`slam3r_ros train`: render the training rooms and train the embedded networks, one stage at a time."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

STAGES = ("all", "data", "i2p", "correlation", "l2w")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the subcommand."""
    parser.add_argument(
        "--stage",
        choices=STAGES,
        default="all",
        help="data: render the rooms; then i2p, correlation and l2w in this order; all: everything (default)",
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
        help="time to train, for all: of the three stages together; a stopped run goes on (default: %(default)s)",
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
    if arguments.minutes <= 0 or arguments.rooms < 1 or arguments.processes < 1:
        print("train: --minutes, --rooms and --processes must be above 0", file=sys.stderr)
        return 2
    from slam3r_ros.training.run import TrainingRun, render_data, train_all, train_stage

    run = TrainingRun(
        arguments.stage,
        arguments.data,
        arguments.out,
        arguments.minutes,
        arguments.rooms,
        arguments.processes,
        arguments.learning_rate,
    )
    try:
        if arguments.stage == "data":
            render_data(run.data, run.rooms, run.processes)
        elif arguments.stage == "all":
            train_all(run)
        else:
            train_stage(run)
    except FileNotFoundError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    return 0
