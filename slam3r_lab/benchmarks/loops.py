"""What closing loops is worth: ``python -m slam3r_lab.benchmarks.loops``, some minutes.

Each sequence in two ways, with and without, in one run: out and back again on the same images, so that every place is
seen twice; and with a jump back by more than half of it, as for a camera that was covered and carried. Folders given
with ``--sequences`` are mapped as they are too. The table goes to ``slam3r_lab/benchmarks/loops.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slam3r_lab.benchmarks.accuracy import protocol_for
from slam3r_lab.benchmarks.accuracy_sequences import DIFFICULTIES, rendered_sequences
from slam3r_lab.benchmarks.machine import BENCHMARKS
from slam3r_lab.benchmarks.report import measured_by
from slam3r_lab.evaluation.evaluate import Evaluation, Options
from slam3r_lab.evaluation.session import Session
from slam3r_lab.sequences.readers import open_sequence
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_ros.io.files import replacing

WEIGHTS = "embedded"
OPTIONS = Options(cloud_points=100_000, network_samples=0)
JUMP_AT, JUMP_TO = 0.75, 0.2
"""Where in a sequence the camera jumps, and where to."""


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence, with or without loops."""

    tracked_percent: float
    ate_percent: float
    """Of the path."""
    accuracy_cm: float
    completeness_cm: float

    @classmethod
    def of(cls, evaluation: Evaluation) -> Row:
        """What was measured; not a number where nothing was."""
        result = evaluation.result
        trajectory, cloud = result.trajectory, result.cloud
        return cls(
            result.tracking.tracked_percent,
            float("nan") if trajectory is None else trajectory.ate_percent_of_path,
            float("nan") if cloud is None else cloud.accuracy_mean_cm,
            float("nan") if cloud is None else cloud.completeness_mean_cm,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench loops``."""
    parser.description = __doc__
    parser.add_argument("--groups", nargs="*", choices=DIFFICULTIES, default=["medium", "hard"], help="rendered ones")
    parser.add_argument("--sequences", nargs="+", default=[], type=Path, metavar="DIR", help="also these")
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "loops.md")


def main(arguments: argparse.Namespace) -> int:
    """Measure sequence by sequence; the table holds what is done."""
    rows: list[tuple[str, str, Row, Row]] = []
    for way, sequence in _cases(arguments):
        without, with_loops = (measure(sequence, close) for close in (False, True))
        print(f"{way}: {sequence.name}: {without.ate_percent:.2f} -> {with_loops.ate_percent:.2f} %", flush=True)
        rows.append((way, sequence.name, without, with_loops))
        with replacing(arguments.out) as file:
            file.write(document(rows).encode())
    return 0


def measure(sequence: ImageSequence, close: bool) -> Row:
    """The engine on a sequence, with known intrinsics."""
    protocol = protocol_for(WEIGHTS, sequence)
    protocol = replace(protocol, values={**protocol.values, "loops.close": close})
    return Row.of(Session(WEIGHTS, protocol, OPTIONS).evaluate(sequence))


def out_and_back(count: int) -> list[int]:
    """Frames of a sequence and then the same in the opposite order."""
    return [*range(count), *range(count - 2, -1, -1)]


def with_jump(count: int) -> list[int]:
    """Frames of a sequence up to where the camera jumps back, and on from there."""
    at, to = int(JUMP_AT * count), int(JUMP_TO * count)
    return [*range(at), *range(to, at)]


def reordered(sequence: ImageSequence, order: Sequence[int]) -> ImageSequence:
    """Frames of a sequence in another order, stamped as if they had been taken so."""
    period_ns = round(1e9 / sequence.rate_hz)
    frames = [replace(sequence.frames[number], index=i, stamp_ns=i * period_ns) for i, number in enumerate(order)]
    return replace(sequence, frames=tuple(frames))


def document(rows: Sequence[tuple[str, str, Row, Row]]) -> str:
    """The whole file."""
    lines = [
        "# What closing loops is worth",
        "",
        measured_by(),
        "",
        "`loops.close` false -> true, otherwise the node's settings, known intrinsics, embedded weights. ATE in % of",
        "the path (after alignment), accuracy and completeness of the map in cm. `out and back`: the images and then",
        f"the same backwards; `jump`: at {JUMP_AT:.0%} of the images the camera is suddenly back at {JUMP_TO:.0%}; "
        "`as it is`: as recorded.",
        "",
        "| way | sequence | tracked % | ATE % | accuracy cm | completeness cm |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for way in dict.fromkeys(row[0] for row in rows):
        chosen = [row for row in rows if row[0] == way]
        lines += [_line(way, name, [without], [with_loops]) for _, name, without, with_loops in chosen]
        if len(chosen) > 1:
            lines.append(_line(way, "**mean**", [row[2] for row in chosen], [row[3] for row in chosen]))
    return "\n".join(lines) + "\n"


def _line(way: str, name: str, without: Sequence[Row], with_loops: Sequence[Row]) -> str:
    def both(field: str, digits: int) -> str:
        means = [sum(getattr(row, field) for row in rows) / len(rows) for rows in (without, with_loops)]
        return f"{means[0]:.{digits}f} -> {means[1]:.{digits}f}"

    columns = [both("tracked_percent", 0), both("ate_percent", 2), both("accuracy_cm", 1), both("completeness_cm", 1)]
    return f"| {way} | {name} | {' | '.join(columns)} |"


def _cases(arguments: argparse.Namespace) -> Iterator[tuple[str, ImageSequence]]:
    rendered = [open_sequence(folder) for group in arguments.groups for _, folder in rendered_sequences(group)]
    for way, order in (("out and back", out_and_back), ("jump", with_jump)):
        for sequence in rendered:
            yield way, reordered(sequence, order(len(sequence)))
    for folder in arguments.sequences:
        yield "as it is", open_sequence(folder)
