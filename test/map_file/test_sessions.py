"""Several sessions in one map file: places to be recognised by, sessions that join, and those that do not."""

from __future__ import annotations

import sqlite3
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from loop_views import plane_view
from map_file_events import STRIDE, events_of, view_of

from slam3r_ros.engine.events import MappedPlace, Update
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.se3 import rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.place import Place, describe_place
from slam3r_ros.map_file import schema
from slam3r_ros.map_file.codecs import decode_place, encode_place
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.map_file.facts import MIXED, MapFacts
from slam3r_ros.map_file.loading import load_map, read_loaded_map
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.writer import MapFileWriter
from slam3r_ros.networks.weights import Networks

CHANGE = Sim3([1.5], rotation_from_vector(np.array([[0.1, 0.4, 0.0]])), [[3.0, 1.0, -2.0]])


def place_event(number: int) -> MappedPlace:
    T = np.eye(4)
    T[0, 3] = 0.1 * number
    place = describe_place(plane_view(STRIDE * number, T))
    return MappedPlace(place, Sim3.from_pose(place.T_world_camera[None]))


def write(path: Path, numbers: range, *, continues: bool = False, last: MapCorrection | None = None) -> list[str]:
    """Write these keyframes, each with a place, and then a correction; what the writer says."""
    said: list[str] = []
    with MapFileWriter(path, MapFacts("test"), said.append, continues=continues) as map_file:
        for number in numbers:
            events: list[Update] = [*events_of(number), place_event(number)]
            for event in events:
                map_file.write(event)
        if last is not None:
            map_file.write(last)
    return said


def joining(first: int) -> MapCorrection:
    """What takes the frames from those of a keyframe on into the world of the earlier ones."""
    changes = Sim3.concatenate([Sim3.from_pose(np.eye(4)[None]), CHANGE])
    return MapCorrection(np.array([0, STRIDE * first]), changes, joins=True)


def equal(one: Place, other: Place) -> None:
    for each in fields(Place):
        if each.name == "features":
            np.testing.assert_array_equal(one.features.pixels, other.features.pixels)
            np.testing.assert_array_equal(one.features.descriptors, other.features.descriptors)
        else:
            np.testing.assert_array_equal(getattr(one, each.name), getattr(other, each.name))


def test_a_place_comes_back_as_it_was() -> None:
    place = place_event(3).place
    data = encode_place(place)
    equal(decode_place(data, place.index), place)
    assert len(data) < 90_000


