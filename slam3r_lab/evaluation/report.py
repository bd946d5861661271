"""Results as JSON and as a Markdown table, a row a sequence and one for the mean."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slam3r_lab.evaluation.evaluate import Options, SequenceResult
from slam3r_lab.evaluation.machine import Machine
from slam3r_lab.evaluation.protocols import Protocol
from slam3r_ros.io.files import replacing

FORMAT = 1
"""Of the JSON; counted up when a field changes its meaning."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where, when and how results were made."""

    date: str
    """UTC, ISO 8601."""
    commit: str
    """Of this project, empty where it is not known."""
    command: str
    machine: Machine


@dataclass(frozen=True, slots=True)
class Report:
    """The results of one set of weights, or of a baseline, under one protocol."""

    weights: str
    protocol: Protocol
    settings: Mapping[str, Any]
    """Every setting of the engine by its dotted name, as it ran; empty for a baseline."""
    options: Options
    results: tuple[SequenceResult, ...]
    failures: tuple[str, ...]
    """Sequences that could not be evaluated at all, and why."""
    circumstances: Circumstances

    def as_json(self) -> str:
        """All figures; what differs between two runs is under ``run``. Means are over those that have a figure."""
        results = []
        for result in self.results:
            values = asdict(result)
            del values["cost"]
            results.append(values)
        document = {
            "format": FORMAT,
            "weights": self.weights,
            "protocol": asdict(self.protocol),
            "settings": dict(self.settings),
            "options": asdict(self.options),
            "results": results,
            "mean": {column.name: mean_of(column, self.results) for column in COLUMNS if not column.is_cost},
            "failures": list(self.failures),
            "run": {
                **asdict(self.circumstances),
                "cost": {result.sequence: asdict(result.cost) for result in self.results},
            },
        }
        return json.dumps(_finite(document), indent=1, allow_nan=False) + "\n"

    def as_markdown(self) -> str:
        """The table, with what it was made from and what could not be measured."""
        where = self.circumstances
        lines = [
            f"# {self.weights}, protocol {self.protocol.name}",
            "",
            f"{where.date}, commit {where.commit or 'unknown'}, {where.machine.text}: `{where.command}`",
            "",
            f"Protocol: {self.protocol.source}. "
            f"Intrinsics {'known' if self.protocol.with_intrinsics else 'not known'}. "
            f"Its figures: {', '.join(self.protocol.figures)}.",
            "",
            *table([(result.sequence, [result]) for result in self.results] + [("mean", self.results)], "sequence"),
            "",
            COLUMNS_EXPLAINED,
        ]
        problems = [f"- {result.sequence}: {problem}" for result in self.results for problem in result.problems]
        problems += [f"- {failure}" for failure in self.failures]
        if problems:
            lines += ["", "What was wrong, and what could not be measured:", "", *problems]
        return "\n".join(lines) + "\n"

    def write(self, directory: Path) -> None:
        """Write results.json and results.md; raises OutputError."""
        for name, text in (("results.json", self.as_json()), ("results.md", self.as_markdown())):
            with replacing(directory / name) as file:
                file.write(text.encode())


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of the table."""

    name: str
    """With its unit."""
    path: str
    """Dotted fields from SequenceResult on."""
    digits: int
    factor: float = 1.0
    """From the field's unit to the column's."""
    views: int = 0
    """Which of the errors by number of views, where the field holds those."""
    is_cost: bool = False

    def value(self, result: SequenceResult) -> float | None:
        """The figure, None where it could not be measured."""
        value: Any = result
        for name in self.path.split("."):
            value = None if value is None else getattr(value, name)
        if self.views and value is not None:
            value = next(each.relative_error for each in value if each.views == self.views)
        return None if value is None else self.factor * float(value)


COLUMNS = (
    Column("frames", "tracking.frames", 0),
    Column("tracked %", "tracking.tracked_percent", 1),
    Column("losses", "tracking.losses", 1),
    Column("init s", "tracking.seconds_to_initialise", 2),
    Column("ATE m", "trajectory.ate_rmse_m", 4),
    Column("ATE %", "trajectory.ate_percent_of_path", 2),
    Column("RPE m", "trajectory.rpe_translation_rmse_m", 4),
    Column("RPE °", "trajectory.rpe_rotation_rmse_deg", 2),
    Column("scale drift %", "trajectory.scale_drift_percent", 1),
    Column("acc cm", "cloud.accuracy_mean_cm", 2),
    Column("comp cm", "cloud.completeness_mean_cm", 2),
    Column("acc RMSE m", "cloud.accuracy_rmse_m", 4),
    Column("comp RMSE m", "cloud.completeness_rmse_m", 4),
    Column("chamfer m", "cloud.chamfer_rmse_m", 4),
    Column("5 cm %", "cloud.completion_ratio_5cm", 1, factor=100),
    Column("normals", "cloud.normal_consistency", 3),
    Column("all: acc cm", "cloud_of_all.accuracy_mean_cm", 2),
    Column("all: comp cm", "cloud_of_all.completeness_mean_cm", 2),
    Column("map: acc RMSE m", "map.accuracy_rmse_m", 4),
    Column("map: comp RMSE m", "map.completeness_rmse_m", 4),
    Column("map: 5 cm %", "map.completion_ratio_5cm", 1, factor=100),
    Column("AUSE", "calibration.sparsification_error", 3),
    Column("I2P 2 %", "networks.i2p", 1, factor=100, views=2),
    Column("I2P 5 %", "networks.i2p", 1, factor=100, views=5),
    Column("I2P 11 %", "networks.i2p", 1, factor=100, views=11),
    Column("L2W 5 true %", "networks.l2w_from_truth", 1, factor=100, views=5),
    Column("L2W 5 pred. %", "networks.l2w_from_predictions", 1, factor=100, views=5),
    Column("retrieval %", "retrieval.precision", 1, factor=100),
    Column("frames/s", "cost.frames_per_second", 1, is_cost=True),
    Column("MiB", "cost.peak_memory_mib", 0, is_cost=True),
)

COLUMNS_EXPLAINED = (
    "tracked: frames with a trusted pose; init: stream time to the first pose; ATE: RMSE after Sim(3), as length and "
    "as a share of the path; RPE: from each tracked frame to the next; acc, comp: mean distances of confident points "
    "after Umeyama and ICP (SLAM3R); RMSE, chamfer: with a cap of 0.5 m (MASt3R-SLAM, ViSTA-SLAM); 5 cm: share of the "
    "true points with an estimated one within 5 cm; all: without the confidence threshold; map: the saved map, against "
    "the whole images; AUSE: 0 where confidence "
    "orders the points as their errors do; I2P, L2W: relative point errors of the networks alone by views and by scene "
    "frames; retrieval: share of the chosen keyframes that are among the truly most overlapping; frames/s: in the "
    "engine; MiB: peak resident memory of the process."
)


def table(rows: Sequence[tuple[str, Sequence[SequenceResult]]], first_column: str) -> list[str]:
    """Lines of a Markdown table; each row has a name and the results that its figures are the mean of.

    A figure that only some of them have is followed by their number.
    """
    lines = [
        f"| {first_column} | {' | '.join(column.name for column in COLUMNS)} |",
        f"|---|{'---:|' * len(COLUMNS)}",
    ]
    for name, results in rows:
        lines.append(f"| {name} | {' | '.join(_cell(column, results) for column in COLUMNS)} |")
    return lines


def mean_of(column: Column, results: Sequence[SequenceResult]) -> float | None:
    """The mean over the results that have the figure; None where none has."""
    values = [value for value in map(column.value, results) if value is not None]
    return sum(values) / len(values) if values else None


def _cell(column: Column, results: Sequence[SequenceResult]) -> str:
    mean = mean_of(column, results)
    if mean is None:
        return "-"
    having = sum(column.value(result) is not None for result in results)
    return f"{mean:.{column.digits}f}" + (f" ({having})" if having < len(results) else "")


def _finite(value: Any) -> Any:
    """The value with None for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
