"""The renderer: determinism, geometry that agrees between views, camera paths that keep clear, and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slam3r_ros.training.camera_path import NoFreePathError, PathSettings, camera_path
from slam3r_ros.training.renderer import Intrinsics, RenderedFrame, RoomRenderer
from slam3r_ros.training.room_family import RoomFamily
from slam3r_ros.training.rooms import Room, build_room
from slam3r_ros.training.seeds import FIRST_DEMO_SEED, TRAINING_SEEDS, VALIDATION_SEEDS, is_held_out
from slam3r_ros.training.sequence_files import quaternion_xyzw, render_sequence, write_sequence


def _render(seed: int, size: tuple[int, int] = (64, 48), frames: int = 6, rate_hz: float = 3.0) -> list[RenderedFrame]:
    return list(render_sequence(seed, PathSettings(frames, rate_hz), size))


def _world_points(frame: RenderedFrame) -> np.ndarray:
    camera = frame.intrinsics
    rows, columns = np.mgrid[: camera.height, : camera.width]
    x, y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
    points = np.stack([x, y, np.ones_like(x)], axis=-1) * frame.depth[..., None]
    return points @ frame.T_world_camera[:3, :3].T + frame.T_world_camera[:3, 3]


@pytest.fixture(scope="module")
def room() -> Room:
    return build_room(FIRST_DEMO_SEED, texels_per_metre=16.0)


def test_the_same_seed_gives_the_same_video_and_another_seed_another() -> None:
    first, again, other = _render(31, frames=2), _render(31, frames=2), _render(32, frames=2)
    assert all(
        np.array_equal(a.colour, b.colour) and np.array_equal(a.depth, b.depth)
        for a, b in zip(first, again, strict=True)
    )
    assert not np.array_equal(first[0].colour, other[0].colour)


def test_depth_is_on_the_room_or_on_a_box(room: Room) -> None:
    for frame in _render(FIRST_DEMO_SEED, frames=4):
        distance = room.clearance(_world_points(frame).reshape(-1, 3))
        assert np.abs(distance).max() < 1e-3, "every rendered point lies on a surface"


def test_depth_of_the_wall_ahead_is_the_distance_to_it() -> None:
    family = RoomFamily(box_count=(1, 1), box_footprint=(0.35, 0.36), box_height=(0.35, 0.36))
    room = build_room(5, family, texels_per_metre=16.0)
    pose = np.eye(4)  # looking along +x with y down: right is -y, down is -z
    pose[:3, :3] = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    pose[:3, 3] = [1.5, room.size[1] / 2, 2.0]
    depth = RoomRenderer(room, Intrinsics.from_field_of_view(20.0, 33, 33)).render(pose).depth
    assert depth[:10] == pytest.approx(np.full((10, 33), room.size[0] - 1.5), abs=1e-4)


def test_the_same_surface_has_the_same_colour_from_two_views() -> None:
    """Colours of points that both of two neighbouring views see agree, far better than colours of arbitrary pixels."""
    first, second = _render(40, (96, 96), frames=2, rate_hz=8.0)
    points = _world_points(first).reshape(-1, 3)
    camera = second.intrinsics
    local = (points - second.T_world_camera[:3, 3]) @ second.T_world_camera[:3, :3]
    column = np.rint(local[:, 0] / local[:, 2] * camera.fx + camera.cx).astype(int)
    row = np.rint(local[:, 1] / local[:, 2] * camera.fy + camera.cy).astype(int)
    inside = (column >= 0) & (column < 96) & (row >= 0) & (row < 96) & (local[:, 2] > 0)
    seen = np.zeros(len(points), bool)
    seen[inside] = np.abs(second.depth[row[inside], column[inside]] - local[inside, 2]) < 0.02
    assert seen.mean() > 0.5
    expected = first.colour.reshape(-1, 3)[seen].astype(float)
    got = second.colour[row[seen], column[seen]].astype(float)
    unrelated = np.abs(expected - np.roll(got, len(got) // 2, axis=0)).mean()
    assert np.abs(expected - got).mean() < 0.4 * unrelated


@pytest.mark.parametrize("seed", range(6))
def test_paths_keep_clear_and_move_like_a_hand(seed: int) -> None:
    family = RoomFamily()
    room = build_room(seed, texels_per_metre=2.0)
    poses = camera_path(room, seed, PathSettings(90, 30.0))
    assert room.clearance(poses[:, :3, 3]).min() >= family.clearance
    rotations = poses[:, :3, :3]
    assert rotations @ rotations.transpose(0, 2, 1) == pytest.approx(np.broadcast_to(np.eye(3), (90, 3, 3)), abs=1e-9)
    assert np.linalg.det(rotations) == pytest.approx(np.ones(90))
    assert rotations[:, 2, 1].max() < 0, "the camera's y axis points down"
    speed = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) * 30
    assert speed.max() < 1.2
    cosine = np.clip((np.trace(rotations[1:] @ rotations[:-1].transpose(0, 2, 1), axis1=1, axis2=2) - 1) / 2, -1, 1)
    assert np.degrees(np.arccos(cosine)).max() * 30 < 120, "degrees a second"


def test_boxes_stand_inside_the_room_and_apart(room: Room) -> None:
    for index, (centre, half) in enumerate(zip(room.box_centre, room.box_half_size, strict=True)):
        assert (centre[:2] > 0).all() and (centre[:2] < room.size[:2]).all()
        assert centre[2] - half[2] == pytest.approx(0.0)
        for other in range(index):
            assert (
                np.linalg.norm(centre[:2] - room.box_centre[other, :2])
                > np.minimum(half[:2], room.box_half_size[other, :2]).max()
            )


def test_a_room_that_is_too_narrow_says_so() -> None:
    family = RoomFamily(room_width=(1.0, 1.05), room_length=(1.0, 1.05), box_footprint=(0.2, 0.21), box_count=(1, 1))
    room = build_room(3, family, texels_per_metre=2.0)
    with pytest.raises(NoFreePathError, match="try another seed"):
        camera_path(room, 3, PathSettings(30, 30.0), family)


def test_textures_show_the_same_pattern_at_another_resolution() -> None:
    coarse, fine = build_room(9, texels_per_metre=16.0), build_room(9, texels_per_metre=64.0)
    pose = camera_path(coarse, 9, PathSettings(1, 30.0))[0]
    images = [
        RoomRenderer(room, Intrinsics.from_field_of_view(60.0, 24, 24)).render(pose).colour.astype(float)
        for room in (coarse, fine)
    ]
    assert np.abs(images[0] - images[1]).mean() < 0.5 * images[1].std()


def test_written_sequence_has_the_promised_layout(tmp_path: Path) -> None:
    frames = _render(FIRST_DEMO_SEED, frames=3, rate_hz=10.0)
    assert write_sequence(iter(frames), 10.0, tmp_path) == 3
    assert sorted(path.name for path in (tmp_path / "rgb").iterdir()) == ["000000.jpg", "000001.jpg", "000002.jpg"]
    depth = np.asarray(Image.open(tmp_path / "depth" / "000001.png"))
    assert depth.dtype == np.uint16
    assert depth / 1000 == pytest.approx(frames[1].depth, abs=6e-4)
    values = [float(value) for value in (tmp_path / "intrinsics.txt").read_text().split()]
    assert values == pytest.approx([frames[0].intrinsics.fx, frames[0].intrinsics.fy, 31.5, 23.5, 64, 48], abs=1e-5)
    lines = [line.split() for line in (tmp_path / "poses.txt").read_text().splitlines() if not line.startswith("#")]
    assert [float(line[0]) for line in lines] == pytest.approx([0.0, 0.1, 0.2])
    assert [float(value) for value in lines[2][1:4]] == pytest.approx(frames[2].T_world_camera[:3, 3], abs=1e-6)
    stored = np.asarray(Image.open(tmp_path / "rgb" / "000000.jpg"), float)
    assert np.abs(stored - frames[0].colour).mean() < 8


def test_quaternion_is_that_of_the_rotation() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        x, y, z, w = quaternion = random.standard_normal(4) / 1.0
        x, y, z, w = quaternion / np.linalg.norm(quaternion)
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        expected = np.array([x, y, z, w]) * (1 if w >= 0 else -1)
        assert quaternion_xyzw(rotation) == pytest.approx(expected, abs=1e-9)


def test_seed_ranges_do_not_meet() -> None:
    assert set(TRAINING_SEEDS).isdisjoint(VALIDATION_SEEDS)
    assert is_held_out(FIRST_DEMO_SEED) and is_held_out(VALIDATION_SEEDS[0]) and not is_held_out(TRAINING_SEEDS[-1])
