"""How accurate every set of weights, the oracles and the baselines are: ``make accuracy``.

Twelve rendered sequences (`accuracy_sequences`), and the folders given with ``--sequences``; the table goes to
``slam3r_lab/benchmarks/accuracy.md`` after each row, all figures as JSON beside the rendered sequences. It takes hours
on two cores: ``--weights`` chooses rows, ``--frames`` bounds the given sequences.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import torch

from slam3r_lab.baselines import BASELINES
from slam3r_lab.benchmarks.accuracy_sequences import CACHE, DIFFICULTIES, FRAMES, RATE_HZ, SIZE, rendered_sequences
from slam3r_lab.benchmarks.machine import BENCHMARKS
from slam3r_lab.benchmarks.report import command_line_of_this_run
from slam3r_lab.evaluation.evaluate import Options
from slam3r_lab.evaluation.machine import commit_of_code
from slam3r_lab.evaluation.protocols import Protocol, find_protocol
from slam3r_lab.evaluation.report import COLUMNS_EXPLAINED, Report, table
from slam3r_lab.evaluation.session import Session
from slam3r_lab.evaluation.weights import BASELINE_PREFIX, ORACLE_PREFIX, choose_networks
from slam3r_lab.sequences.readers import open_sequence
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_ros.io.files import replacing
from slam3r_ros.networks.cpu import prepare_process
from slam3r_ros.networks.hub import EMBEDDED

ORACLES = ("exact", "noise=0.05", "noise=0.05,outliers=0.05,calibrated", "scale_drift=0.02,pose_drift=0.01")
DEFAULT_RATE_HZ = 30.0
"""The rate at which the strides that weights recommend are meant."""
OPTIONS = Options(cloud_points=200_000, network_samples=4)
ONLY_REAL = ("colmap",)
"""Baselines that are left out on rendered sequences."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Sequences whose mean is one row."""

    name: str
    sequences: tuple[ImageSequence, ...]
    is_rendered: bool


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One set of weights to be measured on one group."""

    weights: str
    group: Group
    processes: int
    """That share the processor's cores."""
    with_intrinsics: bool = True
    """Whether the engine gets the camera's intrinsics."""


def main(arguments: argparse.Namespace) -> int:
    """Measure group by group; the table holds what is done."""
    tasks = [
        Task(weights, group, arguments.processes, arguments.intrinsics == "known")
        for weights in arguments.weights or all_weights()
        for group in _groups(arguments)
        if not (group.is_rendered and weights.removeprefix(BASELINE_PREFIX) in ONLY_REAL)
    ]
    done: list[tuple[Task, Report]] = []
    with ProcessPoolExecutor(arguments.processes, multiprocessing.get_context("spawn"), prepare_process) as pool:
        kept = {task: report for task in tasks if arguments.resume and (report := _kept_report(task)) is not None}
        waiting = {task: pool.submit(measure, task) for task in tasks if task not in kept}
        for task in tasks:
            report = kept[task] if task in kept else waiting[task].result()
            done.append((task, report))
            _keep(task, report)
            with replacing(arguments.out) as file:
                file.write(document(done, arguments.note).encode())
    return 0


