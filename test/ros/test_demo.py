"""The demo, and the node as a process: player and node over DDS, SIGINT, files and figures."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from ros_harness import PATIENCE_S, wait_until
from synthetic import textured_image

from slam3r_ros.cli import demo
from slam3r_ros.cli import figure as picture
from slam3r_ros.cli import main as cli
from slam3r_ros.cli.demo import DemoError, DemoOptions, latency_percentiles, player_command
from slam3r_ros.cli.demo_page import USUAL_PORT, DemoPage, page_port
from slam3r_ros.io.ply import read_ply
from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.render.cloud import SplatCloud
from slam3r_ros.ros.tools import recorder
from slam3r_ros.ros.tools.recorder import ReceivedMessage

COUNT = 24
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of 640 x 480 with truth."""
    folder = tmp_path_factory.mktemp("sequence")
    (folder / "rgb").mkdir()
    for number in range(COUNT):
        image = cv2.resize(textured_image(number), (640, 480))
        cv2.imwrite(str(folder / "rgb" / f"{number:06d}.jpg"), image[:, :, ::-1])
    (folder / "intrinsics.txt").write_text("500 500 319.5 239.5 640 480\n")
    poses = [f"{5 + number / 30:.6f} {0.01 * number**1.5:.4f} 0 {0.1 * number:.4f} 0 0 0 1" for number in range(COUNT)]
    (folder / "poses.txt").write_text("\n".join(poses))
    return folder


