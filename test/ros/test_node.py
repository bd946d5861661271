"""The node over real DDS: what comes out for what goes in, by value."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import PoseArray, PoseStamped
from nav_msgs.msg import Path as PathMessage
from rclpy.context import Context
from ros_harness import (
    FIRST_NS,
    FRAME,
    PATIENCE_S,
    PERIOD_NS,
    Bench,
    camera_info,
    image_message,
    own_domain,
    running_node,
    wait_until,
)
from sensor_msgs.msg import CompressedImage, PointCloud2
from slam3r_ros.msg import Keyframe, SlamStatus
from slam3r_ros.srv import SaveMap
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from synthetic import textured_image
from tf2_msgs.msg import TFMessage

from slam3r_ros.io.ply import read_ply
from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.ros.quality_of_service import LATCHED

COUNT = 14


def stamp_ns(header: Header) -> int:
    return header.stamp.sec * 10**9 + header.stamp.nanosec


class Listener:
    """Everything the node publishes."""

    def __init__(self, bench: Bench) -> None:
        listen = bench.camera.listen
        self.poses: list[PoseStamped] = listen(PoseStamped, "/slam3r/pose")
        self.tf: list[TFMessage] = listen(TFMessage, "/tf")
        self.clouds: list[PointCloud2] = listen(PointCloud2, "/slam3r/cloud")
        self.map_clouds: list[PointCloud2] = listen(PointCloud2, "/slam3r/map_cloud", LATCHED)
        self.paths: list[PathMessage] = listen(PathMessage, "/slam3r/path", LATCHED)
        self.keyframe: list[Keyframe] = listen(Keyframe, "/slam3r/keyframe")
        self.keyframes: list[PoseArray] = listen(PoseArray, "/slam3r/keyframes", LATCHED)


@pytest.fixture(scope="module")
def stream(weights: Path) -> Iterator[tuple[Bench, Listener, list[int]]]:
    """A node that has mapped COUNT images with a known camera, and all it published; for tests that only look."""
    with (
        own_domain() as context,
        running_node(
            context, weights, image_queue=COUNT, map_period=0.05, path_period=0.0, keyframes__interval=1
        ) as bench,
    ):
        listener = Listener(bench)
        bench.wait_for_connection()
        wait_until(lambda: bench.camera.node.count_publishers("/slam3r/cloud") > 0, "the cloud's publisher")
        bench.camera.infos.publish(camera_info())
        stamps = bench.camera.send_images(COUNT)
        bench.wait_for_handled(COUNT)
        wait_until(lambda: len(listener.poses) == COUNT, "a pose for each image")
        wait_until(
            lambda: bool(listener.map_clouds) and listener.map_clouds[-1].width == bench.status.map_points, "the map"
        )
        yield bench, listener, stamps


def test_every_image_gives_a_pose_with_its_stamp_in_the_map_frame(stream: tuple[Bench, Listener, list[int]]) -> None:
    _, listener, stamps = stream
    assert [stamp_ns(pose.header) for pose in listener.poses] == stamps
    assert {pose.header.frame_id for pose in listener.poses} == {"map"}


def test_tf_goes_from_map_to_the_cameras_frame_and_says_the_same_as_the_pose(
    stream: tuple[Bench, Listener, list[int]],
) -> None:
    _, listener, stamps = stream
    wait_until(lambda: len(listener.tf) == COUNT, "a transform for each image")
    transforms = [transform for message in listener.tf for transform in message.transforms]
    assert [stamp_ns(transform.header) for transform in transforms] == stamps
    assert {(transform.header.frame_id, transform.child_frame_id) for transform in transforms} == {("map", FRAME)}
    for transform, pose in zip(transforms, listener.poses, strict=True):
        t, p = transform.transform.translation, pose.pose.position
        assert (t.x, t.y, t.z) == (p.x, p.y, p.z)
        assert transform.transform.rotation == pose.pose.orientation


def test_clouds_add_up_to_the_map(stream: tuple[Bench, Listener, list[int]]) -> None:
    bench, listener, stamps = stream
    wait_until(lambda: sum(cloud.width for cloud in listener.clouds) == bench.status.map_points, "clouds that add up")
    assert {stamp_ns(cloud.header) for cloud in listener.clouds} <= set(stamps)
    newest = listener.map_clouds[-1]
    assert (newest.header.frame_id, stamp_ns(newest.header)) == ("map", stamps[-1])
    assert [field.name for field in newest.fields] == ["x", "y", "z", "rgb", "confidence"]
    assert len(newest.data) == newest.width * newest.point_step == newest.row_step


def test_path_ends_with_the_newest_pose(stream: tuple[Bench, Listener, list[int]]) -> None:
    _, listener, stamps = stream
    wait_until(lambda: bool(listener.paths) and len(listener.paths[-1].poses) == COUNT, "the whole path")
    assert [stamp_ns(pose.header) for pose in listener.paths[-1].poses] == stamps
    assert listener.paths[-1].poses[-1].pose == listener.poses[-1].pose


def test_keyframes_are_numbered_and_refer_to_their_cloud(stream: tuple[Bench, Listener, list[int]]) -> None:
    _, listener, stamps = stream
    assert [keyframe.id for keyframe in listener.keyframe] == list(range(len(listener.keyframe)))
    assert len(listener.keyframe) > 5  # the initial window and more
    clouds = {stamp_ns(cloud.header): cloud.width for cloud in listener.clouds}
    for keyframe in listener.keyframe:
        stamp = stamp_ns(keyframe.header)
        assert stamp == stamps[keyframe.frame_index]
        assert keyframe.camera_frame == FRAME
        assert keyframe.focal_length == pytest.approx(60.0, rel=1e-3)  # camera_info's, in pixels of the image
        assert not keyframe.focal_length_estimated
        if keyframe.cloud_topic:
            assert keyframe.cloud_topic == "/slam3r/cloud"
            assert clouds[keyframe.cloud_stamp.sec * 10**9 + keyframe.cloud_stamp.nanosec] == keyframe.point_count
    assert any(keyframe.cloud_topic for keyframe in listener.keyframe)


def test_status_counts_every_image(stream: tuple[Bench, Listener, list[int]]) -> None:
    bench, _, stamps = stream
    status = bench.status
    assert (status.frames_received, status.frames_processed, status.frames_registered) == (COUNT, COUNT, COUNT)
    assert (status.frames_dropped, status.frames_rejected) == (0, 0)
    assert (status.state, status.state_name) == (SlamStatus.TRACKING, "TRACKING")
    assert stamp_ns(status.header) == stamps[-1]
    assert status.memory_resident_bytes > 100 * 2**20
    assert 0 < status.latency_encode_ms < status.latency_total_ms


def test_whoever_comes_late_gets_map_keyframes_path_and_status(stream: tuple[Bench, Listener, list[int]]) -> None:
    bench, listener, _ = stream
    late = Listener(bench)
    statuses = bench.camera.listen(SlamStatus, "/slam3r/status", LATCHED)
    wait_until(lambda: bool(late.map_clouds and late.keyframes and late.paths and statuses), "latched messages")
    assert late.map_clouds[-1].width == bench.status.map_points
    assert len(late.keyframes[-1].poses) == len(listener.keyframe)
    assert statuses[-1].state == SlamStatus.TRACKING
    assert not late.poses


def test_state_changes_are_published_at_once(stream: tuple[Bench, Listener, list[int]]) -> None:
    bench, _, _ = stream
    states = [status.state for status in bench.camera.statuses]
    changes = [state for index, state in enumerate(states) if index == 0 or state != states[index - 1]]
    assert changes[0] == SlamStatus.WAITING_FOR_IMAGES
    assert SlamStatus.INITIALIZING in changes
    assert changes[-1] == SlamStatus.TRACKING


def test_services_pause_save_and_reset(context: Context, weights: Path, tmp_path: Path) -> None:
    with running_node(context, weights, image_queue=20) as bench:
        bench.wait_for_connection()
        maps = bench.camera.listen(PointCloud2, "/slam3r/map_cloud", LATCHED)
        stamps = bench.camera.send_images(8)
        bench.wait_for_handled(8)

        assert bench.camera.call(SetBool, "/slam3r/pause", SetBool.Request(data=True)).success
        assert bench.status.state_name == "PAUSED"
        bench.camera.send_images(3, FIRST_NS + 10**9)
        saved = bench.camera.call(SaveMap, "/slam3r/save_map", SaveMap.Request(path=str(tmp_path / "a" / "map.ply")))
        assert saved.success, saved.message
        assert saved.point_count == bench.status.map_points == len(read_ply(saved.map_path))
        assert [pose.stamp_ns for pose in read_trajectory(saved.trajectory_path)] == stamps
        assert bench.status.frames_received == 8

        assert bench.camera.call(SetBool, "/slam3r/pause", SetBool.Request(data=False)).success
        wait_until(lambda: bool(maps) and maps[-1].width > 0, "a map")
        assert bench.camera.call(Trigger, "/slam3r/reset", Trigger.Request()).success
        wait_until(lambda: maps[-1].width == 0, "an empty map after the reset")
        assert bench.status.map_points == 0
        assert bench.status.state_name == "WAITING_FOR_IMAGES"
        bench.camera.send_images(6)  # the old stamps are welcome again
        bench.wait_for_handled(14)
        wait_until(lambda: bench.status.state_name == "TRACKING", "tracking again")


def test_map_that_cannot_be_written_is_refused_and_the_node_lives_on(
    context: Context, weights: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with running_node(context, weights, image_queue=20) as bench:
        bench.wait_for_connection()
        bench.camera.send_images(6)
        bench.wait_for_handled(6)
        points = bench.status.map_points
        refused = bench.camera.call(SaveMap, "/slam3r/save_map", SaveMap.Request(path=str(blocked / "map.ply")))
        assert not refused.success
        assert str(blocked) in refused.message
        assert refused.message == bench.notice
        bench.camera.send_images(1, FIRST_NS + 10**9, first_number=6)
        bench.wait_for_handled(7)
        assert bench.status.map_points >= points > 0


def test_slow_engine_drops_the_oldest_and_counts(context: Context, weights: Path) -> None:
    with running_node(context, weights, image_queue=1) as bench:
        bench.wait_for_connection()
        poses = bench.camera.listen(PoseStamped, "/slam3r/pose")
        stamps = [FIRST_NS + PERIOD_NS * number for number in range(40)]
        for number, stamp in enumerate(stamps):
            bench.camera.images.publish(image_message(textured_image(number), stamp))
        wait_until(lambda: bool(poses) and stamp_ns(poses[-1].header) == stamps[-1], "a pose of the newest image")
        wait_until(  # the pose comes while its image is still being processed
            lambda: bench.status.frames_received == bench.status.frames_processed + bench.status.frames_dropped,
            "all images processed or dropped",
        )
        assert bench.status.frames_dropped > 0
        assert [stamp_ns(pose.header) for pose in poses] == sorted({stamp_ns(pose.header) for pose in poses})


def test_two_images_are_enough_and_one_says_so(context: Context, weights: Path) -> None:
    with running_node(context, weights, flush_after=0.3) as bench:
        bench.wait_for_connection()
        bench.camera.send_images(1)
        bench.wait_for_handled(1)
        wait_until(lambda: "at least two images" in bench.status.reason, "a clear state")
        assert bench.status.state_name == "INITIALIZING"
        bench.camera.send_images(1, FIRST_NS + PERIOD_NS, first_number=1)
        wait_until(lambda: bench.status.frames_registered == 2, "two registered images")
        wait_until(lambda: bench.status.map_points > 0, "their points")
        assert bench.status.state_name == "TRACKING"


def test_images_come_compressed_if_asked_for(context: Context, weights: Path) -> None:
    with running_node(context, weights, image_transport="compressed", image_queue=10) as bench:
        bench.wait_for_connection()
        for number in range(6):
            data = cv2.imencode(".jpg", textured_image(number))[1].tobytes()
            head = image_message(textured_image(number), FIRST_NS + PERIOD_NS * number).header
            bench.camera.compressed.publish(
                CompressedImage(header=head, format="jpeg", data=np.frombuffer(data, np.uint8))
            )
            time.sleep(0.01)
        bench.wait_for_handled(6)
        assert bench.status.frames_processed == 6


def test_remapping_image_moves_the_compressed_topic_along(context: Context, weights: Path) -> None:
    arguments = ("--ros-args", "-r", "image:=/front/image_raw")
    with running_node(context, weights, arguments=arguments, image_transport="compressed"):
        pass
    with running_node(context, weights, arguments=arguments, image_transport="compressed") as bench:
        wait_until(lambda: bench.camera.node.count_subscribers("/front/image_raw/compressed") == 1, "the subscription")


def test_best_effort_camera_is_heard_without_being_asked_for(context: Context, weights: Path) -> None:
    with running_node(context, weights, reliable_camera=False) as bench:
        bench.wait_for_connection()
        end = time.monotonic() + PATIENCE_S
        for number in itertools.count():  # any one of these may be lost
            bench.camera.send_images(1, FIRST_NS + PERIOD_NS * number, first_number=number)
            if bench.status.frames_registered > 0:
                break
            assert time.monotonic() < end, bench.status


def test_incompatible_publisher_is_named(context: Context, weights: Path) -> None:
    with running_node(context, weights, reliable_camera=False, image_qos="reliable") as bench:
        wait_until(lambda: "'/image'" in bench.notice, "a warning")
        assert "no images from /camera" in bench.notice
        assert "image_qos: sensor_data" in bench.notice
