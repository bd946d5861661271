"""Draws the learning curves of the runs in ``slam3r_lab/benchmarks/training`` anew."""

from __future__ import annotations

import argparse
import csv
import itertools
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from slam3r_lab.benchmarks.machine import BENCHMARKS

FOLDER = BENCHMARKS / "training"
ERROR, SEEN = "point_error", "point_error_seen"
"""Of worlds that are never trained on, and of some that are."""
PANELS = {"i2p": "I2P", "l2w": "L2W"}
"""Stages with a point error, and their titles."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure of one run."""

    run: str
    stage: str
    figure: str
    """A column of the log whose name begins with `point_error`."""
    samples: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def family(self) -> str:
        """Of worlds; the run's own name where it has but one."""
        return self.figure.removeprefix(ERROR).removeprefix("_") or self.run

    @property
    def label(self) -> str:
        """Run and family of worlds."""
        return self.run if self.figure == ERROR else f"{self.run}, {self.family}"


def read_curves(folder: Path) -> list[Curve]:
    """Every curve of the logs RUN-STAGE.csv in a folder; of a run with several families, those of the families."""
    curves = []
    for path in sorted(folder.glob("*.csv")):
        run, _, stage = path.stem.rpartition("-")
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        names = [name for name in rows[0] if name.startswith(ERROR) and not name.startswith(SEEN)]
        for name in names if len(names) < 3 else names[1:]:
            here = [row for row in rows if row[name]]
            samples = tuple(int(float(row["samples"])) for row in here)
            curves.append(Curve(run, stage, name, samples, tuple(float(row[name]) for row in here)))
    return curves


def draw(curves: list[Curve], target: Path) -> None:
    """A panel for each stage: point error on held-out worlds against training samples; a colour for each family of
    worlds, a mark for each run.
    """
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    colours = {family: f"C{number}" for number, family in enumerate(sorted({curve.family for curve in curves}))}
    marks = dict(zip(sorted({curve.run for curve in curves}), itertools.cycle("osD^vPX*<>"), strict=False))
    for axes, (stage, title) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for curve in (curve for curve in curves if curve.stage == stage):
            look = {"color": colours[curve.family], "marker": marks[curve.run], "markersize": 4}
            axes.plot(curve.samples, curve.values, linewidth=1, label=curve.label, **look)
        axes.set(xlabel="training samples", ylabel="relative point error", title=title, yscale="log")
        axes.yaxis.set_major_formatter("{x:.3f}")
        axes.yaxis.set_minor_formatter("{x:.3f}")
        axes.grid(which="both", alpha=0.3)
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(target, dpi=110)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench curves``."""
    parser.add_argument("--folder", type=Path, default=FOLDER, help="logs RUN-STAGE.csv (default: %(default)s)")


def main(arguments: argparse.Namespace) -> int:
    """Draw curves.png beside the logs."""
    draw(read_curves(arguments.folder), arguments.folder / "curves.png")
    return 0
