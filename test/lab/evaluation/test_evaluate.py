"""The command: sequences in, figures and files out; bad input leaves what can be computed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wall_sequence import write_folder, write_poses, write_seven_scenes

from slam3r_lab.commands import main as cli
from slam3r_lab.evaluation.protocols import PROTOCOLS, ProtocolError, find_protocol
from slam3r_ros.io.ply import read_ply
from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.networks.weights import Networks, save_network

SETTINGS = ("--set", "window.stride=1", "--set", "window.radius=2", "--set", "pose.minimum_inliers=0.0")
THRESHOLDS = (
    "point_confidence: 0\nshrink_below: 0\ninitialize_confidence: 0\ntracking_confidence: 0\nmap_confidence: 0\n"
)


@pytest.fixture(scope="module")
def weights(tiny_networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random networks as a directory of weights."""
    directory = tmp_path_factory.mktemp("weights")
    save_network(tiny_networks.i2p, directory / "i2p")
    save_network(tiny_networks.l2w, directory / "l2w")
    (directory / "settings.yaml").write_text(THRESHOLDS)
    return str(directory)


def evaluate(out: Path, *words: str) -> dict[str, Any]:
    """Run the command, which must succeed, and read its results."""
    assert cli.main(["evaluate", *words, "--out", str(out)]) == 0
    document: dict[str, Any] = json.loads((out / "results.json").read_text())
    return document


def only_result(document: dict[str, Any]) -> dict[str, Any]:
    (result,) = document["results"]
    return dict(result)


def test_exact_networks_give_exact_figures_and_every_file(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "wall", 16)
    out = tmp_path / "out"
    document = evaluate(out, str(folder), "--weights", "oracle:exact", "--network-samples", "2", *SETTINGS)
    result = only_result(document)
    assert result["sequence"] == "wall"
    assert result["tracking"]["tracked_percent"] == 100
    assert result["tracking"]["frames_to_initialise"] == 5
    assert result["tracking"]["seconds_to_initialise"] == pytest.approx(0.4)
    assert result["tracking"]["losses"] == 0
    assert result["trajectory"]["ate_rmse_m"] < 1e-3
    assert result["cloud"]["accuracy_mean_cm"] < 0.1 and result["cloud"]["completeness_mean_cm"] < 0.1
    assert result["cloud"]["completion_ratio_5cm"] == 1
    assert result["cloud"]["normal_consistency"] == pytest.approx(1, abs=0.01)
    assert result["retrieval"]["precision"] > 0.9
    assert result["problems"] == []
    assert {path.name for path in (out / "wall").iterdir()} == {
        "map.ply", "trajectory.tum", "truth.tum", "trajectory.png", "cloud.png", "confidence.png",
    }  # fmt: skip
    assert len(read_ply(out / "wall" / "map.ply")) == result["tracking"]["map_points"] > 0
    assert len(read_trajectory(out / "wall" / "trajectory.tum")) == 16
    assert document["run"]["cost"]["wall"]["frames_per_second"] > 0
    assert document["run"]["machine"]["processor"]
    table = (out / "results.md").read_text()
    assert "| wall | 16 | 100.0 |" in table and "| mean | 16 | 100.0 |" in table


def test_two_runs_agree_to_the_last_digit(weights: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "wall", 14)
    words = (str(folder), "--weights", weights, "--network-samples", "2", "--no-pictures", *SETTINGS)
    first, second = (evaluate(tmp_path / name, *words) for name in ("first", "second"))
    del first["run"], second["run"]
    assert first == second
    assert first["results"][0]["trajectory"]["ate_rmse_m"] > 0
    for name in ("trajectory.tum", "map.ply"):
        written = [(tmp_path / run / "wall" / name).read_bytes() for run in ("first", "second")]
        assert written[0] == written[1]


def test_lookahead_and_intrinsics_reach_the_engine(weights: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "wall", 12)
    words = (str(folder), "--weights", weights, "--network-samples", "0", "--no-pictures", *SETTINGS)
    live = evaluate(tmp_path / "a", *words)
    late = evaluate(tmp_path / "b", *words, "--lookahead", "-1")
    blind = evaluate(tmp_path / "c", *words, "--intrinsics", "unknown")
    assert [d["settings"]["window.lookahead"] for d in (live, late, blind)] == [0, 2, 0]
    assert live["results"][0]["tracking"]["frames_to_initialise"] == 5
    assert late["results"][0]["trajectory"] != live["results"][0]["trajectory"]
    assert blind["results"][0]["trajectory"] != live["results"][0]["trajectory"]
    assert blind["protocol"]["with_intrinsics"] is False
    assert blind["protocol"]["name"] == "all-frames (changed)"


def test_one_of_several_sequences_may_be_missing(weights: str, tmp_path: Path) -> None:
    write_seven_scenes(tmp_path / "chess" / "seq-01", 8)
    write_seven_scenes(tmp_path / "chess" / "seq-02", 8)
    words = ("--weights", weights, "--network-samples", "0", "--no-pictures", *SETTINGS)
    document = evaluate(tmp_path / "out", str(tmp_path / "chess"), str(tmp_path / "nowhere"), *words)
    assert [result["sequence"] for result in document["results"]] == ["chess/seq-01", "chess/seq-02"]
    assert len(document["failures"]) == 1 and "nowhere' does not exist" in document["failures"][0]
    assert (tmp_path / "out" / "chess" / "seq-02" / "trajectory.tum").exists()


def test_sequences_of_one_name_are_kept_apart(weights: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "wall", 6)
    words = ("--weights", weights, "--network-samples", "0", "--no-pictures", *SETTINGS)
    document = evaluate(tmp_path / "out", str(folder), str(folder), *words)
    assert [result["sequence"] for result in document["results"]] == ["wall", "wall-2"]