def test_a_keyframe_with_two_views_makes_room_for_no_more_places_than_one_with_one(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    with MapFileWriter(path, MapFacts("test")) as map_file:
        for event in (view_of(0), view_of(0), *(place_event(number) for number in range(5))):
            map_file.write(event)
    with MapFile(path) as file:
        assert [place.index for place in file.places(10)[0]] == [0]


def test_a_session_that_is_joined_extends_the_map(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    write(path, range(4))
    assert write(path, range(4, 7), continues=True, last=joining(4)) == []
    with MapFile(path) as file:
        scene = file.reconstruction()
        assert [view.id for view in scene.keyframes] == list(range(7)) and len(scene.trajectory) == 7 * STRIDE
        np.testing.assert_array_equal(scene.keyframes[3].T_world_camera, view_of(3).T_world_camera)
        moved = CHANGE.apply_to_pose(view_of(5).T_world_camera[None])[0]
        np.testing.assert_allclose(scene.keyframes[5].T_world_camera, moved, atol=1e-12)
        places, nodes = file.places(100)
        assert [place.index for place in places] == [STRIDE * number for number in range(7)]
        np.testing.assert_allclose(nodes.scale, [1, 1, 1, 1, 1.5, 1.5, 1.5])
        equal(places[5], place_event(5).place)
        assert [place.index for place in file.places(4)[0]] == [0, 2 * STRIDE, 4 * STRIDE, 6 * STRIDE]


def test_a_session_that_is_not_joined_does_not_count_and_becomes_a_file_of_its_own(tmp_path: Path) -> None:
    path, apart = tmp_path / "room.slam3r", tmp_path / "room.1.slam3r"
    write(path, range(4))
    with MapFileWriter(path, MapFacts("test"), continues=True) as map_file:
        for event in events_of(4):
            map_file.write(event)
        map_file.checkpoint().result(60)
        with MapFile(path) as file:
            assert file.keyframe_ids() == [0, 1, 2, 3] and len(file.trajectory()) == 4 * STRIDE
            assert file.next_frame() == 5 * STRIDE
    with MapFile(path) as file, MapFile(apart) as other:
        assert file.keyframe_ids() == [0, 1, 2, 3] and file.next_frame() == 4 * STRIDE
        assert len(file.places(10)[0]) == 4 and len(file.points()) > 100
        assert other.keyframe_ids() == [4] and len(other.trajectory()) == STRIDE and len(other.points()) > 10
        assert other.meta()["unjoined_from"] is None and other.meta()["closed"] is True


def test_a_killed_session_that_was_not_joined_is_kept_apart_by_the_next_one(tmp_path: Path) -> None:
    path, copy = tmp_path / "room.slam3r", tmp_path / "copy.slam3r"
    write(path, range(2))
    with MapFileWriter(path, MapFacts("test"), continues=True) as map_file:
        map_file.write(view_of(2))
        map_file.checkpoint(copy).result(60)  # as the file is when the process is killed now
    said = write(copy, range(3, 5), continues=True, last=joining(3))
    assert said == [f"a session that was not localized in '{copy}' is kept by itself as '{tmp_path / 'copy.1.slam3r'}'"]
    with MapFile(copy) as file, MapFile(tmp_path / "copy.1.slam3r") as apart:
        assert file.keyframe_ids() == [0, 1, 3, 4] and apart.keyframe_ids() == [2]


def test_a_file_that_is_gone_on_in_with_other_weights_says_so(tmp_path: Path) -> None:
    """Else its places would be compared with descriptors that other weights have made."""
    path = tmp_path / "room.slam3r"
    for facts, expected in (
        (MapFacts("one", "a"), "a"),
        (MapFacts("one", "a", {"map.voxel_size": 0.5}), "a"),
        (MapFacts("other", "b"), MIXED),
        (MapFacts("other", "b"), MIXED),
    ):
        with MapFileWriter(path, facts, continues=path.exists()) as map_file:
            map_file.write(view_of(0))
        with MapFile(path) as file:
            assert (file.facts().weights, file.facts().weights_hash) == (facts.weights, expected)
            assert file.facts().settings == facts.settings


def test_nothing_to_go_on_from(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    with pytest.raises(MapFileError, match="there is nothing to go on from"):
        MapFileWriter(path, MapFacts(), continues=True)
    path.write_text("something else, which is longer than the header of a database " * 9)
    with pytest.raises(MapFileError, match="is no map file"):
        MapFileWriter(path, MapFacts(), continues=True)
    assert path.read_text().startswith("something else")


def test_an_older_file_is_read_as_it_is_and_migrated_with_a_copy_when_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    write(path, range(3))
    database = sqlite3.connect(path)
    database.executescript("DROP TABLE places; DROP TABLE place_data; DROP TABLE map_pixels; PRAGMA user_version = 1;")
    database.close()
    before = path.read_bytes()
    with MapFile(path) as file:
        assert file.keyframe_ids() == [0, 1, 2] and file.places(10)[0] == ()
    assert path.read_bytes() == before
    write(path, range(3, 4), continues=True, last=joining(3))
    with MapFile(path) as file:
        assert file.keyframe_ids() == [0, 1, 2, 3] and len(file.places(10)[0]) == 1
        assert file.rows("PRAGMA user_version") == [(schema.VERSION,)]
    older = sqlite3.connect(tmp_path / "room.v1.slam3r")
    assert older.execute("PRAGMA user_version").fetchone() == (1,)
    assert older.execute("SELECT COUNT(*) FROM keyframes").fetchone() == (3,)
    older.close()


def test_what_the_engine_takes_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    write(path, range(4))
    with MapFile(path) as file:
        loaded = read_loaded_map(file, 300, None, True)
        assert (loaded.next_frame, loaded.next_view, loaded.extends) == (4 * STRIDE, 4, True)
        assert loaded.frames.tolist() == list(range(4 * STRIDE)) and loaded.poses.shape == (4 * STRIDE, 4, 4)
        assert set(loaded.point_frames.tolist()) <= {STRIDE * number for number in range(4)}
        assert [record.index for record in loaded.records] == [0, 3, 6, 9]
        described = read_loaded_map(file, 300, lambda image: image[0, 0].astype(np.float32), True)
        pixel = file.keyframe(2).image[0, 0]
        np.testing.assert_array_equal(described.places[2].descriptor, pixel)


def test_an_engine_that_closes_no_loops_says_why_it_cannot_go_on(tiny_networks: Networks, tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    write(path, range(2))
    slam = Slam(tiny_networks)
    with pytest.raises(MapFileError, match=r"cannot go on in '.*room.slam3r'.*pose.tracks: on and loops.close: true"):
        load_map(slam, MapFacts(), path, extends=True)
    assert slam.is_localized
