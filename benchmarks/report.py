"""What a part of the benchmarks found, and where it is kept."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks.machine import ROOT
from slam3r_ros.evaluation.machine import commit_of_code, this_machine

RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Report:
    """What a part found."""

    lines: list[str]
    """Markdown."""
    values: Any
    """The same for JSON."""


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
