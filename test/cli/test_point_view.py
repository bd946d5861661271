import numpy as np
import pytest

from slam3r_ros.cli.figure import draw_map
from slam3r_ros.cli.point_view import seen_from
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import rigid

RED, BLUE = [255, 0, 0], [0, 0, 255]
IDENTITY = np.eye(4)


def view(points: list[list[float]], colours: list[list[int]], side: float = 0.1) -> np.ndarray:
    cloud = np.array(points, np.float32).reshape(-1, 3)
    camera = Camera(60, 40, 50.0, 50.0, 29.5, 19.5)
    return seen_from(cloud, np.array(colours, np.uint8).reshape(-1, 3), IDENTITY, camera, side)


def test_a_point_is_a_square_of_its_side_where_the_camera_sees_it() -> None:
    image = view([[0.21, -0.09, 1.0]], [RED])
    rows, columns = np.nonzero((image == RED).all(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (13, 17, 38, 42)  # 50 px a unit, radius round(2.5)
    assert len(rows) == 25
    assert (image[0, 0] == 255).all()


@pytest.mark.parametrize("order", [1, -1])
def test_the_nearer_point_hides_the_farther_whatever_their_order(order: int) -> None:
    image = view([[0, 0, 1.0], [0, 0, 1.5]][::order], [RED, BLUE][::order])
    assert image[20, 30].tolist() == RED
    assert not (image == BLUE).all(axis=2).any()


def test_what_is_behind_beside_or_too_near_is_not_drawn() -> None:
    beside = [[0, 0, -1.0], [9, 0, 1.0], [0, 0, 1e-3]]
    image = view([*beside, [0, 0.2, 1.0], [0, 0.2, 1.0], [0, 0.2, 1.0]], [BLUE] * 3 + [RED] * 3)
    assert (image == RED).all(axis=2).any()
    assert not (image == BLUE).all(axis=2).any()
    assert (view([], []) == 255).all()
    assert (view([[0, 0, -1.0]], [RED]) == 255).all()


def test_a_map_without_points_or_poses_still_gives_a_picture(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from slam3r_ros.types import MapPoints, StampedPose

    def cloud(count: int) -> MapPoints:
        random = np.random.default_rng(0)
        points = random.uniform(-1, 1, (count, 3)).astype(np.float32)
        return MapPoints(points, random.integers(0, 255, (count, 3)).astype(np.uint8), np.ones(count, np.float32))

    for number, (points, poses) in enumerate([(0, 0), (0, 3), (1, 1), (500, 5)]):
        trajectory = [StampedPose(n, rigid(np.eye(3), [n, 0, 0])) for n in range(poses)]
        path = tmp_path / f"{number}.png"
        draw_map(path, cloud(points), trajectory, "test")
        assert path.stat().st_size > 1000
