"""Pictures of clouds: where points appear, what hides what, and how gaps and sizes are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.render.cloud import SplatCloud
from slam3r_ros.render.renderer import Picture, render
from slam3r_ros.render.splatting import FAR
from slam3r_ros.render.views import PerspectiveView, PlanView, View, look_at
from slam3r_ros.types import MapPoints

RED, BLUE, BACKGROUND = (255, 0, 0), (0, 0, 255), (24, 26, 31)
CAMERA = Camera(60, 40, 50.0, 50.0, 29.5, 19.5)
FRONT = PerspectiveView(np.eye(4), CAMERA)


def cloud(points: Array, colour: tuple[int, int, int], spacing: float) -> SplatCloud:
    count = len(points)
    colours, normals = np.tile(np.uint8([colour]), (count, 1)), np.zeros((count, 3), np.float32)
    return SplatCloud(points.astype(np.float32), colours, np.full(count, spacing, np.float32), normals)


def sheet(depth: float, half_width: float, step: float) -> Array:
    """(N, 3) points of a square that faces the camera."""
    x, y = np.meshgrid(np.arange(-half_width, half_width + step / 2, step), np.arange(-half_width, half_width, step))
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, depth)], axis=1)


def shows(picture: Picture, colour: tuple[int, int, int]) -> np.ndarray:
    """(height, width) where a picture has about this hue: its strongest channel, and the others weak."""
    channel = int(np.argmax(colour))
    others = np.delete(picture.image.astype(int), channel, axis=2).max(axis=2)
    return (picture.image[:, :, channel] > 90) & (others < 40)


@pytest.mark.parametrize("supersampling", [1, 2, 3])
def test_a_point_is_drawn_where_the_camera_sees_it(supersampling: int) -> None:
    picture = render(cloud(np.array([[0.21, -0.09, 1.0]]), RED, 0.06), FRONT, BACKGROUND, supersampling=supersampling)
    rows, columns = np.nonzero(shows(picture, RED))
    assert abs(columns.mean() - (29.5 + 50 * 0.21)) < 1 and abs(rows.mean() - (19.5 - 50 * 0.09)) < 1
    assert 2 <= np.ptp(columns) + 1 <= 9  # 1.5 times the spacing, rounded up to a power of two
    assert picture.image[0, 0].tolist() == list(BACKGROUND)
    assert picture.depth[15, 40] == pytest.approx(1.0) and picture.depth[0, 0] == FAR


def test_a_splat_is_as_wide_as_the_points_are_apart() -> None:
    for spacing in (0.2, 0.4, 0.8):
        picture = render(cloud(np.array([[0.0, 0, 2.0]]), RED, spacing), FRONT, BACKGROUND)
        columns = np.nonzero(shows(picture, RED))[1]
        assert 0.9 < (np.ptp(columns) + 1) / (spacing * 50 / 2) < 3.2


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("levels", [(0.02, 0.02), (0.02, 0.2), (0.2, 0.02)])
def test_the_nearer_surface_hides_the_farther_whatever_their_order_and_sizes(
    order: int, levels: tuple[float, float]
) -> None:
    near, far = cloud(sheet(1.0, 0.2, 0.01), RED, levels[0]), cloud(sheet(2.0, 2.0, 0.02), BLUE, levels[1])
    picture = render(SplatCloud.joined([near, far][::order]), FRONT, BACKGROUND)
    assert shows(picture, RED)[12:28, 22:38].all()
    assert not shows(picture, BLUE)[12:28, 22:38].any()
    assert shows(picture, BLUE)[2:38, 1:5].all()
    assert picture.depth[20, 30] == pytest.approx(1.0) and picture.depth[3, 3] == pytest.approx(2.0)


def test_gaps_in_a_surface_are_closed_and_openings_are_not() -> None:
    points = sheet(1.0, 0.5, 0.01)
    gap = (np.abs(points[:, 0] - 0.2) < 0.006) & (np.abs(points[:, 1]) < 0.3)
    opening = (np.abs(points[:, 0] + 0.2) < 0.12) & (np.abs(points[:, 1]) < 0.12)
    behind = cloud(sheet(2.0, 2.0, 0.02), BLUE, 0.02)
    picture = render(SplatCloud.joined([cloud(points[~gap & ~opening], RED, 0.01), behind]), FRONT, BACKGROUND)
    assert shows(picture, RED)[16:24, 38:42].all()
    assert shows(picture, BLUE)[18:22, 18:22].all()


def test_what_is_behind_beside_or_too_near_is_not_drawn() -> None:
    bad = cloud(np.array([[0, 0, -1.0], [9, 0, 1.0], [0, 0, 1e-3], [0, 0, np.nan]]), BLUE, 0.1)
    picture = render(SplatCloud.joined([bad, cloud(sheet(1.0, 0.1, 0.02), RED, 0.02)]), FRONT, BACKGROUND)
    assert shows(picture, RED).any() and not shows(picture, BLUE).any()
    for nothing in (SplatCloud.joined([]), bad[:1]):
        assert (render(nothing, FRONT, BACKGROUND).image == BACKGROUND).all()


def test_the_bands_of_a_picture_cannot_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from slam3r_ros.render import renderer
    from slam3r_ros.render.tuning import RenderTuning

    random = np.random.default_rng(0)
    points = random.uniform([-2, -2, 1], [2, 2, 4], (3000, 3))
    colours = random.integers(0, 255, (3000, 3)).astype(np.uint8)
    spacing, normals = random.uniform(0.005, 0.1, 3000).astype(np.float32), np.zeros((3000, 3), np.float32)
    scene = SplatCloud(points.astype(np.float32), colours, spacing, normals)
    view = PerspectiveView(np.eye(4), Camera(200, 300, 150.0, 150.0, 99.5, 149.5))
    whole = render(scene, view, BACKGROUND)
    monkeypatch.setattr(renderer, "TUNING", RenderTuning(band_pixels=1))
    banded = render(scene, view, BACKGROUND)
    np.testing.assert_array_equal(banded.depth, whole.depth)
    assert np.abs(banded.image.astype(int) - whole.image).max() <= 1


def test_a_plan_has_forward_to_the_top_and_left_to_the_left() -> None:
    high, low = (
        cloud(np.array([[0.0, 0.0, 5.0]]), BLUE, 0.2),
        cloud(np.array([[1.0, 2.0, 0], [0.0, 0.0, 1.0]]), RED, 0.2),
    )
    view: View = PlanView(np.array([1.5, 2.5, 6.0]), 10.0, (30, 40))
    picture = render(SplatCloud.joined([high, low]), view, BACKGROUND)
    assert shows(picture, RED)[4:6, 4:6].all()
    assert shows(picture, BLUE)[14:16, 24:26].all(), "the higher point hides the lower"
    np.testing.assert_allclose(view.project(np.array([[1.0, 2.0, 0.0]])).pixels, [[4.5, 4.5]])


def test_a_camera_that_looks_at_a_point_has_it_in_the_middle_and_up_at_the_top() -> None:
    T = look_at(np.array([3.0, 1, 2]), np.array([0.0, 0, 0.5]), np.array([0.0, 0, 1]))
    view = PerspectiveView(T, CAMERA)
    middle, above = view.project(np.array([[0.0, 0, 0.5], [0, 0, 0.7]])).pixels
    np.testing.assert_allclose(middle, [29.5, 19.5], atol=1e-4)
    assert above[1] < middle[1] - 1 and above[0] == pytest.approx(29.5, abs=1e-4)
    assert np.linalg.det(T[:3, :3]) == pytest.approx(1)
    down = look_at(np.array([0.0, 0, 5]), np.zeros(3), np.array([0.0, 0, 1]))
    assert np.linalg.det(down[:3, :3]) == pytest.approx(1)


def test_spacing_is_that_of_a_surface_and_lonely_points_are_left_out() -> None:
    points = np.concatenate([sheet(1.0, 0.5, 0.02), [[0, 0, 3.0], [0.5, 0, 4.0]]]).astype(np.float32)
    count = len(points)
    of_map = SplatCloud.of_map(MapPoints(points, np.zeros((count, 3), np.uint8), np.ones(count, np.float32)))
    assert len(of_map) == count - 2
    np.testing.assert_allclose(np.median(of_map.spacing), 0.01, rtol=0.01)  # the fourth neighbour is 0.02 away
    few = MapPoints(points[:3], np.zeros((3, 3), np.uint8), np.ones(3, np.float32))
    assert len(SplatCloud.of_map(few)) == 3


def test_a_surface_is_seen_from_the_side_of_its_normals_only() -> None:
    wall = cloud(sheet(1.0, 0.2, 0.01), RED, 0.01)
    for z, is_seen in ((-1.0, True), (1.0, False), (0.0, True)):
        wall.normals[:, 2] = z
        assert shows(render(wall, FRONT, BACKGROUND), RED).any() == is_seen
    floor = PlanView(np.array([1.0, 1.0, 2.0]), 20.0, (40, 40))
    wall.normals[:, 2] = 1.0
    assert shows(render(wall, floor, BACKGROUND), RED).any()
    wall.normals[:, 2] = -1.0
    assert not shows(render(wall, floor, BACKGROUND), RED).any()