def all_weights() -> list[str]:
    """Every set of weights in the repository, the oracles' settings and the baselines."""
    return [*(BASELINE_PREFIX + name for name in BASELINES), EMBEDDED, *(ORACLE_PREFIX + name for name in ORACLES)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench accuracy``."""
    parser.description = __doc__
    parser.add_argument("--weights", nargs="+", help="rows, as of slam3r_lab evaluate (default: all there are)")
    parser.add_argument("--groups", nargs="*", default=DIFFICULTIES, help="of rendered sequences (default: all)")
    parser.add_argument("--resume", action="store_true", help="take what was measured before, where it was")
    parser.add_argument("--sequences", nargs="+", default=[], type=Path, metavar="DIR", help="also these")
    parser.add_argument("--frames", type=int, help="at most so many frames of each given sequence, evenly spread")
    parser.add_argument(
        "--intrinsics", choices=("known", "unknown"), default="known", help="whether the engine gets them"
    )
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "accuracy.md")
    parser.add_argument("--processes", type=int, default=1, help="groups measured at once (default: %(default)s)")
    parser.add_argument("--note", default="", help="a sentence for the table, on the circumstances")


def _groups(arguments: argparse.Namespace) -> Iterator[Group]:
    """Easy, medium and hard, then each given sequence by its own name."""
    for difficulty in arguments.groups:
        sequences = tuple(open_sequence(folder) for _, folder in rendered_sequences(difficulty))
        yield Group(difficulty, sequences, is_rendered=True)
    for folder in arguments.sequences:
        sequence = open_sequence(folder)
        step = 1 if arguments.frames is None else -(-len(sequence) // arguments.frames)
        yield Group(sequence.name, (sequence.every(step),), is_rendered=False)


def measure(task: Task) -> Report:
    """The report of one set of weights on one group."""
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // task.processes))
    protocol = replace(protocol_for(task.weights, task.group.sequences[0]), with_intrinsics=task.with_intrinsics)
    session = Session(task.weights, protocol, OPTIONS)
    for sequence in task.group.sequences:
        print(f"{datetime.now().time():%H:%M:%S} {task.weights}: {sequence.name}", flush=True)
        session.evaluate(sequence)
    return session.report(
        f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC", commit_of_code(), command_line_of_this_run()
    )


def protocol_for(weights: str, sequence: ImageSequence) -> Protocol:
    """The node's settings; members of a window are as far apart in time as at 30 images a second."""
    protocol = find_protocol("all-frames")
    if sequence.rate_hz >= DEFAULT_RATE_HZ:
        return protocol
    recommended = choose_networks(weights)(sequence).recommended.window.stride
    stride = recommended * sequence.rate_hz / DEFAULT_RATE_HZ
    stride = round(round(stride, 2))  # stamps in whole microseconds make 14.9999 Hz of 15, and 1.5 must not be less
    return replace(protocol, values={"window.stride": max(1, stride)})


def document(done: Sequence[tuple[Task, Report]], note: str) -> str:
    """The whole file."""
    where = max((report.circumstances for _, report in done), key=lambda circumstances: circumstances.date)
    known = all(task.with_intrinsics for task, _ in done)
    commits = sorted({report.circumstances.commit for _, report in done})
    rows = [(report.weights, task.group.name, report.results) for task, report in done]
    by_group = [(f"{weights}: {group}", results) for weights, group, results in rows]
    by_sequence = [(f"{weights}: {result.sequence}", [result]) for weights, _, results in rows for result in results]
    problems = sorted(
        {f"- {weights}: {r.sequence}: {text}" for weights, _, results in rows for r in results for text in r.problems}
    )
    lines = [
        "# Accuracy",
        "",
        f"{where.date}, commit {', '.join(commits)}, {where.machine.text}: `{where.command}`",
        "",
        f"Easy, medium and hard: four rendered sequences each of {FRAMES} images, {SIZE[0]} x {SIZE[1]} pixels at "
        f"{RATE_HZ:g} Hz, of worlds that no training touches (`slam3r_lab/benchmarks/accuracy_sequences.py`): "
        "plain rooms; furnished rooms with mild camera effects; all worlds and motions with strong ones. "
        "Others: recorded sequences by their public names, thinned where they are long and --frames says so. "
        "Every frame in order, no lookahead, "
        f"{'known' if known else 'unknown'} intrinsics, the settings that the weights recommend, windows as long in "
        f"time as at 30 Hz. {note}".rstrip(),
        "",
        COLUMNS_EXPLAINED,
        "",
        "## Means",
        "",
        *table(by_group, "weights: sequences"),
        "",
        "## Every sequence",
        "",
        *table(by_sequence, "weights: sequence"),
    ]
    if problems:
        lines += ["", "## What was wrong, and what could not be measured", "", *problems]
    return "\n".join(lines) + "\n"


def _kept(task: Task) -> Path:
    """Where a task's report is kept, outside git."""
    weights = "".join(letter if letter.isalnum() else "_" for letter in task.weights)
    folder = CACHE / "results" / weights / task.group.name
    return (folder if task.with_intrinsics else folder / "unknown") / "report.pickle"


def _kept_report(task: Task) -> Report | None:
    """What was measured before; None where there is nothing, or only something of other fields than today's."""
    try:
        report = pickle.loads(_kept(task).read_bytes())
        asdict(report)
    except (OSError, AttributeError, TypeError, pickle.UnpicklingError):
        return None
    return report if isinstance(report, Report) else None


def _keep(task: Task, report: Report) -> None:
    """All figures as JSON, and the report for ``--resume``."""
    file = _kept(task)
    file.parent.mkdir(parents=True, exist_ok=True)
    report.write(file.parent)
    file.write_bytes(pickle.dumps(report))
