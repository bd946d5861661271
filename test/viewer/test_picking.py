"""What a click and a rectangle hit."""

from __future__ import annotations

import numpy as np
from viewer_map import DEPTH, view

from slam3r_ros.geometry.se3 import invert_rigid
from slam3r_ros.io.map_axes import T_map_world
from slam3r_ros.viewer.chunk import chunk_of
from slam3r_ros.viewer.picking import Selection, point_on_ray
from slam3r_ros.viewer.tuning import TUNING


def test_a_ray_hits_the_foremost_point_near_it() -> None:
    clouds = [chunk_of(view(number), 10_000).points_map() for number in (0, 1)]
    behind = clouds[0] + np.array([1.0, 0, 0], np.float32)
    hit = point_on_ray(np.zeros(3), np.array([4.0, 0.4, 0.2]), [behind, *clouds], TUNING.pick_angles_rad)
    assert hit is not None
    np.testing.assert_allclose(hit, [DEPTH, 0.2, 0.1], atol=0.03)


def test_a_ray_past_all_points_hits_nothing() -> None:
    cloud = chunk_of(view(0), 10_000).points_map()
    for direction in ([-1.0, 0, 0], [0, 0, 1.0]):
        assert point_on_ray(np.zeros(3), np.array(direction), [cloud], TUNING.pick_angles_rad) is None
    assert point_on_ray(np.zeros(3), np.array([1.0, 0, 0]), [], TUNING.pick_angles_rad) is None


def test_a_rectangle_holds_the_pixels_that_it_covers() -> None:
    keyframe = view(0)
    chunk = chunk_of(keyframe, 10_000)
    selection = Selection(
        T_camera_map=invert_rigid(T_map_world @ keyframe.T_world_camera),
        vertical_fov_rad=chunk.vertical_fov_rad,
        aspect=chunk.aspect,
        smallest=(0.0, 0.0),
        largest=(0.5, 0.25),
    )
    inside = selection.contains(chunk.points_map())
    # A quarter of 48 rows and half of 64 columns, up to the half pixel between the centre and the edge.
    assert abs(int(inside.sum()) - 12 * 32) <= 32
    points = chunk.points_map()[inside]
    assert (points[:, 1] > -0.05).all() and (points[:, 2] > 0.4).all()  # left, and up
    assert not selection.contains(-chunk.points_map()).any()  # behind the eye
