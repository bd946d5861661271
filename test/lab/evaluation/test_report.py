"""Figures as JSON and as a table."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest
import torch

from slam3r_lab.evaluation.evaluate import Options, SequenceResult
from slam3r_lab.evaluation.machine import PeakMemory, commit_of_code, this_machine
from slam3r_lab.evaluation.network_errors import NetworkErrors, ViewsError
from slam3r_lab.evaluation.protocols import find_protocol
from slam3r_lab.evaluation.report import COLUMNS, Circumstances, Report, mean_of, table
from slam3r_lab.evaluation.run import Cost, Tracking
from slam3r_lab.evaluation.trajectory import TrajectoryMetrics

TRACKING = Tracking(10, 10, 8, 8, 80.0, 1, 2, 5, 0.4, "TRACKING", 3, 100)
TRAJECTORY = TrajectoryMetrics(8, 2.0, 0.1, 0.1, 0.1, 0.2, 5.0, 1.5, 0.01, 0.5, None, None, None, None, ())
ERRORS = NetworkErrors(
    (ViewsError(1, 3, 0.5), ViewsError(2, 3, 0.25), ViewsError(5, 3, 0.125), ViewsError(11, 0, None)),
    (ViewsError(5, 3, 0.1),),
    (ViewsError(5, 3, 0.2),),
)


def result(name: str, trajectory: TrajectoryMetrics | None, errors: NetworkErrors | None = None) -> SequenceResult:
    cost = Cost(20.0, 0.5, 300.0, None)
    return SequenceResult(name, "folder", TRACKING, trajectory, None, None, None, errors, None, ("a problem",), cost)


def column(name: str) -> float | None:
    found = next(each for each in COLUMNS if each.name == name)
    return mean_of(found, RESULTS)


RESULTS = (
    result("one", TRAJECTORY, ERRORS),
    result("two", replace(TRAJECTORY, ate_rmse_m=0.3)),
    result("three", None),
)


def test_means_are_over_those_that_have_the_figure() -> None:
    assert column("ATE m") == pytest.approx(0.2)
    assert column("tracked %") == 80
    assert column("I2P 2 %") == 25
    assert column("I2P 11 %") is None
    assert column("L2W 5 pred. %") == 20
    assert column("acc cm") is None


def test_table_says_how_many_have_the_figure() -> None:
    header, rule, first, mean = table([("one", RESULTS[:1]), ("mean", RESULTS)], "sequence")
    names = [cell.strip() for cell in header.split("|")[1:-1]]
    assert len(names) == len(rule.split("|")) - 2 == len(COLUMNS) + 1
    cells = dict(zip(names, (cell.strip() for cell in mean.split("|")[1:-1]), strict=True))
    assert (cells["sequence"], cells["ATE m"], cells["acc cm"], cells["frames/s"]) == (
        "mean",
        "0.2000 (2)",
        "-",
        "20.0",
    )
    assert dict(zip(names, (cell.strip() for cell in first.split("|")[1:-1]), strict=True))["ATE m"] == "0.1000"


def test_json_keeps_apart_what_differs_between_runs() -> None:
    machine = this_machine(torch.device("cpu"))
    odd = result("odd", replace(TRAJECTORY, ate_max_m=math.inf))
    report = Report(
        "embedded", find_protocol("all-frames"), {"window.stride": 3}, Options(), (*RESULTS, odd), ("x: not there",),
        Circumstances("2026-01-01", "abc", "slam3r_lab evaluate x", machine),
    )  # fmt: skip
    document = json.loads(report.as_json())
    assert set(document["run"]) == {"date", "commit", "command", "machine", "cost"}
    assert document["run"]["cost"]["one"]["frames_per_second"] == 20
    assert all("cost" not in each for each in document["results"])
    assert "frames/s" not in document["mean"] and document["mean"]["tracked %"] == 80
    assert document["results"][3]["trajectory"]["ate_max_m"] is None
    text = report.as_markdown()
    assert "- one: a problem" in text and "- x: not there" in text and "slam3r_lab evaluate x" in text


def test_commit_and_memory() -> None:
    assert re.fullmatch(r"([0-9a-f]{7,}\+?)?", commit_of_code())
    with PeakMemory(torch.device("cpu")) as memory:
        block = torch.ones(30, 1024, 1024)
    assert memory.peak_gpu_mib is None
    assert memory.peak_mib is None or memory.peak_mib > block.nbytes / 2**20
