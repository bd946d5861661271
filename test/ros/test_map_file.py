"""The map file that the node writes: over DDS, while it maps, when it is saved, reset, and ended."""

from __future__ import annotations

import os
from pathlib import Path

from map_file_events import view_of
from rclpy.context import Context
from ros_harness import Bench, running_node, wait_until
from slam3r_ros.srv import SaveMap, SetScale
from std_srvs.srv import Trigger

from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.writer import MapFileWriter


def keyframes(path: Path) -> int:
    if not path.exists() or not path.stat().st_size:
        return 0
    with MapFile(path) as file:
        return len(file.keyframe_ids())


def save(bench: Bench, path: Path) -> SaveMap.Response:
    return bench.camera.call(SaveMap, "/slam3r/save_map", SaveMap.Request(path=str(path)))


def map_images(bench: Bench, count: int, handled: int) -> None:
    bench.wait_for_connection()
    bench.camera.send_images(count)
    bench.wait_for_handled(handled)


def test_the_file_is_written_while_the_node_maps_and_completed_at_its_end(
    context: Context, weights: Path, tmp_path: Path
) -> None:
    path, copy = tmp_path / "room.slam3r", tmp_path / "copies"
    copy.mkdir()
    with running_node(context, weights, image_queue=20, map_file=str(path)) as bench:
        map_images(bench, 12, 12)
        wait_until(lambda: keyframes(path) > 2, "keyframes in the file")
        assert bench.camera.call(SetScale, "/slam3r/set_scale", SetScale.Request(metres_per_unit=2.5)).success
        saved = save(bench, copy)
        assert saved.success and saved.message.endswith(f", and the map file {copy / 'map.slam3r'}")
        assert sorted(os.listdir(copy)) == ["map.ply", "map.slam3r", "trajectory.tum"]
        with MapFile(copy / "map.slam3r") as file:
            scene = file.reconstruction()
            assert file.scale() == StoredScale(2.5, "known") and file.meta()["closed"] is True
            stamps = [pose.stamp_ns for pose in read_trajectory(copy / "trajectory.tum")]
            assert [pose.stamp_ns for pose in scene.trajectory] == stamps and len(stamps) == 12
            assert file.facts().weights == str(weights) and len(scene.keyframes) == keyframes(path)
        assert save(bench, path).success and path.with_suffix(".ply").exists()
    with MapFile(path) as file:
        assert file.meta()["closed"] is True and len(file.keyframe_ids()) > 2


def test_a_reset_keeps_the_map_of_before(context: Context, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    with running_node(context, weights, image_queue=20, map_file=str(path)) as bench:
        map_images(bench, 12, 12)
        wait_until(lambda: keyframes(path) > 2, "keyframes in the file")
        assert bench.camera.call(Trigger, "/slam3r/reset", Trigger.Request()).success
        map_images(bench, 6, 18)
        wait_until(lambda: (tmp_path / "room.1.slam3r").exists() and keyframes(path) > 0, "a new file")
    assert keyframes(tmp_path / "room.1.slam3r") > keyframes(path) > 0


def test_a_file_that_another_one_writes_keeps_the_node_from_being_configured(
    context: Context, weights: Path, tmp_path: Path
) -> None:
    path = tmp_path / "room.slam3r"
    with MapFileWriter(path, MapFacts()), running_node(context, weights, map_file=str(path)) as bench:
        assert bench.node.problem.startswith(f"not configured: '{path}' is being written by another process")


def test_what_cannot_be_gone_on_from_is_kept(context: Context, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"  # weights without visual odometry find no place again
    with MapFileWriter(path, MapFacts()) as map_file:
        map_file.write(view_of(0))
    with running_node(context, weights, image_queue=20, map_file=str(path)) as bench:
        map_images(bench, 12, 12)
        wait_until(lambda: (tmp_path / "room.1.slam3r").exists(), "the file of before")
    assert keyframes(tmp_path / "room.1.slam3r") == 1 < keyframes(path)


def test_localization_needs_a_file_that_it_can_be_localized_in(context: Context, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "room.slam3r"
    with running_node(context, weights, map_file=str(path), mode="localization") as bench:
        assert bench.node.problem == f"not configured: there is no file '{path}'"
    with MapFileWriter(path, MapFacts()) as map_file:
        map_file.write(view_of(0))
    before = path.read_bytes()
    with running_node(context, weights, map_file=str(path), mode="localization", pose__tracks="on") as bench:
        assert bench.node.problem.endswith("there are no places in the map to be localized by")
    assert path.read_bytes() == before


def test_a_map_file_cannot_be_saved_where_none_is_written(context: Context, weights: Path, tmp_path: Path) -> None:
    with running_node(context, weights, image_queue=20) as bench:
        map_images(bench, 6, 6)
        refused = save(bench, tmp_path / "room.slam3r")
        assert not refused.success and "needs the parameter map_file" in refused.message
        assert os.listdir(tmp_path) == []
