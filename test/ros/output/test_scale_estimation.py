"""The metric scale by messages of other sensors over DDS, and what the node makes of it."""

from __future__ import annotations

import array
import math
from itertools import count
from typing import Any, cast

import numpy as np
import pytest
from geometry_msgs.msg import Point, Pose, Quaternion, TransformStamped
from nav_msgs.msg import Odometry
from outputs_harness import EmptyMap, Scene, image_header, matrix, moved, pose_update, update
from ros_harness import FIRST_NS, FRAME, wait_until
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from tf2_ros import TransformException

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.io.image_decoding import ImageError
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.input.frame_transforms import FrameTransforms
from slam3r_ros.ros.input.metric_sensors import depth_from_message, pose_matrix
from slam3r_ros.ros.output.messages import time_message
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.output.tf import MapToOdomOutput
from slam3r_ros.types import State

METRES_PER_UNIT = 2.0
STEP_NS = 100_000_000


def publish_due(outputs: Outputs) -> None:
    outputs.publish_due(cast("Slam", EmptyMap()))


def odometry(step: int, x: float, base: str = "") -> Odometry:
    head = Header(stamp=time_message(FIRST_NS + step * STEP_NS), frame_id="odom")
    message = Odometry(header=head, child_frame_id=base)
    message.pose.pose = Pose(position=Point(x=x), orientation=Quaternion(w=1.0))
    return message


def test_odometry_gives_metres_to_poses_and_says_how_sure_it_is(scene: Scene) -> None:
    outputs = scene.outputs(scale_source="odometry", tf_mode="none")
    publisher = scene.camera.node.create_publisher(Odometry, "odom", 100)
    wait_until(lambda: publisher.get_subscription_count() > 0, "the node hears odometry")
    taken = outputs.scale_estimation._odometry
    assert taken is not None
    for step in range(60):
        publisher.publish(odometry(step, 0.2 * step))
    wait_until(lambda: len(taken._poses) == 60, "odometry has come")
    for step in range(59):
        outputs.publish(pose_update(moved(z=0.1 * step), FIRST_NS + step * STEP_NS, index=step))
    found = outputs.scale_estimation.estimate
    assert found is not None and found.metres_per_unit == pytest.approx(METRES_PER_UNIT, rel=1e-3)
    assert found.sigma < 0.03 and found.count > 20
    assert outputs.scale.metres_per_unit == 0.0
    publish_due(outputs)
    assert outputs.scale.metres_per_unit == found.metres_per_unit
    outputs.publish(pose_update(moved(z=6.0), FIRST_NS + 60 * STEP_NS, index=60))
    wait_until(lambda: len(scene.poses) == 60, "the poses")
    assert scene.poses[-1].pose.position.x == pytest.approx(12.0, rel=1e-3)  # metres
    outputs.destroy()


def test_the_engine_is_told_of_the_scale_along_the_way_once_and_in_the_world_as_it_is(scene: Scene) -> None:
    outputs, slam = scene.outputs(scale_source="odometry", tf_mode="none"), EmptyMap()
    source = outputs.scale_estimation
    assert source._odometry is not None
    for step in range(60):
        source._odometry._on_odometry(odometry(step, 0.2 * step))
        outputs.publish(pose_update(moved(z=0.1 * step), FIRST_NS + step * STEP_NS, index=step))
    changes = Sim3([1.0, 1.25], np.stack([np.eye(3)] * 2), np.zeros((2, 3)))
    source.observe(MapCorrection(np.array([0, 30]), changes))
    outputs.publish_due(cast("Slam", slam))
    outputs.publish_due(cast("Slam", slam))
    assert 25 < len(slam.observed) < 60 and len({each.index for each in slam.observed}) == len(slam.observed)
    for each in slam.observed:
        assert math.exp(each.log_ratio) == pytest.approx(METRES_PER_UNIT / (1.25 if each.index >= 30 else 1), rel=1e-3)
    outputs.destroy()


def test_a_scale_that_a_user_sets_is_not_replaced(scene: Scene) -> None:
    outputs = scene.outputs(scale_source="odometry", tf_mode="none")
    source = outputs.scale_estimation
    assert source._odometry is not None
    for step in range(60):
        source._odometry._on_odometry(odometry(step, 0.2 * step))
        outputs.publish(pose_update(moved(z=0.1 * step), FIRST_NS + step * STEP_NS, index=step))
    outputs.set_scale(5.0, cast("Slam", EmptyMap()))
    publish_due(outputs)
    assert source.estimate is not None and outputs.scale.metres_per_unit == 5.0
    outputs.set_scale(0.0, cast("Slam", EmptyMap()))  # unknown again: it may be estimated
    publish_due(outputs)
    assert outputs.scale.metres_per_unit == pytest.approx(METRES_PER_UNIT, rel=1e-3)
    outputs.reset(cast("Slam", EmptyMap()))
    assert source.estimate is None and outputs.scale.metres_per_unit == 0.0
    outputs.destroy()


