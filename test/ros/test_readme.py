"""The commands of the README do what it says: each is run, on a short clip and on a running node."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from rclpy.context import Context
from ros_harness import running_node
from slam3r_ros.srv import SaveMap, SetScale
from synthetic import textured_image

from slam3r_ros.io.ply import read_ply

ROOT = Path(__file__).resolve().parents[2]
LINES = (ROOT / "README.md").read_text().splitlines()
COMMANDS = [shlex.split(line, comments=True) for line in LINES if line.startswith(("    slam3r_ros ", "    ros2 "))]
SERVICES = {"slam3r_ros/srv/SaveMap": SaveMap, "slam3r_ros/srv/SetScale": SetScale}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the video that the README names."""
    video = cv2.VideoWriter(str(tmp_path / "my_video.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30, (320, 240))
    for number in range(20):
        video.write(np.ascontiguousarray(cv2.resize(textured_image(number), (320, 240))[:, :, ::-1]))
    video.release()
    return tmp_path


def test_commands_without_ros(place: Path) -> None:
    for words in COMMANDS:
        if words[0] != "slam3r_ros" or words[1] in ("play", "demo", "film", "view", "app"):
            continue
        if "--map" in words:  # so short a clip has no place to be recognised by
            continue
        command = [sys.executable, str(ROOT / "scripts" / words[0]), *words[1:]]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"
    assert len(read_ply(place / "my_map" / "map.ply")) > 0
    assert [path.suffix for path in place.rglob("*.glb")] == [".glb"]


def test_services(context: Context, weights: Path, tmp_path: Path) -> None:
    calls = [words[3:] for words in COMMANDS if words[:3] == ["ros2", "service", "call"]]
    assert {kind for _, kind, _ in calls} == set(SERVICES)
    with running_node(context, weights, image_queue=20) as bench:
        bench.wait_for_connection()
        bench.camera.send_images(8)
        bench.wait_for_handled(8)
        for name, kind, text in calls:
            values = yaml.safe_load(text)
            if "path" in values:
                values["path"] = str(tmp_path / Path(values["path"]).name)
            answer = bench.camera.call(SERVICES[kind], name, SERVICES[kind].Request(**values))
            assert answer.success, answer.message
        assert bench.status.scale == pytest.approx(2.4)
    assert sorted(path.name for path in tmp_path.iterdir())[:1] == ["room.ply"]
