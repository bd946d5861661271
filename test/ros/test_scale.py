"""A scale makes metres of everything published and saved, whenever it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseArray, PoseStamped
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from numpy.typing import NDArray
from outputs_harness import Scene, moved, update
from rclpy.context import Context
from ros_harness import FIRST_NS, PERIOD_NS, Bench, running_node, wait_until
from sensor_msgs.msg import Image, PointCloud2
from slam3r_ros.msg import Keyframe, SlamStatus
from slam3r_ros.srv import SaveMap, SetScale
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from slam3r_ros.io.map_axes import T_map_world, points_in_map, pose_in_map
from slam3r_ros.io.ply import read_ply
from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.ros.output.decimated_list import DecimatedList
from slam3r_ros.ros.output.map_scale import MapScale
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.setting_spec import SettingError
from slam3r_ros.types import MapPoints

COUNT = 12


class Listener:
    """Everything that has lengths."""

    def __init__(self, bench: Bench) -> None:
        listen = bench.camera.listen
        self.poses: list[PoseStamped] = listen(PoseStamped, "/slam3r/pose")
        self.odometry: list[Odometry] = listen(Odometry, "/slam3r/odometry")
        self.tf: list[TFMessage] = listen(TFMessage, "/tf")
        self.clouds: list[PointCloud2] = listen(PointCloud2, "/slam3r/cloud")
        self.depths: list[Image] = listen(Image, "/slam3r/depth")
        self.keyframe: list[Keyframe] = listen(Keyframe, "/slam3r/keyframe")
        self.maps: list[PointCloud2] = listen(PointCloud2, "/slam3r/map_cloud", LATCHED)
        self.paths: list[PathMessage] = listen(PathMessage, "/slam3r/path", LATCHED)
        self.keyframes: list[PoseArray] = listen(PoseArray, "/slam3r/keyframes", LATCHED)
        for topic in ("odometry", "cloud", "depth", "keyframe", "map_cloud", "path", "keyframes"):
            publisher = next(p for p in bench.node.publishers if p.topic_name == f"/slam3r/{topic}")
            wait_until(lambda p=publisher: p.get_subscription_count() > 0, topic)  # type: ignore[misc]

    def wait_for(self, count: int) -> None:
        """Wait for all that is published of this many frames."""
        each = (self.poses, self.odometry, self.tf, self.depths)
        wait_until(lambda: all(len(messages) == count for messages in each), f"everything of {count} images")


def position(pose: Any) -> list[float]:
    return [pose.position.x, pose.position.y, pose.position.z]


def points(cloud: PointCloud2) -> NDArray[np.float32]:
    return np.frombuffer(cloud.data, "<f4").reshape(-1, 5)[:, :3]


def metric(bench: Bench, metres_per_unit: float) -> SetScale.Response:
    return bench.camera.call(SetScale, "/slam3r/set_scale", SetScale.Request(metres_per_unit=metres_per_unit))


def mapped(bench: Bench, first: int = 0) -> Listener:
    """What a node publishes of COUNT images."""
    bench.wait_for_connection()
    listener = Listener(bench)
    bench.camera.send_images(COUNT, FIRST_NS + first * PERIOD_NS, first_number=first)
    listener.wait_for(COUNT)
    wait_until(lambda: bool(listener.maps) and listener.maps[-1].width == bench.status.map_points, "the map")
    wait_until(lambda: bool(listener.paths) and len(listener.paths[-1].poses) == COUNT, "the path")
    wait_until(lambda: len(listener.keyframe) > 0 and len(listener.keyframes[-1].poses) > 0, "keyframes")
    return listener


def options() -> dict[str, Any]:
    return {"image_queue": COUNT, "map_period": 0.05, "path_period": 0.0}


def test_everything_is_published_again_in_metres_when_a_scale_is_told(
    context: Context, weights: Path, tmp_path: Path
) -> None:
    with running_node(context, weights, **options()) as bench:
        heard = mapped(bench)
        assert bench.status.scale == 0.0
        before = heard.maps[-1], heard.paths[-1], heard.keyframes[-1]
        counts = len(heard.maps), len(heard.paths), len(heard.keyframes)
        answer = metric(bench, 2.5)
        assert answer.success and "2.5" in answer.message
        assert bench.status.scale == 2.5
        wait_until(lambda: bench.camera.statuses[-1].scale == 2.5, "a status with the scale")
        wait_until(lambda: len(heard.maps) > counts[0], "the map again")
        wait_until(lambda: len(heard.paths) > counts[1], "the path again")
        wait_until(lambda: len(heard.keyframes) > counts[2], "the keyframes again")
        assert points(heard.maps[-1]) == pytest.approx(2.5 * points(before[0]), rel=1e-5)
        for new, old in zip(heard.paths[-1].poses, before[1].poses, strict=True):
            assert new.header == old.header
            assert position(new.pose) == pytest.approx([2.5 * x for x in position(old.pose)])
            assert new.pose.orientation == old.pose.orientation
        for new, old in zip(heard.keyframes[-1].poses, before[2].poses, strict=True):
            assert position(new) == pytest.approx([2.5 * x for x in position(old)])

        saved = bench.camera.call(SaveMap, "/slam3r/save_map", SaveMap.Request(path=str(tmp_path / "map.ply")))
        assert read_ply(saved.map_path).points_world == pytest.approx(points(heard.maps[-1]), rel=1e-5)
        assert b"lengths in metres" in Path(saved.map_path).read_bytes()[:200]
        poses = read_trajectory(saved.trajectory_path)
        for pose, shown in zip(poses, heard.paths[-1].poses, strict=True):
            assert pose.T_world_camera[:3, 3] == pytest.approx(position(shown.pose), rel=1e-6, abs=1e-7)


def test_a_scale_of_the_start_makes_metres_of_all_topics(context: Context, weights: Path) -> None:
    with running_node(context, weights, scale=0.5, **options()) as bench:
        heard = mapped(bench)
        assert bench.status.scale == 0.5
        session = bench.node._session
        assert session is not None
        slam = session._runner._slam
        trajectory = [(0.5 * (T_map_world @ pose.T_world_camera)[:3, 3]).tolist() for pose in slam.trajectory()]
        records = [record.pose for record in slam.keyframes() if record.pose is not None]
    assert np.ptp(trajectory, axis=0).max() > 0
    for number, expected in enumerate(trajectory):
        translation = heard.tf[number].transforms[0].transform.translation
        assert position(heard.poses[number].pose) == pytest.approx(expected)
        assert position(heard.odometry[number].pose.pose) == pytest.approx(expected)
        assert position(heard.paths[-1].poses[number].pose) == pytest.approx(expected)
        assert [translation.x, translation.y, translation.z] == pytest.approx(expected)
    for message, record in zip(heard.keyframe, records, strict=True):
        expected = (0.5 * (T_map_world @ record.T_world_camera)[:3, 3]).tolist()
        assert position(message.pose) == pytest.approx(expected)
        assert expected in [pytest.approx(position(pose)) for pose in heard.keyframes[-1].poses]
    of_engine = points_in_map(slam.map_points()).points_world
    assert points(heard.maps[-1]) == pytest.approx(of_engine / 2, rel=1e-5)


def test_clouds_are_in_the_lengths_of_the_pose_with_their_stamp(scene: Scene) -> None:
    added = MapPoints(np.array([[1, 2, 3]], np.float32), np.zeros((1, 3), np.uint8), np.ones(1, np.float32))
    scene.outputs(scale=4.0).publish(update(moved(z=1.0), added))
    wait_until(lambda: len(scene.clouds) == len(scene.poses) == 1, "a cloud and a pose")
    assert points(scene.clouds[0]).tolist() == [[12, -4, -8]]
    assert position(scene.poses[0].pose) == [4, 0, 0]


@pytest.mark.parametrize(
    ("value", "named"),
    [(float("nan"), "NaN"), (float("inf"), "inf"), (-1.0, "-1.0"), (1e-9, "1e-09"), (1e7, "10000000.0")],
)
def test_what_cannot_be_a_scale_is_refused_and_named(value: float, named: str) -> None:
    scale = MapScale(2.0)
    with pytest.raises(SettingError, match="scale: expected") as refused:
        scale.set(value)
    assert named in str(refused.value)
    assert scale.metres_per_unit == 2.0


def test_the_service_refuses_says_why_and_changes_nothing(context: Context, weights: Path) -> None:
    with running_node(context, weights, autostart=False) as bench:
        assert "not configured" in metric(bench, 1.0).message
        bench.node.trigger_configure()
        assert metric(bench, 3.0).success  # before the first image
        bench.node.trigger_activate()
        for value, named in ((float("nan"), "NaN"), (float("inf"), "inf"), (-2.0, "-2.0")):
            answer = metric(bench, value)
            assert not answer.success
            assert "metres_per_unit" in answer.message and named in answer.message
        assert bench.status.scale == 3.0
        assert metric(bench, 0.0).message == "lengths are scene units"
        assert bench.status.scale == 0.0


@pytest.mark.parametrize("given", [0.0, 4.0])
def test_a_reset_keeps_the_parameters_scale_and_forgets_the_services(
    context: Context, weights: Path, given: float
) -> None:
    with running_node(context, weights, scale=given) as bench:
        bench.wait_for_connection()
        assert metric(bench, 2.0).success
        assert bench.camera.call(Trigger, "/slam3r/reset", Trigger.Request()).success
        assert bench.status.scale == given
        statuses: list[SlamStatus] = bench.camera.statuses
        wait_until(lambda: statuses[-1].scale == given, "a status without the forgotten scale")


def test_a_wrong_scale_at_start_is_named(context: Context, weights: Path) -> None:
    with running_node(context, weights, scale=float("inf")) as bench:
        assert "scale: expected 0 to 1e+06, got inf" in bench.node.problem


def test_map_axes_take_the_unit() -> None:
    world = np.array([[1, 2, 3]], np.float32)
    scaled = points_in_map(MapPoints(world, np.zeros((1, 3), np.uint8), np.ones(1, np.float32)), 2.0)
    assert scaled.points_world.tolist() == [[6, -2, -4]]
    T = np.eye(4)
    T[:3, 3] = world[0]
    assert pose_in_map(T, 2.0)[:3, 3].tolist() == [6, -2, -4]
    assert pose_in_map(T, 2.0)[:3, :3].tolist() == pose_in_map(T)[:3, :3].tolist()
    assert T[:3, 3].tolist() == [1, 2, 3]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 9, 10, 16, 17])
def test_a_decimated_list_filled_anew_keeps_and_goes_on_as_one_that_grew(count: int) -> None:
    grown, filled = DecimatedList[int](4), DecimatedList[int](4)
    for number in range(count):
        grown.add(10 * number)
    made: list[int] = []
    filled.rebuild(count, lambda number: made.append(number) or 10 * number)
    assert len(made) <= 5
    for number in range(count, count + 9):
        assert filled.items() == grown.items()
        grown.add(10 * number)
        filled.add(10 * number)
