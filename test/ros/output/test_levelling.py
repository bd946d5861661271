"""The map is made upright: by the robot's base, an inertial sensor or the floor."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped, Vector3
from outputs_harness import EmptyMap, Scene, image_header
from ros_harness import FIRST_NS, FRAME, wait_until
from sensor_msgs.msg import Imu
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from tf2_ros import TransformException

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, quat_xyzw_from_rotation, rigid, rotation_from_vector
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.output.messages import time_message
from slam3r_ros.ros.output.outputs import Outputs

STEP_NS = 100_000_000
CAMERA = Camera(96, 72, 60.0, 60.0, 47.5, 35.5)
TILT = np.array([-0.4, 0.0, 0.1])
"""Rotation vector of the first camera against the level: it looks down and is turned a little about its axis."""
R_LEVEL_CAMERA = rotation_from_vector(TILT)
R_BASE_OPTICAL = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
"""Takes a level camera's axes (x right, y down, z forward) to those of a robot's base (x forward, y left, z up)."""


def view(number: int) -> KeyframeView:
    """What the tilted camera sees of a floor 1.2 below it and a wall 4 ahead; the world is that of the first camera."""
    columns, rows = np.meshgrid(np.arange(96), np.arange(72))
    rays = np.dstack([(columns - CAMERA.cx) / CAMERA.fx, (rows - CAMERA.cy) / CAMERA.fy, np.ones(rows.shape)])
    level = rays @ R_LEVEL_CAMERA.T
    to_floor = np.where(level[..., 1] > 0, 1.2 / np.maximum(level[..., 1], 1e-9), np.inf)
    depth = np.minimum(to_floor, np.where(level[..., 2] > 0, 4 / np.maximum(level[..., 2], 1e-9), np.inf))
    depth = np.where(depth < 50, depth, np.nan).astype(np.float32)
    picture, header = np.zeros((72, 96, 3), np.uint8), image_header(FIRST_NS + number * STEP_NS)
    return KeyframeView(number, number, header, np.eye(4), CAMERA, picture, depth, np.ones_like(depth))


def requested(outputs: Outputs, count: int = 6) -> list[MapCorrection]:
    """What is requested after so many keyframes."""
    engine = EmptyMap()
    for number in range(count):
        outputs.publish(view(number))
        outputs.publish_due(cast("Slam", engine))
    return engine.requested


def publish_mount(scene: Scene, parent: str, R_parent_camera: Array) -> None:
    mount = TransformStamped(header=Header(frame_id=parent), child_frame_id=FRAME)
    q = mount.transform.rotation
    q.x, q.y, q.z, q.w = quat_xyzw_from_rotation(R_parent_camera).tolist()
    scene.camera.static_tf.publish(TFMessage(transforms=[mount]))


def wait_for_transform(outputs: Outputs, frame: str) -> None:
    transforms = outputs._levelling._transforms
    assert transforms is not None

    def is_known() -> bool:
        try:
            transforms.at_or_newest(FRAME, frame, 0)
        except TransformException:
            return False
        return True

    wait_until(is_known, "the mount is known")


def check_upright(corrections: list[MapCorrection], tolerance: float) -> None:
    """The camera's vertical in the level room has to be that of the turned world."""
    (correction,) = corrections
    up_in_world = R_LEVEL_CAMERA.T @ np.array([0.0, -1.0, 0.0])
    np.testing.assert_allclose(correction.newest.rotation @ up_in_world, [0, -1, 0], atol=tolerance)


def test_by_the_base_of_the_robot(scene: Scene) -> None:
    outputs = scene.outputs(map_up="base", base_frame="base_link", tf_mode="none")
    publish_mount(scene, "base_link", R_BASE_OPTICAL @ R_LEVEL_CAMERA)
    wait_for_transform(outputs, "base_link")
    check_upright(requested(outputs), 1e-6)
    outputs.destroy()


def test_by_gravity(scene: Scene) -> None:
    outputs = scene.outputs(map_up="imu", tf_mode="none")
    publish_mount(scene, "imu_link", R_BASE_OPTICAL @ R_LEVEL_CAMERA)
    wait_for_transform(outputs, "imu_link")
    gravity = outputs._levelling._gravity
    assert gravity is not None
    publisher = scene.camera.node.create_publisher(Imu, "imu", 100)
    wait_until(lambda: publisher.get_subscription_count() > 0, "the node hears the sensor")
    for number in range(60):
        head = Header(stamp=time_message(FIRST_NS + number * STEP_NS // 10), frame_id="imu_link")
        noise = 0.3 * (-1) ** number
        publisher.publish(Imu(header=head, linear_acceleration=Vector3(x=noise, z=9.8)))
    wait_until(lambda: len(gravity._samples) == 60, "the messages have come")
    check_upright(requested(outputs), 0.01)
    outputs.destroy()


def test_by_the_floor(scene: Scene) -> None:
    outputs = scene.outputs(map_up="floor", tf_mode="none")
    check_upright(requested(outputs), 0.02)
    outputs.destroy()


def test_it_is_turned_once_and_again_after_a_reset(scene: Scene) -> None:
    outputs = scene.outputs(map_up="floor", tf_mode="none")
    (first,) = requested(outputs)
    outputs.publish(first)
    assert not requested(outputs)
    outputs.reset(cast("Slam", EmptyMap()))
    assert len(requested(outputs)) == 1
    outputs.destroy()


def test_a_loop_that_is_closed_in_between_has_it_asked_again(scene: Scene) -> None:
    outputs = scene.outputs(map_up="floor", tf_mode="none")
    (first,) = requested(outputs)
    turned = rotation_from_vector([0.0, 0.0, 0.2])
    outputs.publish(
        MapCorrection(np.zeros(1, np.int64), type(first.newest)(np.ones(1), turned[None], np.zeros((1, 3))))
    )
    engine = EmptyMap()
    outputs.publish_due(cast("Slam", engine))
    (second,) = engine.requested
    up_in_world = turned @ R_LEVEL_CAMERA.T @ np.array([0.0, -1.0, 0.0])
    np.testing.assert_allclose(second.newest.rotation @ up_in_world, [0, -1, 0], atol=0.02)
    outputs.destroy()


@pytest.mark.parametrize("acceleration", [0.0, 8.0, 12.0])
def test_a_sensor_that_is_accelerated_says_nothing(scene: Scene, acceleration: float) -> None:
    outputs = scene.outputs(map_up="imu", tf_mode="none")
    gravity = outputs._levelling._gravity
    assert gravity is not None
    head = Header(stamp=time_message(FIRST_NS), frame_id="imu_link")
    gravity._on_imu(Imu(header=head, linear_acceleration=Vector3(z=acceleration)))
    gravity._on_imu(Imu(header=head, linear_acceleration=Vector3(z=float("nan"))))
    assert not requested(outputs)
    assert "map_up: imu: no usable message on '/imu' near an image" in scene.log.newest.text
    outputs.destroy()


def test_the_first_camera_is_taken_for_level_unless_told(scene: Scene) -> None:
    outputs = scene.outputs(tf_mode="none")
    assert not requested(outputs)
    assert rigid(R_BASE_OPTICAL, np.zeros(3))[2, 1] == -1
    outputs.destroy()
