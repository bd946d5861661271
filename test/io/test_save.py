"""Where maps are saved, and that nothing ever takes the place of something."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slam3r_ros.io import files
from slam3r_ros.io.files import OutputError
from slam3r_ros.io.ply import read_ply
from slam3r_ros.io.save import NothingMappedError, map_files, prepare_map_files, save_map
from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.types import MapPoints, StampedPose


def slam(count: int) -> Any:
    """What `save_map` asks an engine for: so many points, and as many poses."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (count, 3), np.uint8)
    points = MapPoints(rng.normal(size=(count, 3)).astype(np.float32), colours, np.ones(count, np.float32))
    return SimpleNamespace(
        map_points=lambda: points, trajectory=lambda: [StampedPose(index, np.eye(4)) for index in range(count)]
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("out", ("out/map.ply", "out/trajectory.tum")),
        ("out.v2", ("out.v2/map.ply", "out.v2/trajectory.tum")),
        ("x.ply", ("x.ply", "x.tum")),
        ("a/x.PLY", ("a/x.PLY", "a/x.tum")),
        ("x.1.pcd", ("x.1.pcd", "x.1.tum")),
        ("x.slam3r", ("x.ply", "x.tum")),
    ],
)
def test_files(tmp_path: Path, path: str, expected: tuple[str, str]) -> None:
    assert map_files(tmp_path / path) == (tmp_path / expected[0], tmp_path / expected[1])
    saved = save_map(slam(5), tmp_path / path)
    assert (saved.map_path, saved.trajectory_path) == map_files(tmp_path / path)
    assert (saved.point_count, saved.pose_count, len(read_trajectory(saved.trajectory_path))) == (5, 5, 5)


def test_folder_that_looks_like_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.ply").mkdir()
    assert map_files(tmp_path / "x.ply")[0] == tmp_path / "x.ply" / "map.ply"


@pytest.mark.parametrize("name", ["x.las", "x.XYZ", "x.tum"])
def test_format_that_is_not_written_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"a map is saved as .ply, .pcd or .slam3r, or into a folder"):
        save_map(slam(5), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_pcd_is_what_other_programs_expect(tmp_path: Path) -> None:
    points = slam(3).map_points()
    save_map(slam(3), tmp_path / "map.pcd", metres_per_unit=2.0)
    header, data = (tmp_path / "map.pcd").read_bytes().split(b"DATA binary\n")
    lines = header.decode().splitlines()
    assert {"FIELDS x y z rgb confidence", "TYPE F F F F F", "WIDTH 3", "HEIGHT 1", "POINTS 3"} <= set(lines)
    rows = np.frombuffer(data, "<f4").reshape(3, 5)
    assert np.allclose(rows[:, 0], 2 * points.points_world[:, 2])
    assert np.frombuffer(data, "u1").reshape(3, 20)[:, [14, 13, 12]].tolist() == points.colours.tolist()


@pytest.mark.parametrize("name", ["", "x.ply", "x.pcd"])
def test_nothing_mapped_replaces_nothing_saved(tmp_path: Path, name: str) -> None:
    with pytest.raises(NothingMappedError, match="nothing is mapped: .* is not written"):
        save_map(slam(0), tmp_path / "new" / name)
    assert list(tmp_path.iterdir()) == []
    save_map(slam(4), tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(NothingMappedError, match="stays as it is"):
        save_map(slam(0), tmp_path / name)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("failing", [0, 1])
def test_disk_that_is_full_leaves_the_earlier_pair(
    tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_map(slam(4), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    synced: list[int] = []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == failing + 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write '.*map.ply' and '.*trajectory.tum': No space left"):
        save_map(slam(9), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_link_is_kept_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "map.ply").symlink_to(tmp_path / "disk" / "large.ply")
    save_map(slam(4), tmp_path / "map.ply")
    assert (tmp_path / "map.ply").is_symlink() and len(read_ply(tmp_path / "disk" / "large.ply")) == 4


def test_device_is_written_to_and_not_replaced() -> None:
    with files.replacing("/dev/null") as file:
        file.write(b"x")
    assert not Path("/dev/null").is_file()


def test_folder_in_the_way_is_found_before_anything_is_mapped(tmp_path: Path) -> None:
    (tmp_path / "trajectory.tum").mkdir()
    with pytest.raises(OutputError, match="trajectory.tum': it is a folder"):
        prepare_map_files(tmp_path)
