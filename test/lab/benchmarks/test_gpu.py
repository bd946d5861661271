import subprocess
import sys

import pytest

from slam3r_lab.benchmarks import gpu
from slam3r_lab.benchmarks.gpu_stream import CAMERA_QUEUE, _Camera, camera_images
from slam3r_lab.benchmarks.machine import ROOT
from slam3r_lab.commands.main import main


def test_the_gpu_benchmark_runs_through_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "gpu", "--device", "cpu", "--tiny"]) == 0
    out = capsys.readouterr().out
    assert "Golden parity on cpu" in out and "FAILED" not in out
    for precision in ("float32", "bfloat16", "float16"):
        assert f"| engine, {precision} |" in out
        assert f"| {precision} | none |" in out
    assert out.count(": equal, Pillow") == 3
    assert "world points: error" in out
    assert "| published way, nothing kept between windows, bfloat16 |" in out
    assert all(f"| {precision} | {rate} |" in out for precision in ("bfloat16", "float16") for rate in (30, 60))
    # In float32 the engine gives what the published way gives.
    engine = next(line for line in out.splitlines() if line.startswith("| engine, float32 |"))
    cells = [cell.strip() for cell in engine.split("|")]
    assert float(cells[10]) < 1e-4 and cells[11] == "yes"


def test_it_needs_no_ros_and_nothing_of_the_tools() -> None:
    check = (
        "import sys, slam3r_lab.benchmarks.gpu; print(*{'rclpy', 'rosbags', 'matplotlib', 'colcon'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_a_camera_that_is_too_fast_drops_the_oldest_images() -> None:
    camera = _Camera(1000.0, camera_images(2))
    camera.run(seconds=0.01)
    assert (camera.taken, camera.dropped, len(camera.waiting)) == (10, 10 - CAMERA_QUEUE, CAMERA_QUEUE)
    stamps = [frame.stamp_ns for frame in camera.waiting]
    assert stamps == sorted(stamps)


def test_parts_for_which_no_time_is_left_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "TIME_LIMIT_S", -1.0)
    lines = gpu.Measurement("cpu", gpu.SMALL).run().lines
    left_out = [line.removeprefix("Left out for lack of time: ") for line in lines if line]
    assert left_out == ["parity", "streams", "live", "ratios", "drift", "full_memory", "stages", "tf32"]
