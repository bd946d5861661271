"""Lines, cameras and images among the points of a picture."""

from __future__ import annotations

import numpy as np

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.frustum import frustum_corners
from slam3r_ros.render.overlay import draw_image, draw_lines, frustum_segments, polyline
from slam3r_ros.render.renderer import Picture
from slam3r_ros.render.splatting import FAR
from slam3r_ros.render.views import PerspectiveView

CAMERA = Camera(60, 40, 50.0, 50.0, 29.5, 19.5)
FRONT = PerspectiveView(np.eye(4), CAMERA)
WHITE = (255, 255, 255)


def empty(depth: float = float(FAR)) -> Picture:
    return Picture(np.zeros((40, 60, 3), np.uint8), np.full((40, 60), depth, np.float32))


def test_a_line_is_where_its_points_are_seen() -> None:
    picture = empty()
    draw_lines(picture, FRONT, polyline(np.array([[-0.4, 0, 1.0], [0.4, 0, 1.0]])), WHITE, 1)
    rows, columns = np.nonzero(picture.image[:, :, 0] > 60)
    assert set(rows.tolist()) <= {19, 20} and (columns.min(), columns.max()) == (10, 49)


def test_points_hide_lines_which_shine_through() -> None:
    line = polyline(np.array([[-0.8, 0, 2.0], [0.8, 0, 2.0]]))
    for hidden, most in ((0.0, 0), (0.5, 130)):
        picture = empty()
        picture.depth[:, :30] = 1.0  # a surface before the left half
        draw_lines(picture, FRONT, line, WHITE, 2, hidden=hidden)
        left, right = picture.image[18:22, 12:22].max(), picture.image[18:22, 40:48].max()
        assert right == 255 and (left == 0 if most == 0 else 60 < left <= most)


def test_lines_that_pass_the_camera_are_cut_before_it() -> None:
    picture = empty()
    draw_lines(picture, FRONT, polyline(np.array([[0.1, 0.1, -1.0], [0.1, 0.1, 3.0]])), WHITE, 1)
    rows, columns = np.nonzero(picture.image[:, :, 0] > 60)
    assert rows.max() == 39 and 48 <= columns.max() <= 51, "it leaves the picture where it passes the camera"
    assert columns.min() >= 29 and rows.min() >= 19
    behind = empty()
    draw_lines(behind, FRONT, polyline(np.array([[0.1, 0.1, -1.0], [0.1, 0.2, -3.0]])), WHITE, 1)
    assert not behind.image.any()


def test_an_image_fills_its_frustum_where_nothing_is_before_it() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, :15] = (200, 0, 0)
    image[:, 15:] = (0, 0, 200)
    corners = frustum_corners(Camera(30, 20, 50.0, 50.0, 14.5, 9.5), np.eye(4), 2.0)
    picture = empty()
    draw_image(picture, FRONT, corners, image, 1.0)
    assert (picture.image[11:29, 16:28] == (200, 0, 0)).all() and (picture.image[11:29, 32:43] == (0, 0, 200)).all()
    assert not picture.image[:9].any() and not picture.image[:, :14].any()
    hidden = empty(1.0)
    draw_image(hidden, FRONT, corners, image, 1.0)
    assert not hidden.image.any()


def test_a_frustum_has_eight_edges_from_its_centre_and_around_its_image() -> None:
    corners = frustum_corners(CAMERA, np.eye(4), 2.0)
    np.testing.assert_allclose(corners[0], 0)
    expected = [[-0.5, -0.5], [59.5, -0.5], [59.5, 39.5], [-0.5, 39.5]]
    np.testing.assert_allclose(FRONT.project(corners[1:]).pixels, expected, atol=1e-4)
    segments = frustum_segments([corners, corners + 1])
    assert segments.shape == (16, 2, 3)
    assert sum(np.allclose(segment[0], 0) for segment in segments) == 4
    assert frustum_segments([]).shape == (0, 2, 3)
