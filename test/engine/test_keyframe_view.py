"""Keyframe views: which frames are kept, and that their points are where the map has them."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import textured_image

from slam3r_ros.engine.events import map_updates
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import invert_rigid, rigid, rotation_from_quat_xyzw, transform_points
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.networks.weights import Networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame, ImageHeader

POSE = rigid(rotation_from_quat_xyzw([0.1, -0.3, 0.2, 0.9]), [1.0, -2.0, 0.5])
CAMERA = Camera(12, 8, 10.0, 11.0, 5.5, 3.5)


def view() -> KeyframeView:
    """A view of 8 x 12 pixels with 4 x 6 depths, of which one is unknown."""
    depth = np.linspace(1, 3, 24, dtype=np.float32).reshape(4, 6)
    depth[1, 2] = np.nan
    image = np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3)
    confidence = np.arange(24, dtype=np.float32).reshape(4, 6)
    return KeyframeView(3, 70, ImageHeader(1000, (8, 12)), POSE, CAMERA, image, depth, confidence)


def test_points_project_to_the_centres_of_their_pixels() -> None:
    points = view().points()
    assert len(points) == 23
    x, y, z = transform_points(invert_rigid(POSE), points.points_world.astype(np.float64)).T
    # The centre of a depth pixel is between the pixels 2 i and 2 i + 1 of the image, which is twice as fine.
    columns, rows = np.meshgrid(2 * np.arange(6) + 0.5, 2 * np.arange(4) + 0.5)
    known = np.isfinite(view().depth)
    np.testing.assert_allclose(10 * x / z + 5.5, columns[known], atol=1e-5)
    np.testing.assert_allclose(11 * y / z + 3.5, rows[known], atol=1e-5)
    np.testing.assert_allclose(z, view().depth[known], rtol=1e-6)
    np.testing.assert_array_equal(points.colours[0], view().image[1, 1])
    np.testing.assert_array_equal(points.colours[-1], view().image[7, 11])


def test_points_fall_on_their_own_pixels_and_nothing_behind_or_beside_the_image_does() -> None:
    rare = np.zeros(view().depth.shape, np.bool_)
    rare[::3, ::2] = True
    points = view().points_of(rare)
    assert len(points) == np.count_nonzero(rare & np.isfinite(view().depth)) < 8
    np.testing.assert_array_equal(view().pixels_of(points.points_world), rare & np.isfinite(view().depth))
    elsewhere = transform_points(POSE, np.array([[0.0, 0.0, -1.0], [5.0, 0.0, 1.0], [0.0, -5.0, 1.0]]))
    assert not view().pixels_of(elsewhere).any()


def test_points_below_the_least_confidence_are_left_out() -> None:
    assert view().points(20.0).confidence.tolist() == [20, 21, 22, 23]
    assert len(view().points(100.0)) == 0


def test_a_closed_loop_moves_the_points_as_the_similarity_does() -> None:
    changes = Sim3.concatenate([Sim3(np.ones(1), np.eye(3)[None], np.ones((1, 3))), Sim3.from_pose(POSE[None])])
    changes = replace_scale(changes, [1.0, 1.5])
    correction = MapCorrection(np.array([0, 60]), changes)
    moved, before = view().corrected(correction), view().points()
    np.testing.assert_allclose(moved.points().points_world, changes[1].apply(before.points_world), rtol=1e-5)
    assert (moved.id, moved.index, moved.camera) == (3, 70, CAMERA)


def replace_scale(transforms: Sim3, scale: list[float]) -> Sim3:
    return Sim3(scale, transforms.rotation, transforms.translation)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_frame_is_kept_once_in_a_stride(tiny_networks: Networks, stride: int) -> None:
    settings = {"window.stride": stride, "window.lookahead": 0, "pose.minimum_inliers": 0, "map.point_confidence": 0}
    settings |= {"initialize.minimum_motion": 0, "initialize.minimum_texture": 0}
    slam = Slam(tiny_networks, SlamSettings().with_values(settings))
    events = [event for number in range(40) for event in slam.push(Frame(number, textured_image(number)))]
    events += slam.flush()
    views = [event for event in events if isinstance(event, KeyframeView)]
    tracked = {update.index: update for update in map_updates(events) if update.is_tracked}
    assert [each.id for each in views] == list(range(len(views))) and len(views) > 5
    indices = [each.index for each in views]
    assert min(np.diff(indices)) == stride
    for each in views:
        update = tracked[each.index]
        assert update.pose is not None
        z = transform_points(invert_rigid(update.pose.T_world_camera), update.pointmaps.points_world)[..., 2]
        known = np.isfinite(each.depth)
        assert known.any()
        np.testing.assert_allclose(each.depth[known], z[known], rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(each.image, update.image)


def test_a_lost_frame_has_no_view(tiny_networks: Networks) -> None:
    settings = {"pose.minimum_confidence": 1e9, "window.stride": 1, "initialize.minimum_motion": 0.0}
    slam = Slam(tiny_networks, SlamSettings().with_values(settings | {"initialize.minimum_texture": 0.0}))
    events = [event for number in range(20) for event in slam.push(Frame(number, textured_image(number)))]
    lost = [update.index for update in map_updates(events) if not update.is_tracked]
    assert len(lost) > 5
    assert not {event.index for event in events if isinstance(event, KeyframeView)} & set(lost)
