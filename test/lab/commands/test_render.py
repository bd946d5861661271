"""`slam3r_lab render`: what it refuses before it renders, and the video it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slam3r_lab.commands import main as cli
from slam3r_lab.commands import render
from slam3r_ros.io.sources import open_source
from slam3r_ros.io.tum import read_trajectory

SMALL = ["--frames", "3", "--size", "64x48", "--device", "cpu"]


@pytest.mark.parametrize("part", ["rgb", "depth"])
def test_a_video_is_not_mixed_with_one_that_is_there(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(render, "render_sequence", lambda *_, **__: iter(()))
    words = ["render", *SMALL, "--out", str(tmp_path)]
    assert cli.main(words) == 0
    (tmp_path / part / "000005.jpg").write_bytes(b"of yesterday")
    monkeypatch.setattr(render, "write_sequence", lambda *_: pytest.fail("rendered"))
    assert cli.main(words) == 2
    assert f"render: {tmp_path} already holds a video" in capsys.readouterr().err
    assert (tmp_path / part / "000005.jpg").read_bytes() == b"of yesterday"


def test_the_video_has_the_images_stamps_and_camera_of_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("av")
    for name, extra in (("images", []), ("video", ["--video"])):
        assert cli.main(["render", *SMALL, *extra, "--out", str(tmp_path / name)]) == 0
    with open_source(str(tmp_path / "images")) as images, open_source(str(tmp_path / "video")) as video:
        expected, got = list(images), list(video)
        assert video.problems == []
    assert [frame.stamp_ns for frame in got] == [frame.stamp_ns for frame in expected]
    assert [frame.camera for frame in got] == [frame.camera for frame in expected]
    for a, b in zip(got, expected, strict=True):
        difference = a.image.astype(np.float64) - b.image
        assert 10 * np.log10(255**2 / np.mean(difference**2)) > 25, "JPEG against H.264, decibels"
    assert (tmp_path / "images" / "poses.txt").read_bytes() == (tmp_path / "video" / "poses.txt").read_bytes()
    assert len(read_trajectory(tmp_path / "video" / "poses.txt")) == 3
    assert cli.main(["render", *SMALL, "--video", "--out", str(tmp_path / "video")]) == 2
    assert "already holds a video" in capsys.readouterr().err


def test_what_to_install_for_a_video_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(render.importlib.util, "find_spec", lambda _: None)
    assert cli.main(["render", *SMALL, "--video", "--out", str(tmp_path / "video")]) == 2
    assert "--video needs the package av: pip install './slam3r_lab[video]'" in capsys.readouterr().err
