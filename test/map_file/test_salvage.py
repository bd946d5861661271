"""Damaged files: what is said of them, what can be saved, and what is named as lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from map_file_events import correction_at, events_of

from slam3r_ros.cli.main import main
from slam3r_ros.map_file.errors import DamagedMapFileError, MapFileError
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.salvage import salvage
from slam3r_ros.map_file.writer import MapFileWriter

KEYFRAMES = 30


@pytest.fixture
def room(tmp_path: Path) -> Path:
    path = tmp_path / "room.slam3r"
    with MapFileWriter(path, MapFacts("embedded", "abc")) as map_file:
        for number in range(KEYFRAMES):
            for event in events_of(number):
                map_file.write(event)
        map_file.write(correction_at(KEYFRAMES))
        map_file.set_scale(StoredScale(2.0, "known"))
    return path


def test_a_file_that_is_cut_gives_what_is_before_the_cut(room: Path, tmp_path: Path) -> None:
    data = room.read_bytes()
    room.write_bytes(data[: 2 * len(data) // 3])
    with pytest.raises(MapFileError, match=r"damaged.*info .*room.slam3r --salvage"), MapFile(room) as file:
        list(file.reconstruction().keyframes)
    result = salvage(room, tmp_path / "saved.slam3r")
    with MapFile(tmp_path / "saved.slam3r") as file:
        scene = file.reconstruction()
        assert KEYFRAMES // 3 < len(scene.keyframes) == result.saved["keyframes"] < KEYFRAMES
        assert all(view.depth.shape == (48, 64) for view in scene.keyframes)
    assert "lost of keyframe_data" in "\n".join(result.lines())


def test_a_keyframe_that_is_overwritten_is_lost_and_the_rest_is_saved(room: Path, tmp_path: Path) -> None:
    database = sqlite3.connect(room)
    database.execute("UPDATE keyframe_data SET depth = zeroblob(300) WHERE id = 7")
    database.execute("UPDATE points SET T_world = x'00' WHERE chunk = 3")
    database.commit()
    database.close()
    with MapFile(room) as file:
        assert file.keyframe(6).id == 6
        with pytest.raises(DamagedMapFileError, match="keyframe 7 cannot be read"):
            file.keyframe(7)
        with pytest.raises(DamagedMapFileError, match="points of the map cannot be read"):
            file.reconstruction()
    result = salvage(room, tmp_path / "saved.slam3r")
    with MapFile(tmp_path / "saved.slam3r") as file:
        assert [view.id for view in file.reconstruction().keyframes] == [n for n in range(KEYFRAMES) if n != 7]
        assert len(file.trajectory()) == 3 * KEYFRAMES and file.scale() == StoredScale(2.0, "known")
    assert "lost of keyframe_data: 7 (not an image)" in result.lines()


@pytest.mark.parametrize("seed", range(8))
def test_pages_full_of_noise_never_end_the_salvage(room: Path, tmp_path: Path, seed: int) -> None:
    random, data = np.random.default_rng(seed), bytearray(room.read_bytes())
    for page in random.integers(1, len(data) // 4096, 3):
        data[page * 4096 : (page + 1) * 4096] = random.bytes(4096)
    room.write_bytes(bytes(data))
    result = salvage(room, tmp_path / "saved.slam3r")
    with MapFile(tmp_path / "saved.slam3r") as file:
        scene = file.reconstruction()
        assert len(list(scene.keyframes)) == result.saved["keyframes"]
    assert sum(result.saved.values()) > KEYFRAMES and result.lost


def test_a_file_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    path, target = tmp_path / "room.slam3r", tmp_path / "saved.slam3r"
    path.write_bytes(b"SQLite format 3\0" + bytes(5000))
    with pytest.raises(MapFileError, match="nothing can be read"):
        salvage(path, target)
    assert not target.exists()


def test_the_damaged_file_itself_is_not_overwritten(room: Path) -> None:
    with pytest.raises(OSError, match="it is the damaged file itself"):
        salvage(room, room)


def test_the_command_line(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(room)]) == 0
    lines = capsys.readouterr().out.splitlines()
    words = {line[:15].strip(): line[16:] for line in lines}
    assert words["keyframes"] == "30 over 2.9 s" and words["closed cleanly"] == "yes" and words["loops"] == "1"
    assert words["images"] == "64 x 48, from a camera of 640 x 480 with camera_info"
    assert words["scale"] == "2 m per scene unit, by known" and words["weights"] == "embedded (abc)"
    assert words["trajectory"] == "90 poses" and words["schema"].startswith("version ")
    assert main(["info", str(room), "--salvage", str(tmp_path / "new.slam3r")]) == 0
    assert "saved: " in capsys.readouterr().out
    assert main(["info", str(tmp_path / "none.slam3r")]) == 1
    assert "there is no file" in capsys.readouterr().err
    assert main(["info", str(room), "--salvage", str(tmp_path / "new.ply")]) == 2
