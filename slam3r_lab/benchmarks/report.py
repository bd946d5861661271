"""What a part of the benchmarks found, and where it is kept."""

from __future__ import annotations

import datetime
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from slam3r_lab.benchmarks.machine import BENCHMARKS
from slam3r_lab.evaluation.machine import commit_of_code, this_machine

RESULTS = BENCHMARKS / "results"


@dataclass(frozen=True, slots=True)
class Report:
    """What a part found."""

    lines: list[str]
    """Markdown."""
    values: Any
    """The same for JSON."""


def measured_by() -> str:
    """Date, commit, machine and command line of a benchmark that runs now on the CPU, as Markdown."""
    machine = this_machine(torch.device("cpu")).text
    return f"{datetime.date.today().isoformat()}, commit {commit_of_code()}, {machine}: `{command_line_of_this_run()}`"


def command_line_of_this_run() -> str:
    """The command line of ``slam3r_lab`` that runs now, without this machine's paths."""
    return shlex.join(["slam3r_lab", *public_words(sys.argv[1:])])


def public_words(words: Sequence[str]) -> list[str]:
    """A command line without this machine's paths."""
    return [Path(word).name if "/" in word and Path(word).exists() else word for word in words]


def write(part: str, report: Report, command: str) -> str:
    """Keep a part's results under today's date; returns the Markdown."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    today, machine, now = datetime.date.today().isoformat(), this_machine(device), commit_of_code()
    lines = [f"# {part}, {today}, commit {now}", "", f"{machine.text}; `{command}`", "", *report.lines]
    text = "\n".join(lines).rstrip() + "\n"
    values = {"date": today, "commit": now, "command": command, "machine": asdict(machine), part: report.values}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{today}-{part}.json").write_text(json.dumps(values, indent=1) + "\n")
    (RESULTS / f"{today}-{part}.md").write_text(text)
    return text