# ---- bad input


BAD = ("--network-samples", "2", "--no-pictures", *SETTINGS)


def test_without_depth_the_trajectory_is_measured(weights: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "wall", 10)
    for path in (folder / "depth").iterdir():
        path.unlink()
    result = only_result(evaluate(tmp_path / "out", str(folder), "--weights", weights, *BAD))
    assert result["trajectory"]["compared"] == 10
    assert result["cloud"] is None and result["networks"] is None
    assert "no depth" in result["problems"]
    assert "no error of the cloud: no frame has depth and intrinsics" in result["problems"]
    assert "no errors of the networks alone: no frame has depth and intrinsics" in result["problems"]


def test_without_poses_the_networks_are_measured(weights: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "wall", 10)
    (folder / "poses.txt").unlink()
    result = only_result(evaluate(tmp_path / "out", str(folder), "--weights", weights, *BAD))
    assert result["trajectory"] is None and result["cloud"] is None
    assert result["networks"]["i2p"][1]["relative_error"] > 0
    assert "no error of the cloud: no frame has depth, a pose and intrinsics" in result["problems"]
    assert "no trajectory error: 0 tracked frames have a true pose, three are needed" in result["problems"]


def test_fewer_poses_than_images(weights: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "wall", 10)
    write_poses(folder / "poses.txt", list(range(6)))
    result = only_result(evaluate(tmp_path / "out", str(folder), "--weights", weights, *BAD))
    assert result["trajectory"]["compared"] == 6
    assert result["cloud"] is not None
    assert "poses.txt has 6 poses for 10 images" in result["problems"]


def test_truncated_images_are_left_out_and_named(weights: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "wall", 10)
    for path in (folder / "rgb" / "000004.png", folder / "depth" / "000007.png"):
        path.write_bytes(path.read_bytes()[:60])
    result = only_result(evaluate(tmp_path / "out", str(folder), "--weights", weights, *BAD))
    assert (result["tracking"]["frames"], result["tracking"]["processed"]) == (10, 9)
    assert result["trajectory"]["compared"] == 9
    assert any("000004.png: compressed image: a PNG that breaks off" in problem for problem in result["problems"])
    assert any("000007.png: expected a whole image" in problem for problem in result["problems"])


def test_fewer_images_than_an_initial_window(weights: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "wall", 1)
    result = only_result(evaluate(tmp_path / "out", str(folder), "--weights", weights, *BAD))
    assert result["tracking"]["frames_to_initialise"] is None
    assert result["trajectory"] is None and result["cloud"] is None
    assert result["networks"]["i2p"][0]["relative_error"] > 0


def test_nothing_that_can_be_computed_is_an_error(
    weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(tmp_path / "nowhere"), "--weights", weights, "--out", str(tmp_path / "out")]
    assert cli.main(words) == 1
    assert "nothing could be computed" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "results.json").read_text())["results"] == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--protocol", "mine"], "protocol 'mine' is unknown; known: all-frames, slam3r-7scenes"),
        (["--set", "windw.stride=1"], "unknown setting 'windw.stride'"),
        (["--step", "0"], "--step: expected at least 1, got 0"),
        (["--frames", "0"], "--frames: expected at least 1, got 0"),
        (["--weights", "nothing"], "weights 'nothing' are neither"),
        (["--weights", "oracle:nonsense"], "oracle setting 'nonsense' is unknown"),
        (["--weights", "baseline:nonsense"], "baseline:nonsense: unknown; known: baseline:identity"),
    ],
)
def test_command_line_that_cannot_be_used(
    words: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["evaluate", str(tmp_path), "--out", str(tmp_path / "out"), *words]) == 2
    assert reason in capsys.readouterr().err


WITHOUT_EVO = """
import sys
class NoEvo:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "evo":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, NoEvo())
from slam3r_lab.commands.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_what_to_install_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_EVO, "evaluate", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().endswith(
        "needs the package evo: pip install './slam3r_lab[evaluation]' in the source tree"
    )


# ---- protocols


def test_every_protocol_has_settings_and_a_source() -> None:
    names = ["all-frames", "slam3r-7scenes", "slam3r-replica", "vista-7scenes", "vista-tum"]
    assert [protocol.name for protocol in PROTOCOLS] == names
    for protocol in PROTOCOLS:
        assert protocol.settings().window.lookahead in (0, -1)
        assert len(protocol.source) > 40 and protocol.figures
    with pytest.raises(ProtocolError, match="protocol 'x' is unknown"):
        find_protocol("x")


def test_protocols_of_the_papers() -> None:
    seven, replica = find_protocol("slam3r-7scenes"), find_protocol("slam3r-replica")
    assert (seven.frame_step, replica.frame_step) == (20, 1)
    assert (seven.settings().window.stride, replica.settings().window.stride) == (1, 20)
    assert (seven.settings().register.scene_frames, replica.settings().register.scene_frames) == (5, 10)
    assert seven.settings().window.radius == replica.settings().window.radius == 5
    assert seven.with_intrinsics and replica.with_intrinsics
    assert (find_protocol("vista-7scenes").frame_step, find_protocol("vista-tum").frame_step) == (5, 3)


def test_protocol_samples_the_frames(weights: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "wall", 31)
    words = (str(folder), "--weights", weights, "--network-samples", "0", "--no-pictures")
    document = evaluate(tmp_path / "out", *words, "--protocol", "vista-7scenes")
    assert only_result(document)["tracking"]["frames"] == 7
    assert document["protocol"]["name"] == "vista-7scenes"
    stamps = np.diff([pose.stamp_ns for pose in read_trajectory(tmp_path / "out" / "wall" / "trajectory.tum")])
    assert set(stamps) == {500_000_000}
