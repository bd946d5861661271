"""ROS that does not start: one line and exit status 2, whichever command it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
NODE = [str(ROOT / "scripts" / "slam3r_node"), "--ros-args", "-p", "weights:=embedded"]
PLAY = [str(ROOT / "scripts" / "slam3r_ros"), "play", "{images}"]
DEMO = [str(ROOT / "scripts" / "slam3r_ros"), "demo", "{images}", "--out", "{images}/out"]


@pytest.mark.parametrize(
    ("command", "environment", "words", "reason"),
    [
        (NODE, {"ROS_DOMAIN_ID": "233"}, [], "slam3r: ROS_DOMAIN_ID: expected 0 to 232, got 233"),
        (PLAY, {"ROS_LOG_DIR": "/proc/log"}, [], "set ROS_LOG_DIR to a folder that can be written"),
        (DEMO, {"ROS_LOG_DIR": "/proc/log"}, [], "slam3r_ros demo: failed to initialize logging"),
        (PLAY, {}, ["--ros-args", "-r", "bad"], "slam3r_ros play: failed to initialize rcl: Couldn't parse remap"),
    ],
)
def test_one_line_and_status_2(
    command: list[str], environment: dict[str, str], words: list[str], reason: str, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((48, 64, 3), np.uint8))
    given = [sys.executable, *(word.format(images=tmp_path) for word in command), *words]
    done = subprocess.run(
        given, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    said = [line for line in done.stderr.splitlines() if "[rcl]" not in line]
    assert done.returncode == 2, done.stderr
    assert len(said) == 1 and reason in said[0]