def test_it_waits_until_it_is_sure(scene: Scene) -> None:
    outputs = scene.outputs(scale_source="odometry", scale_sigma=0.004, tf_mode="none")
    source = outputs.scale_estimation
    assert source._odometry is not None
    for step in range(20):
        source._odometry._on_odometry(odometry(step, 0.2 * step))
        outputs.publish(pose_update(moved(z=0.1 * step), FIRST_NS + step * STEP_NS, index=step))
    publish_due(outputs)
    assert source.estimate is not None and source.estimate.sigma > 0.004
    assert outputs.scale.metres_per_unit == 0.0
    outputs.destroy()


def test_lost_frames_and_broken_odometry_are_left_out(scene: Scene) -> None:
    outputs = scene.outputs(scale_source="odometry", tf_mode="none")
    source = outputs.scale_estimation
    assert source._odometry is not None
    broken = odometry(0, math.nan)
    source._odometry._on_odometry(broken)
    assert "odometry on '/odom' ignored: it has values that are not finite" in scene.log.newest.text
    for step in range(60):
        source._odometry._on_odometry(odometry(step, 0.2 * step))
        lost = {"state": State.LOST, "is_excluded": True, "index": step}
        outputs.publish(update(moved(z=0.1 * step), stamp_ns=FIRST_NS + step * STEP_NS, **lost))
    assert source.estimate is None
    outputs.destroy()


def depth_message(depth_m: np.ndarray[Any, Any], encoding: str, *, big: bool = False, padding: int = 0) -> Image:
    kind = (
        np.dtype(">u2" if encoding == "16UC1" else ">f4") if big else np.dtype("<u2" if encoding == "16UC1" else "<f4")
    )
    samples = (np.rint(depth_m * 1000) if encoding == "16UC1" else depth_m).astype(kind)
    height, width = depth_m.shape
    rows = np.zeros((height, width * kind.itemsize + padding), np.uint8)
    rows[:, : width * kind.itemsize] = samples.view(np.uint8).reshape(height, -1)
    head = Header(stamp=time_message(FIRST_NS), frame_id=FRAME)
    data = array.array("B", rows.tobytes())
    return Image(
        header=head, height=height, width=width, encoding=encoding, is_bigendian=big, step=rows.shape[1], data=data
    )


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("padding", [0, 3])
def test_depth_images_of_either_kind(encoding: str, big: bool, padding: int) -> None:
    depth = np.linspace(0.5, 4, 24).reshape(4, 6)
    found = depth_from_message(depth_message(depth, encoding, big=big, padding=padding))
    np.testing.assert_allclose(found, depth, atol=6e-4)


def test_what_is_no_depth_is_named() -> None:
    message = depth_message(np.ones((4, 6)), "32FC1")
    message.encoding = "rgb8"
    with pytest.raises(ImageError, match="encoding 'rgb8' is no depth; expected 16UC1"):
        depth_from_message(message)
    message.encoding, message.step = "32FC1", 7
    with pytest.raises(ImageError, match="6 x 4 pixels of '32FC1' with step 7 do not fit 96 bytes"):
        depth_from_message(message)


@pytest.mark.parametrize("w", [0.0, math.nan, 5.0])
def test_an_orientation_that_is_none_is_refused(w: float) -> None:
    with pytest.raises(ValueError, match="unit quaternion|not finite"):
        pose_matrix(Pose(orientation=Quaternion(w=w)))


def test_depth_images_over_dds(scene: Scene) -> None:
    outputs = scene.outputs(scale_source="depth", tf_mode="none")
    node, depth_m = scene.camera.node, np.full((48, 64), 3.0)
    images, infos = (
        node.create_publisher(Image, "depth", 10),
        node.create_publisher(CameraInfo, "depth/camera_info", 10),
    )
    wait_until(lambda: images.get_subscription_count() > 0 and infos.get_subscription_count() > 0, "subscriptions")
    source = outputs.scale_estimation._depth
    assert source is not None
    images.publish(depth_message(depth_m, "16UC1"))
    wait_until(lambda: len(source._images) == 1, "a depth image")
    camera = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
    depth = np.full((24, 32), 1.5, np.float32)
    picture = np.zeros((48, 64, 3), np.uint8)
    view = KeyframeView(0, 0, image_header(), np.eye(4), camera, picture, depth, np.ones_like(depth))
    outputs.publish(view)
    assert "depth images on '/depth' without '/depth/camera_info'" in scene.log.newest.text
    infos.publish(CameraInfo(width=64, height=48, k=camera.matrix.ravel().tolist(), distortion_model="plumb_bob"))
    wait_until(lambda: source._info is not None, "camera_info")
    for number in range(6):
        outputs.publish(
            KeyframeView(number, number, image_header(), np.eye(4), camera, picture, depth, np.ones_like(depth))
        )
    found = outputs.scale_estimation.estimate
    assert found is not None and found.metres_per_unit == pytest.approx(2.0, rel=1e-3) and found.count == 6
    late = image_header(FIRST_NS + 10**9)
    outputs.publish(KeyframeView(9, 9, late, np.eye(4), camera, picture, depth, np.ones_like(depth)))
    again = outputs.scale_estimation.estimate
    assert again is not None and again.count == 6  # no depth image of its time
    outputs.destroy()


