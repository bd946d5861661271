"""The command line: every command is there, loads only what it needs and says what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import textured_image

from slam3r_ros.io.ply import read_ply
from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.networks.weights import Networks, save_network
from slam3r_ros.tools import cli

WITHOUT_ROS = """
import sys
class NoRos:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("rclpy", "sensor_msgs", "std_msgs") or name in ("slam3r_ros.msg", "slam3r_ros.srv"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, NoRos())
from slam3r_ros.tools.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run_without_ros(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT_ROS, *words], capture_output=True, text=True, check=False)


def test_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fly"]) == 2
    assert "unknown command 'fly'; known: run, play, demo" in capsys.readouterr().err


def test_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in cli.COMMANDS)


@pytest.mark.parametrize("name", ["run", "evaluate", "parity", "render", "train", "demo"])
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: slam3r_ros {name}" in capsys.readouterr().out


def test_ros_arguments_are_kept_apart() -> None:
    words = ["play", "a.mp4", "--ros-args", "-r", "__node:=x", "--", "--loop"]
    assert cli.split_ros_arguments(words) == (["play", "a.mp4", "--loop"], ["--ros-args", "-r", "__node:=x"])
    assert cli.split_ros_arguments(["run", "a"]) == (["run", "a"], [])


def test_command_that_needs_ros_says_so_where_there_is_none() -> None:
    result = run_without_ros("play", "video.mp4")
    assert result.returncode == 2
    assert "this command needs ROS 2" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import cv2

    folder = tmp_path_factory.mktemp("sequence")
    for number in range(8):
        cv2.imwrite(str(folder / f"{number}.png"), textured_image(number)[:, :, ::-1])
    return folder


def test_run_maps_without_ros(sequence: Path, tiny_networks: Networks, tmp_path: Path) -> None:
    save_network(tiny_networks.i2p, tmp_path / "weights" / "i2p")
    save_network(tiny_networks.l2w, tmp_path / "weights" / "l2w")
    thresholds = (
        "point_confidence: 0\nshrink_below: 0\ninitialize_confidence: 0\ntracking_confidence: 0\nmap_confidence: 0\n"
    )
    (tmp_path / "weights" / "settings.yaml").write_text(thresholds)
    out = tmp_path / "out"
    settings = ["--set", "pose.minimum_inliers=0.0"]
    result = run_without_ros("run", str(sequence), "--out", str(out), "--weights", str(tmp_path / "weights"), *settings)
    assert result.returncode == 0, result.stderr
    assert "8 frames in" in result.stdout
    assert len(read_trajectory(out / "trajectory.tum")) == 8
    points = read_ply(out / "map.ply")
    assert f"{len(points)} points in {out / 'map.ply'}" in result.stdout
    assert len(points) > 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nowhere.mp4"], "source 'nowhere.mp4' does not exist"),
        (["x", "--set", "windw.radius=1"], "unknown setting 'windw.radius'"),
        (["x", "--set", "window.radius"], "expected NAME=VALUE, got 'window.radius'"),
        (["x", "--weights", "nothing"], "weights 'nothing' are neither"),
    ],
)
def test_run_says_what_is_wrong(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "--weights" not in words and "--set" not in words:
        words = [*words, "--weights", str(Path(__file__).parents[1] / "data" / "golden" / "networks")]
    assert cli.main(["run", *words]) == 2
    assert reason in capsys.readouterr().err


def test_ctrl_c_while_a_command_is_being_imported_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.importlib, "import_module", interrupted)
    assert cli.main(["run", "video.mp4"]) == 130
