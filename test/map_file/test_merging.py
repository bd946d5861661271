"""Two map files of one place become one; two of different places do not."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loop_views import plane_view
from map_file_events import STRIDE, events_of, view_of
from numpy.typing import NDArray

from slam3r_ros.cli.main import main
from slam3r_ros.engine.events import MappedPlace
from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.place import describe_place
from slam3r_ros.map_file.errors import MapFileError, MapFileInUseError
from slam3r_ros.map_file.facts import MIXED, MapFacts, StoredScale
from slam3r_ros.map_file.loading import Describe
from slam3r_ros.map_file.merging import MergedMap, merge_map_files
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.writer import MapFileWriter

SIZE = 0.5
"""Length of the second session's scene unit in scene units of the first."""
OTHER_WORLD = Sim3([SIZE], rotation_from_vector(np.array([[0.2, -0.7, 0.1]])), [[3.0, -1.0, 2.0]])
"""Takes the second session's world to that of the first."""
FACTS = MapFacts("test", "a")


def true_pose(number: int) -> Array:
    """Of the camera before the plane scene, in the world of the first session."""
    return rigid(rotation_from_vector(np.array([0.02 * number, 0, 0])), np.array([0.12 * number, 0.05, 0.03 * number]))


def write_first(path: Path) -> None:
    """A session that has seen the scene from the places 0 to 11, with a map of its own."""
    with MapFileWriter(path, FACTS) as file:
        for number in range(12):
            place = describe_place(plane_view(STRIDE * number, true_pose(number)))
            for event in events_of(number):
                file.write(event)
            file.write(MappedPlace(place, Sim3.from_pose(true_pose(number)[None])))


def write_second(path: Path, facts: MapFacts = FACTS, *, elsewhere: bool = False) -> None:
    """A session of the same scene that begins at the place 3, in a world of its own, at a scale of its own."""
    into_other = OTHER_WORLD.inverse()
    with MapFileWriter(path, facts) as file:
        for number in range(8):
            T = into_other.apply_to_pose(true_pose(number + 3)[None])[0]
            view = plane_view(STRIDE * number, true_pose(number + 3), length=1 / SIZE, T_believed=T)
            if elsewhere:
                noise = np.random.default_rng(number).integers(0, 255, view.image.grey.shape).astype(np.uint8)
                view = replace(view, image=replace(view.image, grey=noise))
            for event in events_of(number):
                file.write(event)
            if number == 7:  # with dense depth
                file.write(replace(view_of(number), added=view_of(number).points()))
            file.write(MappedPlace(describe_place(view), Sim3.from_pose(T[None])))


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sessions")
    write_first(folder / "a.slam3r")
    write_second(folder / "b.slam3r")
    return folder


@pytest.fixture
def folder(sessions: Path, tmp_path: Path) -> Path:
    """A folder with both sessions."""
    return Path(shutil.copytree(sessions, tmp_path / "maps"))


def merge(folder: Path) -> MergedMap:
    def refuse(weights: str) -> object:
        raise AssertionError("the weights are the same")

    return merge_map_files(folder / "a.slam3r", folder / "b.slam3r", folder / "c.slam3r", refuse)  # type: ignore[arg-type]


def test_two_sessions_become_one_at_the_scale_of_the_first(folder: Path) -> None:
    before = [(folder / name).read_bytes() for name in ("a.slam3r", "b.slam3r")]
    merged = merge(folder)
    assert merged.keyframe_counts == (12, 8) and merged.loop_count >= 2
    assert merged.scale == pytest.approx(SIZE, rel=0.05)
    assert before == [(folder / name).read_bytes() for name in ("a.slam3r", "b.slam3r")]
    with MapFile(folder / "c.slam3r") as file, MapFile(folder / "a.slam3r") as one:
        scene = file.reconstruction()
        assert [view.id for view in scene.keyframes] == list(range(20)) and len(scene.trajectory) == 20 * STRIDE
        np.testing.assert_allclose(scene.keyframes[5].T_world_camera, view_of(5).T_world_camera, atol=0.02)
        added = OTHER_WORLD.apply_to_pose(view_of(4).T_world_camera[None])[0]
        np.testing.assert_allclose(scene.keyframes[16].T_world_camera, added, atol=0.1)
        depth = np.nanmedian(scene.keyframes[16].depth) / np.nanmedian(view_of(4).depth)
        assert depth == pytest.approx(SIZE, rel=0.05)
        np.testing.assert_array_equal(scene.keyframes[16].image.shape, view_of(4).image.shape)
        assert len(scene.points) > len(one.points()) and scene.loops
        ((frame, dense),) = file._points_of_keyframes()
        assert frame == scene.keyframes[19].index and len(dense) == len(view_of(7).points())
        np.testing.assert_allclose(dense.points_world, scene.keyframes[19].points().points_world)
        places, nodes = file.places(100)
        assert len(places) == 20 and file.meta()["closed"] is True and file.meta()["unjoined_from"] is None
        np.testing.assert_allclose(nodes.translation[12:], [true_pose(n)[:3, 3] for n in range(3, 11)], atol=0.1)
        assert file.next_frame() == 20 * STRIDE


