"""``slam3r_ros export`` and ``slam3r_ros film`` of a real map file."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from map_file_events import events_of

from slam3r_ros.cli.main import main
from slam3r_ros.export.formats import FORMATS
from slam3r_ros.io.ply import read_ply
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.writer import MapFileWriter


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the map file of eight keyframes, a scene unit of which is two metres."""
    path = tmp_path_factory.mktemp("result")
    with MapFileWriter(path / "room.slam3r", MapFacts("test", "abc", {})) as map_file:
        for number in range(8):
            for event in events_of(number):
                map_file.write(event)
        map_file.set_scale(StoredScale(2.0, 0.01, "known"))
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_goes_beside_the_map_file(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "glb":
        pytest.importorskip("trimesh")
    assert main(["export", str(folder), "--format", name]) == 0
    target = folder / ("room_colmap" if name == "colmap" else f"room.{name}")
    said = capsys.readouterr().out
    assert target.exists() and f"in {target}, lengths in metres" in said
    assert int(said.split()[0]) == (24 if name == "tum" else int(said.split()[0])) > 0


def test_options_choose_points_and_unit(folder: Path, tmp_path: Path) -> None:
    with MapFile(folder / "room.slam3r") as file:
        everything = file.reconstruction().points
    out = tmp_path / "map.ply"
    words = ["--confidence", "5", "--metres-per-unit", "3", "--format", "ply", "--out", str(out)]
    assert main(["export", str(folder / "room.slam3r"), *words]) == 0
    points, kept = read_ply(out), everything.confidence >= 5
    assert 0 < len(points) == kept.sum() < len(everything)
    np.testing.assert_allclose(points.points_world[:, 0], 3 * everything.points_world[kept, 2], rtol=1e-5)
    assert main(["export", str(folder), "--max-points", "50", "--format", "ply", "--out", str(out)]) == 0
    assert len(read_ply(out)) == 50


@pytest.mark.parametrize("command", ["export", "film"])
def test_what_is_no_map_is_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words.slam3r").write_text("words")
    for path, reason in ((tmp_path / "none", "there is no"), (tmp_path / "words.slam3r", "words.slam3r")):
        assert main([command, str(path)]) == 1
        assert reason in capsys.readouterr().err
    (tmp_path / "second.slam3r").write_text("words")
    assert main([command, str(tmp_path)]) == 1
    assert "found second.slam3r, words.slam3r" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["film", "x", "--size", "1921x1080"], "even numbers"),
        (["film", "x", "--size", "big"], "expected WIDTHxHEIGHT"),
        (["film", "x", "--fps", "0"], "above 0"),
        (["export", "x", "--max-points", "0"], "whole number above 0"),
        (["export", "x", "--confidence", "-1"], "not below 0"),
        (["export", "x", "--format", "obj"], "invalid choice"),
    ],
)
def test_wrong_options_are_named(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert reason in capsys.readouterr().err


def test_a_film_has_the_size_and_the_length_asked_for(folder: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    out = tmp_path / "new" / "map.mp4"
    words = ["--out", str(out), "--size", "320x180", "--fps", "5", "--seconds", "1", "--view", "orbit"]
    assert main(["film", str(folder), *words]) == 0
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.frames, stream.average_rate) == (320, 180, 5, 5)


@pytest.mark.usefixtures("default_signals")
def test_after_ctrl_c_the_film_can_be_played(folder: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    out = tmp_path / "map.mp4"
    command = [sys.executable, "-m", "slam3r_ros.cli.main", "film", str(folder), "--out", str(out)]
    process = subprocess.Popen([*command, "--size", "640x360", "--seconds", "60"], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while not any(path.stat().st_size for path in tmp_path.glob(".*.partial.mp4")):
            assert time.monotonic() < end and process.poll() is None, "nothing is written"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    finally:
        process.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["map.mp4"]
    with av.open(str(out)) as container:
        assert 0 < sum(1 for _ in container.decode(video=0)) < 1800
