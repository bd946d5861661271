import subprocess
import sys

import pytest

from benchmarks.gpu import main
from benchmarks.machine import ROOT


def test_the_gpu_benchmark_runs_through_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cpu", "--tiny"]) == 0
    out = capsys.readouterr().out
    assert "Golden parity on cpu" in out and "FAILED" not in out
    for precision in ("float32", "bfloat16", "float16"):
        assert f"| engine, {precision} |" in out
        assert f"| {precision} | none |" in out
    # In float32 the engine gives what the published way gives.
    engine = next(line for line in out.splitlines() if line.startswith("| engine, float32 |"))
    cells = [cell.strip() for cell in engine.split("|")]
    assert float(cells[10]) < 1e-4 and cells[11] == "yes"


def test_it_needs_no_ros_and_nothing_of_the_tools() -> None:
    check = "import sys, benchmarks.gpu; print(*{'rclpy', 'rosbags', 'matplotlib', 'colcon'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
