"""Depth images: z of the frame's points in its camera, and the camera they are an image of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from outputs_harness import Scene, image_header, pose_update, update
from ros_harness import FIRST_NS, FRAME, wait_until
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from slam3r_ros.engine.keyframe_view import KeyframeView, depth_image, pointmap_camera
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import rigid, rotation_from_quat_xyzw, transform_points
from slam3r_ros.ros.output import depth as depth_output
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.types import MapPoints, MapUpdate, PoseEstimate, State

POSE = rigid(rotation_from_quat_xyzw([0.1, -0.3, 0.2, 0.9]), [1.0, -2.0, 0.5])
HEIGHT, WIDTH, FOCAL = 6, 8, 9.0
DEPTHS = np.linspace(1.0, 4.0, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)


def points_world(depths: NDArray[np.float64] = DEPTHS) -> NDArray[np.float32]:
    """(HEIGHT, WIDTH, 3) points that a camera at POSE sees at these depths."""
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    x, y = (columns - (WIDTH - 1) / 2) / FOCAL, (rows - (HEIGHT - 1) / 2) / FOCAL
    return transform_points(POSE, np.dstack([x * depths, y * depths, depths])).astype(np.float32)


def seen(points: NDArray[np.float32] | None = None, **others: object) -> MapUpdate:
    """The update of a frame at POSE."""
    values = {
        "pose": PoseEstimate(POSE, FOCAL, 1.0, 0.1, 1.0, 0.0),
        "points_world": points_world() if points is None else points,
        "confidence": np.full((HEIGHT, WIDTH), 5.0, np.float32),
    }
    return update(POSE, **values | others)


class Heard:
    """Outputs with a listener to their depths."""

    def __init__(self, scene: Scene, **settings: object) -> None:
        self.images: list[Image] = scene.camera.listen(Image, "/slam3r/depth")
        self.infos: list[CameraInfo] = scene.camera.listen(CameraInfo, "/slam3r/depth/camera_info")
        self.outputs: Outputs = scene.outputs(**settings)
        depth = self.outputs._depth
        wait_until(
            lambda: depth._images.get_subscription_count() + depth._infos.get_subscription_count() == 2, "listeners"
        )

    def of(self, frame: MapUpdate) -> tuple[Image, CameraInfo]:
        """The messages of an update."""
        count = len(self.images) + 1
        self.outputs.publish(frame)
        wait_until(lambda: len(self.images) == len(self.infos) == count, "a depth image and its camera_info")
        return self.images[-1], self.infos[-1]


def values(image: Image) -> NDArray[np.float32]:
    return np.frombuffer(image.data, "<f4").reshape(image.height, image.width)


def test_depths_are_those_of_the_frames_points_in_its_camera(scene: Scene) -> None:
    image, info = Heard(scene).of(seen())
    assert (image.encoding, image.height, image.width) == ("32FC1", HEIGHT, WIDTH)
    assert (image.step, image.is_bigendian, len(image.data)) == (4 * WIDTH, 0, 4 * WIDTH * HEIGHT)
    assert values(image) == pytest.approx(DEPTHS, rel=1e-5)
    assert image.header == info.header
    assert image.header.frame_id == FRAME
    assert image.header.stamp.sec * 10**9 + image.header.stamp.nanosec == FIRST_NS


def test_depth_and_camera_info_give_the_points_back(scene: Scene) -> None:
    image, info = Heard(scene).of(seen())
    assert (info.width, info.height, info.distortion_model, list(info.d)) == (WIDTH, HEIGHT, "plumb_bob", [0.0] * 5)
    matrix, depths = np.array(info.k).reshape(3, 3), values(image)
    assert np.array(info.p).reshape(3, 4)[:, :3].tolist() == matrix.tolist()
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    rays = np.dstack([columns, rows, np.ones_like(rows)]) @ np.linalg.inv(matrix).T
    assert transform_points(POSE, rays * depths[..., None]) == pytest.approx(points_world(), abs=1e-5)


def test_there_is_no_depth_where_the_map_would_take_no_point(scene: Scene) -> None:
    points, confidence = points_world(), np.full((HEIGHT, WIDTH), 5.0, np.float32)
    points[0, 0] = 0.0
    points[0, 1] = np.nan
    points[0, 2] = transform_points(POSE, np.array([0.0, 0.0, -1.0]))
    confidence[1, 0] = 2.9
    confidence[1, 1] = 3.0
    image, _ = Heard(scene, map__point_confidence=3.0).of(seen(points, confidence=confidence))
    missing = np.isnan(values(image))
    assert missing[0, :3].all() and missing[1, 0]
    assert missing.sum() == 4


def test_depths_are_metres_where_a_scale_is_known(scene: Scene) -> None:
    image, _ = Heard(scene, scale=0.5).of(seen())
    assert values(image) == pytest.approx(0.5 * DEPTHS, rel=1e-5)


def test_frames_without_a_pointmap_or_lost_ones_have_no_depth(scene: Scene) -> None:
    heard = Heard(scene)
    heard.outputs.publish(pose_update(POSE, FIRST_NS - 1))
    heard.outputs.publish(seen(state=State.LOST))
    heard.outputs.publish(seen(pose=None, state=State.LOST))
    image, _ = heard.of(seen(stamp_ns=FIRST_NS + 5))
    assert image.header.stamp.nanosec == 5
    assert len(heard.images) == 1


CAMERA = Camera(80, 48, 70.0, 72.0, 41.0, 22.0)


@pytest.mark.parametrize("use", [True, False])
def test_the_camera_is_the_one_the_pose_was_computed_with(scene: Scene, use: bool) -> None:
    header = image_header(size=(48, 80), camera=CAMERA)
    _, info = Heard(scene, pose__use_camera_info=use).of(seen(header=header))
    assert (info.width, info.height) == (WIDTH, HEIGHT)
    if use:  # the image of 80 x 48 becomes one of 10 x 6, of which the middle 8 columns are taken
        assert (info.k[0], info.k[4]) == pytest.approx((70 / 8, 72 / 8))
        assert (info.k[2], info.k[5]) == pytest.approx(((41.5 / 8 - 0.5) - 1, 22.5 / 8 - 0.5))
    else:
        assert list(info.k) == [FOCAL, 0.0, 3.5, 0.0, FOCAL, 2.5, 0.0, 0.0, 1.0]


def test_the_camera_has_no_distortion_left() -> None:
    bent = Camera(80, 48, 70.0, 72.0, 41.0, 22.0, "plumb_bob", (0.1, 0.0, 0.0, 0.0))
    assert not pointmap_camera((HEIGHT, WIDTH), FOCAL, bent).is_distorted


def test_the_points_are_not_changed() -> None:
    points = points_world()
    points.flags.writeable = False
    depth_image(points, np.ones((HEIGHT, WIDTH), np.float32), POSE, 0.0)
    assert depth_image(points, np.ones((HEIGHT, WIDTH), np.float32), POSE, 0.0).dtype == np.float32


def test_nothing_is_made_for_nobody(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth_output, "pointmap_camera", lambda *_: pytest.fail("made for nobody"))
    scene.outputs().publish(seen())
    wait_until(lambda: len(scene.poses) == 1, "a pose")


# ---- dense depth -------------------------------------------------------------------------------------------------


def dense_view(added: int = 3) -> KeyframeView:
    """A keyframe of 16 x 12 pixels with 8 x 6 depths, of which one is unknown."""
    depth = DEPTHS.astype(np.float32)
    depth[2, 3] = np.nan
    camera = Camera(2 * WIDTH, 2 * HEIGHT, 2 * FOCAL, 2 * FOCAL, WIDTH - 0.5, HEIGHT - 0.5)
    points = MapPoints(
        np.arange(3 * added, dtype=np.float32).reshape(-1, 3),
        np.zeros((added, 3), np.uint8),
        np.ones(added, np.float32),
    )
    header, image = image_header(size=(2 * HEIGHT, 2 * WIDTH)), np.zeros((2 * HEIGHT, 2 * WIDTH, 3), np.uint8)
    return KeyframeView(0, 0, header, POSE, camera, image, depth, np.ones_like(depth), points)


def test_dense_depth_is_that_of_the_whole_image_at_its_size(scene: Scene) -> None:
    heard = Heard(scene, scale=0.5)
    heard.outputs.publish(replace(dense_view(), added=None))  # the view by the networks, which comes first
    heard.outputs.publish(dense_view())
    wait_until(lambda: len(heard.images) == len(heard.infos) == 1, "a depth image and its camera_info")
    image, info = heard.images[0], heard.infos[0]
    assert (image.height, image.width) == (info.height, info.width) == (2 * HEIGHT, 2 * WIDTH)
    assert list(info.k) == [2 * FOCAL, 0.0, WIDTH - 0.5, 0.0, 2 * FOCAL, HEIGHT - 0.5, 0.0, 0.0, 1.0]
    expected = np.repeat(np.repeat(0.5 * dense_view().depth, 2, axis=0), 2, axis=1)
    np.testing.assert_allclose(values(image), expected, rtol=1e-6)
    assert np.isnan(values(image)).sum() == 4


def test_a_frame_whose_dense_depth_follows_has_no_depth_of_its_pointmap(scene: Scene) -> None:
    heard = Heard(scene)
    heard.outputs.publish(replace(seen(), is_provisional=True))
    heard.of(seen(stamp_ns=FIRST_NS + 5))
    assert [image.header.stamp.nanosec for image in heard.images] == [5]


def test_clouds_have_the_dense_points_and_at_most_as_many_as_the_setting(scene: Scene) -> None:
    clouds: list[PointCloud2] = scene.camera.listen(PointCloud2, "/slam3r/cloud")
    outputs = scene.outputs(cloud_max_points=100)
    wait_until(lambda: outputs._cloud.get_subscription_count() >= 2, "listeners")
    outputs.publish(dense_view(3))
    outputs.publish(dense_view(1000))
    wait_until(lambda: len(clouds) == 2, "two clouds")
    assert [cloud.width for cloud in clouds] == [3, 100]
    x_of_map = np.frombuffer(clouds[1].data, "<f4").reshape(-1, 5)[:, 0]  # z of the engine's world, which is 3 n + 2
    assert x_of_map.min() == 2 and x_of_map.max() == 2999 and np.diff(x_of_map).max() <= 33
