"""Camera paths keep clear of everything and move as what carries the camera does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slam3r_lab.worlds.build import build_world
from slam3r_lab.worlds.family import NARROW, WIDE, BoxRooms
from slam3r_lab.worlds.paths.choose import PathSettings, camera_path
from slam3r_lab.worlds.paths.curves import NoFreePathError
from slam3r_lab.worlds.paths.motion import DRONE, HAND, NEAR_HAND, ORBIT, ROBOT, ROTATION, Motion
from slam3r_lab.worlds.world import World


@pytest.fixture(scope="module")
def room() -> World:
    return build_world(6, replace(WIDE, places=(("room", 1.0),)))


def _poses(world: World, motion: Motion, seed: int, frames: int = 60) -> np.ndarray:
    return camera_path(world, seed, PathSettings(frames, 20.0), replace(WIDE, motions=((motion, 1.0),)))


def _turns(poses: np.ndarray) -> np.ndarray:
    """Degrees between neighbouring poses."""
    steps = poses[1:, :3, :3] @ poses[:-1, :3, :3].transpose(0, 2, 1)
    return np.degrees(np.arccos(np.clip((np.trace(steps, axis1=1, axis2=2) - 1) / 2, -1, 1)))


@pytest.mark.parametrize("motion", [HAND, NEAR_HAND, ROBOT, DRONE, ORBIT, ROTATION], ids=lambda motion: motion.kind)
def test_paths_keep_clear_and_are_proper_poses(room: World, motion: Motion) -> None:
    found = 0
    for seed in range(4):
        try:
            poses = _poses(room, motion, seed)
        except NoFreePathError:
            continue
        found += 1
        assert room.clearance(poses[:, :3, 3]).min() >= motion.clearance
        rotations = poses[:, :3, :3]
        assert rotations @ rotations.transpose(0, 2, 1) == pytest.approx(np.broadcast_to(np.eye(3), (60, 3, 3)))
        assert np.linalg.det(rotations) == pytest.approx(np.ones(60))
        assert rotations[:, 2, 1].max() < 0, "the camera's y axis points down"
        assert _turns(poses).max() * 20 < 150, "degrees a second"
        again = _poses(room, motion, seed)
        assert np.array_equal(poses, again)
    assert found > 0


def test_each_way_of_moving_has_its_mark(room: World) -> None:
    robot = _poses(room, ROBOT, 1)
    assert np.ptp(robot[:, 2, 3]) < 0.02, "wheels stay on the floor"
    rotation = _poses(room, ROTATION, 1)
    assert np.linalg.norm(rotation[:, :3, 3] - rotation[0, :3, 3], axis=1).max() < 0.2
    assert _turns(rotation).sum() > 15
    orbit = _poses(room, ORBIT, 0)
    middle = _nearest_to_axes(orbit)
    towards = middle - orbit[:, :3, 3]
    cosine = (towards * orbit[:, :3, 2]).sum(1) / np.linalg.norm(towards, axis=1)
    assert cosine.min() > 0.9, "it looks at one thing"


def _nearest_to_axes(poses: np.ndarray) -> np.ndarray:
    """The point nearest to all optical axes."""
    square = np.eye(3) - poses[:, :3, 2, None] * poses[:, None, :3, 2]
    return np.asarray(np.linalg.lstsq(square.sum(0), (square @ poses[:, :3, 3:]).sum(0)[:, 0], rcond=None)[0])


@pytest.mark.parametrize("seed", range(3))
def test_paths_of_the_narrow_family_move_like_a_hand(seed: int) -> None:
    world = build_world(seed, NARROW, texels_per_metre=2.0)
    poses = camera_path(world, seed, PathSettings(90, 30.0))
    assert world.clearance(poses[:, :3, 3]).min() >= HAND.clearance
    assert np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).max() * 30 < 1.2
    assert _turns(poses).max() * 30 < 120


def test_a_room_that_is_too_narrow_says_so() -> None:
    boxes = BoxRooms(room_width=(1.0, 1.05), room_length=(1.0, 1.05), box_footprint=(0.2, 0.21), box_count=(1, 1))
    family = replace(NARROW, boxes=boxes)
    world = build_world(3, family, texels_per_metre=2.0)
    with pytest.raises(NoFreePathError, match="try another seed"):
        camera_path(world, 3, PathSettings(30, 30.0), family)