def test_demo_leaves_map_trajectory_picture_and_report(sequence: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    given = [
        "--weights",
        str(weights),
        "-p",
        "pose.minimum_inliers:=0.0",
        "-p",
        "image_queue:=100",
        "-p",
        "pose.tracks:=off",  # random networks say nothing that tracks could agree with
        "-p",
        "window.stride:=1",
    ]
    command = [sys.executable, "-m", "slam3r_ros.cli.main", "demo", str(sequence), "--out", str(out), *given]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr + (out / "node.log").read_text()

    report = json.loads((out / "report.json").read_text())
    # Best effort on a busy machine may lose images; every one of them is accounted for.
    assert report["frames_sent"] == COUNT == report["frames_received"] + report["frames_lost_in_transport"]
    assert (
        report["frames_received"] == report["frames_processed"] + report["frames_dropped"] + report["frames_rejected"]
    )
    assert report["frames_rejected"] == 0
    assert report["state"] == "TRACKING"
    assert report["frames_sent_per_second"] > 0
    assert 0 < report["latency_p50_ms"] <= report["latency_p95_ms"]
    assert report["trajectory_error"]["compared"] == report["frames_tracked"] == report["frames_processed"]

    stamps = json.loads((out / "played.json").read_text())["stamps_ns"]
    saved = [pose.stamp_ns for pose in read_trajectory(out / "trajectory.tum")]
    assert len(saved) == report["frames_processed"]
    assert [stamp for stamp in stamps if stamp in set(saved)] == saved
    assert len(read_ply(out / "map.ply")) == report["map_points"] > 0
    image = cv2.imread(str(out / "map.png"))
    assert image is not None and image.std() > 5
    assert (out / "map.slam3r").is_file()
    for name, package in (("map.glb", "trimesh"), ("map.mp4", "av")):
        assert (out / name).is_file() or f"needs {package}" in result.stderr.replace("PyAV", "av")
    assert f"slam3r_ros view {out}" in result.stdout
    assert "watch the map grow in a browser: http://127.0.0.1:" in result.stdout or "needs viser" in result.stdout
    assert f"{report['frames_lost_in_transport']} lost in transport" in result.stdout


def test_demo_says_what_is_wrong(tmp_path: Path, sequence: Path) -> None:
    command = [sys.executable, "-m", "slam3r_ros.cli.main", "demo", "--out", str(tmp_path)]
    missing = subprocess.run([*command, "nowhere"], capture_output=True, text=True, timeout=180, check=False)
    assert (missing.returncode, "source 'nowhere' does not exist" in missing.stderr) == (2, True)
    wrong = subprocess.run(
        [*command, str(sequence), "-p", "image_queue:=0"], capture_output=True, text=True, timeout=300, check=False
    )
    assert wrong.returncode == 1
    assert "image_queue: expected 1 to 100, got 0" in wrong.stderr


def test_the_page_of_a_demo_finds_a_port_and_says_why_there_is_none(tmp_path: Path) -> None:
    try:
        taken = socket.create_server(("127.0.0.1", USUAL_PORT))
    except OSError:
        taken = socket.socket()  # another program has it
    with taken:
        assert page_port() not in (0, USUAL_PORT)
    (tmp_path / "page.log").write_text("slam3r_viewer: port 9 may not be used\n")
    ended = subprocess.Popen(["true"])
    ended.wait(20)
    said = DemoPage(ended, "http://127.0.0.1:9/", tmp_path / "page.log").text()
    assert said == f"no live page: slam3r_viewer: port 9 may not be used (see {tmp_path / 'page.log'})"
    assert "pip install slam3r_ros[viewer]" in DemoPage(None, "", tmp_path / "page.log").text()


def test_topic_of_a_bag_is_played(tmp_path: Path) -> None:
    options = DemoOptions("drive.mcap", tmp_path, "embedded", None, (), bag_topic="/front/image")
    command = player_command(options, tmp_path / "played.json")
    assert command[command.index("--bag-topic") + 1] == "/front/image"
    without = player_command(replace(options, bag_topic=None), tmp_path / "played.json")
    assert "--bag-topic" not in without


def failing(error: BaseException) -> Callable[..., None]:
    """A function that raises this."""

    def fail(*_: object) -> None:
        raise error

    return fail


def test_demo_that_fails_leaves_earlier_results_and_says_whose_they_are(
    sequence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "map.ply").write_text("of yesterday")
    monkeypatch.setattr(demo, "play_and_map", failing(DemoError("the node did not start")))
    assert cli.main(["demo", str(sequence), "--out", str(tmp_path)]) == 1
    assert (tmp_path / "map.ply").read_text() == "of yesterday"
    said = capsys.readouterr().err
    assert "the node did not start" in said and f"not of this demo: map.ply in {tmp_path}" in said


def test_report_and_picture_of_an_earlier_map_go_when_the_new_one_is_saved(
    sequence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("map.ply", "map.png", "map.glb", "map.mp4", "report.json"):
        (tmp_path / name).write_text("of yesterday")
    node = SimpleNamespace(save_map=lambda *_: SimpleNamespace(success=True))
    monkeypatch.setattr(recorder, "Recorder", lambda: nullcontext(node))
    guard = SimpleNamespace(running=lambda *_: nullcontext())
    monkeypatch.setattr(demo, "guarding", lambda: nullcontext(guard))
    for step in ("prepare_environment", "wait_until_active", "follow", "wait_until_drained"):
        monkeypatch.setattr(demo, step, lambda *_: None)
    monkeypatch.setattr(demo, "stop", failing(DemoError("the node did not end")))
    assert cli.main(["demo", str(sequence), "--out", str(tmp_path)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["map.ply"]


@pytest.mark.usefixtures("default_signals")
def test_signals_end_the_node_cleanly_and_save_no_empty_map(weights: Path, tmp_path: Path) -> None:
    """A node for each signal; they start together, since each takes seconds for it."""
    nodes: dict[signal.Signals, subprocess.Popen[bytes]] = {}

    def said(number: signal.Signals) -> str:
        return (tmp_path / f"{number.name}.log").read_text()

    try:
        for offset, number in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGHUP)):
            environment = {**os.environ, "ROS_DOMAIN_ID": str(1 + (os.getpid() + offset) % 100)}
            saved = tmp_path / f"{number.name}_map"
            parameters = ["--ros-args", "-p", f"weights:={weights}", "-p", f"save_on_exit:={saved}"]
            with (tmp_path / f"{number.name}.log").open("wb") as output:
                nodes[number] = subprocess.Popen(
                    [sys.executable, str(ROOT / "scripts" / "slam3r_node"), *parameters],
                    stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=ROOT,
                )  # fmt: skip
        for number, node in nodes.items():
            wait_until(lambda: "configured with" in said(number) or node.poll() is not None, "a configured node")  # noqa: B023
            node.send_signal(number)
        for number, node in nodes.items():
            assert node.wait(PATIENCE_S) == 0, said(number)
    finally:
        for node in nodes.values():
            node.kill()
    for number in nodes:
        assert f"nothing is mapped: '{tmp_path / number.name}_map/map.ply' is not written" in said(number)
        assert not (tmp_path / f"{number.name}_map").exists()


def test_picture_of_nothing_is_drawn_too(tmp_path: Path) -> None:
    from slam3r_ros.types import MapPoints

    empty = MapPoints(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.float32))
    picture.draw_map(tmp_path / "map.png", SplatCloud.of_map(empty), [], "nothing")
    assert (tmp_path / "map.png").stat().st_size > 1000


def test_latencies_in_percentiles() -> None:
    poses = [ReceivedMessage(stamp_ns=0, arrival_ns=number * 1_000_000, parent="map") for number in range(101)]
    assert latency_percentiles(poses) == (pytest.approx(50.0), pytest.approx(95.0))
    assert latency_percentiles([]) == (None, None)


def test_the_map_file_of_an_earlier_demo_is_set_aside(tmp_path: Path) -> None:
    demo.set_former_map_aside(tmp_path)
    assert list(tmp_path.iterdir()) == []
    for text in ("older", "newer"):
        (tmp_path / "map.slam3r").write_text(text)
        demo.set_former_map_aside(tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("former_map.slam3r", "newer")]