def base_transform(step: int, x: float) -> TFMessage:
    head = Header(stamp=time_message(FIRST_NS + step * STEP_NS), frame_id="odom")
    transform = TransformStamped(header=head, child_frame_id="base_link")
    transform.transform.translation.x, transform.transform.rotation.w = x, 1.0
    return TFMessage(transforms=[transform])


class Robot:
    """A base with a camera ahead of it, that drives along the camera's axis and slips: odometry is half a metre off."""

    SLIP = 0.5

    def __init__(self, scene: Scene) -> None:
        self._tf = scene.camera.node.create_publisher(TFMessage, "/tf", 100)
        mount = TransformStamped(header=Header(frame_id="base_link"), child_frame_id=FRAME)
        mount.transform.translation.x = 0.2
        q = mount.transform.rotation  # optical axes: x right, y down, z forward
        q.x, q.y, q.z, q.w = -0.5, 0.5, -0.5, 0.5
        scene.camera.static_tf.publish(TFMessage(transforms=[mount]))

    def odometry(self, step: int) -> None:
        self._tf.publish(base_transform(step, 0.1 * step + self.SLIP))


def test_map_to_odom_is_what_odometry_is_off_by(scene: Scene) -> None:
    settings = {"base_frame": "base_link", "tf_mode": "map_to_odom", "scale": 2.0, "tf_rate": 0.0, "tf_tolerance": 0.2}
    outputs, robot = scene.outputs(**settings), Robot(scene)
    for step in range(3):
        robot.odometry(step)

    def corrections() -> list[TransformStamped]:
        return [each for each in scene.transforms if each.child_frame_id == "odom"]

    frames = count()

    def publish_and_look() -> bool:
        outputs.publish(pose_update(moved(z=0.1), FIRST_NS + 2 * STEP_NS, index=next(frames)))
        return bool(corrections())

    wait_until(publish_and_look, "map -> odom")
    found = corrections()[0]
    assert (found.header.frame_id, found.child_frame_id) == ("map", "odom")
    assert found.header.stamp == time_message(FIRST_NS + 2 * STEP_NS + 200_000_000)
    # On the map the camera is at x = 0.2 m, so the base at 0; by odometry it is at 0.2 + 0.5.
    np.testing.assert_allclose(matrix(found)[:3, 3], [-0.7, 0, 0], atol=1e-6)
    assert {each.child_frame_id for each in scene.transforms if each.header.frame_id == "map"} == {"odom"}
    outputs.destroy()


def test_map_to_odom_waits_for_odometry_and_is_published_again(scene: Scene) -> None:
    settings = {"base_frame": "base_link", "tf_mode": "map_to_odom", "scale": 2.0, "tf_rate": 50.0}
    outputs, robot = scene.outputs(**settings), Robot(scene)
    wait_until(lambda: is_known(outputs._extrinsics._transforms, FRAME, "base_link"), "the mount is known")
    outputs.publish(pose_update(moved(), FIRST_NS + STEP_NS, index=0))
    assert not scene.transforms or all(each.child_frame_id != "odom" for each in scene.transforms)
    for step in range(4):
        robot.odometry(step)
    assert isinstance(outputs._tf, MapToOdomOutput)
    transforms = outputs._tf._transforms
    wait_until(lambda: is_known(transforms, "odom", "base_link", FIRST_NS + 3 * STEP_NS), "odometry has come")
    outputs.publish(pose_update(moved(), FIRST_NS + 30 * STEP_NS, index=1))  # its odometry is not there yet
    wait_until(lambda: sum(each.child_frame_id == "odom" for each in scene.transforms) > 5, "the steady transform")
    outputs.destroy()


def test_map_to_odom_needs_metres_and_one_parent(scene: Scene) -> None:
    settings = {"base_frame": "base_link", "tf_mode": "map_to_odom", "tf_rate": 0.0}
    outputs, robot = scene.outputs(**settings), Robot(scene)
    wait_until(lambda: is_known(outputs._extrinsics._transforms, FRAME, "base_link"), "the mount is known")
    for step in range(3):
        robot.odometry(step)
    outputs.publish(pose_update(moved(), FIRST_NS, index=0))
    assert "no TF from map_frame to odom_frame: the scale of the map is not known" in scene.log.newest.text
    outputs.destroy()


def is_known(transforms: FrameTransforms | None, target: str, source: str, stamp_ns: int = 0) -> bool:
    assert transforms is not None
    try:
        transforms.at(target, source, stamp_ns)
    except TransformException:
        return False
    return True
