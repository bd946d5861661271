"""Writing a map file while the map grows, and reading it again: values, order, corrections, and what may go wrong."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from map_file_events import STRIDE, correction_at, events_of, pose_of, view_of

from slam3r_ros.io.files import OutputError
from slam3r_ros.map_file import connection, open_file, writer
from slam3r_ros.map_file.errors import MapFileError, MapFileInUseError
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.schema import VERSION
from slam3r_ros.map_file.writer import MapFileWriter

FACTS = MapFacts("test", "abc", {"map.voxel_size": 0.01})
NO_PRIVILEGES = pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")


def write(path: Path, keyframes: int, facts: MapFacts = FACTS) -> None:
    with MapFileWriter(path, facts) as map_file:
        for number in range(keyframes):
            for event in events_of(number):
                map_file.write(event)


def count_of(path: Path) -> int:
    with MapFile(path) as file:
        return len(file.keyframe_ids())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    with MapFileWriter(path, FACTS) as map_file:
        for number in range(5):
            for event in events_of(number):
                map_file.write(event)
        map_file.set_scale(StoredScale(2.5, "odometry", 0.02))
        written = map_file.close()
    assert written is not None and (written.path, written.keyframe_count) == (path, 5)
    assert os.listdir(tmp_path) == ["room.slam3r"]
    with MapFile(path) as file:
        scene = file.reconstruction()
        assert file.facts() == FACTS and file.scale() == StoredScale(2.5, "odometry", 0.02)
        assert file.meta()["closed"] is True and scene.metres_per_unit == 2.5
        assert [view.id for view in scene.keyframes] == [0, 1, 2, 3, 4]
        assert [view.id for view in scene.keyframes[1:3]] == [1, 2]
        view, expected = scene.keyframes[3], view_of(3)
        assert (view.index, view.header, view.camera) == (expected.index, expected.header, expected.camera)
        np.testing.assert_array_equal(view.T_world_camera, expected.T_world_camera)
        np.testing.assert_allclose(view.depth, expected.depth, rtol=3e-4)
        np.testing.assert_allclose(view.confidence, expected.confidence, rtol=0.11)
        assert np.abs(view.image.astype(int) - expected.image).mean() < 5
        assert [pose.stamp_ns for pose in scene.trajectory] == [
            1_000_000_000 + frame * 33_333_333 for frame in range(5 * STRIDE)
        ]
        for frame, pose in enumerate(scene.trajectory):
            np.testing.assert_array_equal(pose.T_world_camera, pose_of(frame).T_world_camera)
        first = expected.points(4.0).points_world[::7]
        nearest = np.abs(scene.points.points_world[:, None] - first[None, ::9]).max(axis=2).min(axis=0)
        assert nearest.max() < 0.02 and len(scene.points) > 100


def test_a_closed_loop_moves_everything_in_the_file(tmp_path: Path) -> None:
    path, correction = tmp_path / "room.slam3r", correction_at(4)
    with MapFileWriter(path, FACTS) as map_file:
        for number in range(4):
            for event in events_of(number):
                map_file.write(event)
        map_file.write(correction)
        for event in events_of(4):  # of the world after the correction
            map_file.write(event)
    with MapFile(path) as file:
        scene = file.reconstruction()
        for number, view in enumerate(scene.keyframes):
            expected = view_of(number).corrected(correction) if number < 4 else view_of(number)
            np.testing.assert_allclose(view.T_world_camera, expected.T_world_camera, atol=1e-12)
            np.testing.assert_allclose(view.depth, expected.depth, rtol=3e-4)
        frames = np.arange(4 * STRIDE)
        poses = correction.of_poses(frames, np.stack([pose_of(frame).T_world_camera for frame in frames]))
        stored = np.stack([pose.T_world_camera for pose in scene.trajectory])
        np.testing.assert_allclose(stored[: 4 * STRIDE], poses, atol=1e-12)
        np.testing.assert_array_equal(stored[-1], pose_of(5 * STRIDE - 1).T_world_camera)
        assert scene.loops == ((0, 3),)
        moved = correction.of_points(np.array([9]), view_of(3).points(4.0).points_world[::7][None])[0]
        nearest = np.abs(scene.points.points_world[:, None] - moved[None, ::9]).max(axis=2).min(axis=0)
        assert nearest.max() < 0.02


def test_a_later_view_replaces_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    with MapFileWriter(path, FACTS) as map_file:
        for number in (0, 1):
            map_file.write(view_of(number))
        map_file.write(view_of(0, (96, 128)))
    with MapFile(path) as file:
        assert [view.depth.shape for view in file.reconstruction().keyframes] == [(96, 128), (48, 64)]


def test_the_points_of_a_dense_view_replace_those_of_the_networks(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    with MapFileWriter(path, FACTS) as map_file:
        map_file.set_voxel_size(0.5)
        for number in range(3):
            for event in events_of(number):
                map_file.write(event)
        dense = view_of(1)
        map_file.write(replace(dense, added=dense.points(5.5)))
        map_file.write(correction_at(3))
    with MapFile(path) as file:
        counts = dict(file.rows("SELECT frame, count FROM points"))
        assert sorted(counts) == [0, 2 * STRIDE] and counts[0] > 3
        ((number, count),) = file.rows("SELECT id, count FROM map_pixels")
        expected = dense.points(5.5)
        assert (number, count) == (1, len(expected)) and 100 < count < dense.depth.size / 3
        ((frame, points),) = file._points_of_keyframes()
        moved = correction_at(3).of_points(np.full(count, STRIDE), expected.points_world)
        assert frame == STRIDE
        np.testing.assert_allclose(points.points_world, moved, rtol=1e-3, atol=1e-3)
        assert np.abs(points.colours.astype(int) - expected.colours).mean() < 8
        np.testing.assert_allclose(points.confidence, expected.confidence, rtol=0.11)
        assert file.point_map().voxel_size == 0.5


def test_a_file_is_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    with MapFileWriter(path, FACTS) as map_file:
        for number in range(6):
            for event in events_of(number):
                map_file.write(event)
            map_file.checkpoint().result(60)
            with MapFile(path) as file:
                assert file.keyframe_ids() == list(range(number + 1)) and file.meta()["closed"] is False


def test_nothing_mapped_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "room.slam3r"
    with MapFileWriter(path, FACTS) as map_file:
        assert map_file.checkpoint().result(60) is None
        assert map_file.close() is None
    assert not path.exists()


def test_a_good_file_is_set_aside_by_the_first_keyframe_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    write(path, 3)
    said: list[str] = []
    with MapFileWriter(path, FACTS, said.append) as map_file:
        map_file.checkpoint().result(60)
        assert count_of(path) == 3 and said == []
        map_file.write(view_of(0))
        map_file.checkpoint().result(60)
        assert said == [f"the map of before is kept as '{tmp_path / 'room.1.slam3r'}'"]
    assert count_of(path) == 1 and count_of(tmp_path / "room.1.slam3r") == 3


def test_the_file_of_before_goes_when_a_whole_new_one_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    write(path, 3)
    with MapFileWriter(path, FACTS) as map_file:
        assert map_file.close(replaces=True) is None  # nothing was mapped
    assert count_of(path) == 3
    with MapFileWriter(path, FACTS) as map_file:
        map_file.write(view_of(0))
        map_file.close(replaces=True)
    assert count_of(path) == 1 and os.listdir(tmp_path) == ["room.slam3r"]


def test_a_new_map_begins_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    with MapFileWriter(path, FACTS) as map_file:
        for keyframes in (4, 2):
            for number in range(keyframes):
                map_file.write(view_of(number))
            map_file.start_anew()
    assert count_of(path) == 2 and count_of(tmp_path / "room.1.slam3r") == 4


def test_a_copy_is_complete_and_the_file_goes_on(tmp_path: Path) -> None:
    path, copy = tmp_path / "room.slam3r", tmp_path / "copies" / "now.slam3r"
    with MapFileWriter(path, FACTS) as map_file:
        map_file.write(view_of(0))
        written = map_file.checkpoint(copy).result(60)
        assert written is not None and (written.path, written.keyframe_count) == (copy, 1)
        map_file.write(view_of(1))
    assert count_of(copy) == 1 and count_of(path) == 2 and os.listdir(copy.parent) == ["now.slam3r"]
    with MapFile(copy) as file:
        assert file.meta()["closed"] is True


def test_two_writers_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    with MapFileWriter(path, FACTS) as map_file:
        with pytest.raises(MapFileInUseError, match="is being written by another process: end that one"):
            MapFileWriter(path, FACTS)
        map_file.write(view_of(0))
        map_file.checkpoint().result(60)
        with MapFileWriter(tmp_path / "other.slam3r", FACTS) as other:
            other.write(view_of(0))
            with pytest.raises(MapFileInUseError, match="is being written"):
                other.checkpoint(path).result(60)
    MapFileWriter(path, FACTS).close()
    assert count_of(path) == 1


def test_a_file_that_is_moved_away_is_complete_and_the_map_goes_on(tmp_path: Path) -> None:
    path, away = tmp_path / "room.slam3r", tmp_path / "away.slam3r"
    said: list[str] = []
    with MapFileWriter(path, FACTS, said.append) as map_file:
        for number in range(3):
            map_file.write(view_of(number))
        map_file.checkpoint().result(60)
        path.rename(away)
        map_file.write(view_of(3))
        map_file.checkpoint().result(60)
        path.unlink()
        map_file.write(view_of(4))
        map_file.checkpoint().result(60)
    assert len(said) == 2 and "was moved away or removed: the whole map goes on in" in said[0]
    assert count_of(away) == 3 and count_of(path) == 5
    assert {"away.slam3r", "room.slam3r"} == {name for name in os.listdir(tmp_path) if name.endswith(".slam3r")}


def test_another_file_in_the_place_of_the_open_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    with MapFileWriter(path, FACTS) as map_file:
        map_file.write(view_of(0))
        map_file.checkpoint().result(60)
        path.unlink()
        path.write_bytes(b"something else")
        map_file.write(view_of(1))
        written = map_file.close()
    assert written is not None and written.path == tmp_path / "room.1.slam3r"
    assert path.read_bytes() == b"something else" and count_of(written.path) == 2


def test_while_the_disk_refuses_everything_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, said = tmp_path / "room.slam3r", list[str]()

    def refuse(path: Path) -> sqlite3.Connection:
        raise OutputError(f"cannot write '{path}': disk full")

    tuning = writer.WriterTuning(retry_s=0.02, poses_wait_s=0.02, most_waiting_keyframes=4)
    monkeypatch.setattr(writer, "TUNING", tuning)
    monkeypatch.setattr(open_file, "open_to_write", refuse)
    with MapFileWriter(path, FACTS, said.append) as map_file:
        for number in range(6):
            for event in events_of(number):
                map_file.write(event)
        with pytest.raises(OutputError, match="disk full"):
            map_file.checkpoint().result(60)
        assert "disk full" in map_file.problem
        for _ in range(6000):
            if map_file.keyframes_left_out:
                break
            map_file._thread.join(0.01)
        monkeypatch.setattr(open_file, "open_to_write", connection.open_to_write)
        map_file.write(view_of(6))
        for _ in range(6000):
            if not map_file.problem:
                break
            map_file._thread.join(0.01)
        assert map_file.problem == "" and map_file.keyframes_left_out in (2, 3)
        map_file.checkpoint().result(60)
        with MapFile(path) as file:
            assert set(file.keyframe_ids()) >= {4, 5, 6} and len(file.keyframe_ids()) == 7 - map_file.keyframes_left_out
            assert len(file.trajectory()) == 6 * STRIDE
    assert len(said) == 1


@NO_PRIVILEGES
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot write into the folder"):
        MapFileWriter(tmp_path / "room.slam3r", FACTS)
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("room.ply", "the name of a map file ends with .slam3r"), ("~nobody_there/room.slam3r", "cannot write")],
)
def test_names_that_are_no_map_files(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(OutputError, match=reason):
        MapFileWriter(Path(name), FACTS)
    (tmp_path / "folder.slam3r").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        MapFileWriter(tmp_path / "folder.slam3r", FACTS)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    with pytest.raises(MapFileError, match="there is no file"):
        MapFile(path)
    path.write_bytes(b"")
    with pytest.raises(MapFileError, match="is empty"):
        MapFile(path)
    path.write_bytes(b"text" * 1000)
    with pytest.raises(MapFileError, match="is no map file of slam3r_ros"):
        MapFile(path)
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE meta (name TEXT)")
    other.close()
    with pytest.raises(MapFileError, match="is an SQLite database but no map file"):
        MapFile(path)


def test_a_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    write(path, 1)
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {VERSION + 1}")
    newer.close()
    with pytest.raises(MapFileError, match=rf"has version {VERSION + 1} of the map file's schema.*use a newer"):
        MapFile(path)
