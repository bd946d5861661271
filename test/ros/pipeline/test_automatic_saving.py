"""Maps that nobody asked to save: at the end of the node, and before a jump of time."""

from __future__ import annotations

from pathlib import Path

import pytest
from rclpy.context import Context
from rclpy.logging import get_logger
from ros_harness import FIRST_NS, PERIOD_NS, running_node, wait_until

from slam3r_ros.io.files import OutputError
from slam3r_ros.io.ply import read_ply
from slam3r_ros.io.save import NothingMappedError, SavedMap
from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.ros.pipeline.automatic_saving import AutomaticSaving
from slam3r_ros.ros.throttled_log import ThrottledLog

LOG = ThrottledLog(get_logger("test"), lambda: 0)


def saved(path: str) -> SavedMap:
    Path(path).write_text("map")
    return SavedMap(Path(path), Path(path).with_suffix(".tum"), 1, 1)


def test_maps_that_jumps_end_get_numbers_and_the_last_nine_stay(tmp_path: Path) -> None:
    saving = AutomaticSaving(str(tmp_path / "room.pcd"), LOG)
    for _ in range(11):
        saving.before_jump(saved)
    saving.at_exit(saved)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"room.pcd", *(f"room-{number}.pcd" for number in range(1, 10))}
    assert saving.failure == ""


def test_nothing_mapped_takes_no_number_and_is_no_failure(tmp_path: Path) -> None:
    def empty(path: str) -> SavedMap:
        raise NothingMappedError("nothing is mapped")

    saving = AutomaticSaving(str(tmp_path), LOG)
    saving.before_jump(empty)
    saving.before_jump(saved)
    saving.at_exit(empty)
    assert [path.name for path in tmp_path.iterdir()] == ["map-1.ply"]
    assert saving.failure == ""


def test_without_a_path_nothing_is_saved() -> None:
    saving = AutomaticSaving("", LOG)
    saving.before_jump(lambda _: pytest.fail("saved"))
    saving.at_exit(lambda _: pytest.fail("saved"))


def test_a_failure_at_the_end_is_kept_and_one_before_a_jump_is_not(tmp_path: Path) -> None:
    def full(path: str) -> SavedMap:
        raise OutputError("No space left on device")

    saving = AutomaticSaving(str(tmp_path / "room.ply"), LOG)
    saving.before_jump(full)
    assert saving.failure == "" and "map not saved: No space left on device" in LOG.newest.text
    saving.at_exit(full)
    assert saving.failure == "map not saved: No space left on device"


def test_the_node_saves_the_map_that_a_jump_of_time_ends(context: Context, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "room.ply"
    with running_node(context, weights, save_on_exit=str(path), image_queue=50) as bench:
        bench.wait_for_connection()
        first = bench.camera.send_images(6)
        bench.wait_for_handled(6)
        second = bench.camera.send_images(7, FIRST_NS - 1000 * PERIOD_NS)
        bench.wait_for_handled(13)
        wait_until(lambda: bench.status.map_points > 0, "a new map")
    stamps = [pose.stamp_ns for pose in read_trajectory(tmp_path / "room-1.tum")]
    assert stamps == first and len(read_ply(tmp_path / "room-1.ply")) > 0
    assert [pose.stamp_ns for pose in read_trajectory(tmp_path / "room.tum")] == second


@pytest.mark.parametrize("is_good", [True, False])
def test_a_map_that_could_not_be_saved_makes_the_end_a_failure(
    context: Context, weights: Path, tmp_path: Path, is_good: bool
) -> None:
    with running_node(context, weights, save_on_exit=str(tmp_path / "maps" / "room.ply"), image_queue=20) as bench:
        bench.wait_for_connection()
        bench.camera.send_images(6)
        bench.wait_for_handled(6)
        if not is_good:
            (tmp_path / "maps").touch()  # a file, where a folder was to be made
    assert bench.node.shut_down() is is_good


@pytest.mark.parametrize("path", ["file/new/room.ply", "file", "room.las"])
def test_a_path_that_cannot_be_written_is_refused_before_anything_is_mapped(
    context: Context, weights: Path, tmp_path: Path, path: str
) -> None:
    (tmp_path / "file").touch()
    with running_node(context, weights, save_on_exit=str(tmp_path / path)) as bench:
        assert bench.node.problem.startswith("not configured: save_on_exit: cannot ")
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