def test_what_shows_no_place_in_common_is_not_merged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "b.slam3r").unlink()
    write_second(folder / "b.slam3r", elsewhere=True)
    one, other, out = (str(folder / name) for name in ("a.slam3r", "b.slam3r", "c.slam3r"))
    assert main(["merge", one, other, "--out", out]) == 1
    said = capsys.readouterr()
    assert said.err == f"slam3r_ros merge: '{one}' and '{other}' show no place in common: nothing is written\n"
    assert said.out == "" and sorted(os.listdir(folder)) == ["a.slam3r", "b.slam3r"]


def test_the_command_says_what_has_become_of_the_two(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other, out = (str(folder / name) for name in ("a.slam3r", "b.slam3r", "c.slam3r"))
    assert main(["merge", one, other, "--out", out]) == 0
    assert capsys.readouterr().out.startswith(f"12 and 8 keyframes in {out}, joined by ")
    assert main(["merge", one, str(folder / "d.slam3r"), "--out", out]) == 1
    assert capsys.readouterr().err == f"slam3r_ros merge: there is no '{folder / 'd.slam3r'}'\n"
    assert main(["merge", one, other, "--out", str(folder / "c.ply")]) == 2
    assert "the name of a map file ends with .slam3r" in capsys.readouterr().err


@pytest.mark.parametrize(("metres", "expected"), [((2.0, 0.0), 2.0), ((0.0, 3.0), 3.0 / SIZE), ((2.0, 3.0), 2.0)])
def test_the_scale_of_either_is_that_of_both(folder: Path, metres: tuple[float, float], expected: float) -> None:
    for name, value in zip(("a.slam3r", "b.slam3r"), metres, strict=True):
        with MapFileWriter(folder / name, FACTS, continues=True) as file:
            file.set_scale(StoredScale(value, "odometry" if value else "none", 0.01))
    merge(folder)
    with MapFile(folder / "c.slam3r") as file:
        assert file.scale().metres_per_unit == pytest.approx(expected, rel=0.05)


def test_a_session_that_was_not_localized_stays_out(folder: Path) -> None:
    with MapFileWriter(folder / "a.slam3r", FACTS, continues=True) as file:
        for event in events_of(12):
            file.write(event)
        file.checkpoint().result(10)
        merge(folder)
    with MapFile(folder / "c.slam3r") as merged:
        assert len(merged.keyframe_ids()) == 20


def test_places_of_other_weights_are_described_anew(folder: Path) -> None:
    (folder / "b.slam3r").unlink()
    write_second(folder / "b.slam3r", MapFacts("other", "b"))
    described: list[tuple[str, float]] = []

    def describe_with(weights: str) -> Describe:
        def describe(image: NDArray[np.uint8]) -> NDArray[np.float32]:
            described.append((weights, float(image.mean())))
            return np.full(4, image.mean(), np.float32)

        return describe

    merged = merge_map_files(folder / "a.slam3r", folder / "b.slam3r", folder / "c.slam3r", describe_with)
    assert merged.scale == pytest.approx(SIZE, rel=0.05)
    assert {weights for weights, _ in described} == {"test"} and len(described) == 20
    with MapFile(folder / "c.slam3r") as file:  # so that whoever loads it describes them anew, too
        assert file.facts().weights == "test" and file.facts().weights_hash == MIXED


def test_a_file_that_is_being_written_is_not_replaced(folder: Path) -> None:
    with MapFileWriter(folder / "c.slam3r", MapFacts()), pytest.raises(MapFileInUseError):
        merge(folder)
    with pytest.raises(MapFileError, match="there is no file"):
        merge_map_files(folder / "a.slam3r", folder / "d.slam3r", folder / "c.slam3r", merge)  # type: ignore[arg-type]


def test_merging_moves_the_frames_before_the_first_place_with_it(folder: Path) -> None:
    merge(folder)
    with MapFile(folder / "c.slam3r") as file:
        frames, _, poses = file.poses()
        assert frames.tolist() == list(range(20 * STRIDE))
        second = OTHER_WORLD.apply_to_pose(view_of(0).T_world_camera[None])[0]
        np.testing.assert_allclose(poses[12 * STRIDE], second, atol=0.1)
