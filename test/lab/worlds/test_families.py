"""Worlds from seeds: determinism, the narrow family unchanged, depth on surfaces, sky without depth, light."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slam3r_lab.worlds.build import build_world
from slam3r_lab.worlds.family import FAMILIES, NARROW, WIDE, BoxRooms, FamilyError, WorldFamily, family_of
from slam3r_lab.worlds.layouts.furnished import PLACES
from slam3r_lab.worlds.paths.choose import PathSettings, camera_path
from slam3r_lab.worlds.renderer import RenderedFrame, WorldRenderer, camera_from_field_of_view
from slam3r_lab.worlds.world import World

NARROW_ROOMS = Path(__file__).parents[2] / "data" / "narrow_rooms.npz"


def _family(place: str) -> WorldFamily:
    return replace(WIDE, places=((place, 1.0),), effects=None)


def _render(world: World, seed: int, family: WorldFamily, size: int = 32, frames: int = 3) -> list[RenderedFrame]:
    poses = camera_path(world, seed, PathSettings(frames, 4.0), family)
    return list(WorldRenderer(world, camera_from_field_of_view(world.field_of_view, size, size)).render(poses))


def world_points(frame: RenderedFrame) -> np.ndarray:
    """(H, W, 3) metres."""
    camera = frame.camera
    rows, columns = np.mgrid[: camera.height, : camera.width]
    x, y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
    points = np.stack([x, y, np.ones_like(x)], axis=-1) * frame.depth[..., None]
    return np.asarray(points @ frame.T_world_camera[:3, :3].T + frame.T_world_camera[:3, 3])


@pytest.mark.parametrize("seed", [20000, 3])
def test_the_narrow_family_is_what_it_was(seed: int) -> None:
    """The rooms that the first embedded weights and the demo know, as they were first rendered."""
    world = build_world(seed, NARROW, texels_per_metre=16.0)
    poses = camera_path(world, seed, PathSettings(12, 8.0))[::11]
    frames = list(WorldRenderer(world, camera_from_field_of_view(world.field_of_view, 32, 24)).render(poses))
    with np.load(NARROW_ROOMS) as golden:
        assert poses == pytest.approx(golden[f"pose_{seed}"], abs=1e-9)
        assert np.stack([frame.depth for frame in frames]) == pytest.approx(golden[f"depth_{seed}"], abs=1e-3)
        difference = np.stack([frame.colour for frame in frames]).astype(int) - golden[f"colour_{seed}"]
    assert np.abs(difference).mean() < 0.05 and np.abs(difference).max() <= 3


@pytest.mark.parametrize("place", PLACES)
def test_a_seed_gives_one_world_and_its_points_lie_on_surfaces(place: str) -> None:
    family = _family(place)
    world, again = (build_world(1, family) for _ in range(2))
    frames = _render(world, 1, family, size=24, frames=2)
    assert np.array_equal(world.solids.centre, again.solids.centre)
    assert np.array_equal(world.surfaces.offset, again.surfaces.offset)
    assert torch.equal(world.textures.texels, again.textures.texels)
    first = _render(again, 1, family, size=24, frames=2)[0]
    assert np.array_equal(frames[0].colour, first.colour) and np.array_equal(frames[0].depth, first.depth)
    for frame in frames:
        points = world_points(frame)[frame.depth > 0]
        nearest = world.solids.distance(points).min(axis=1)
        if world.enclosed:
            nearest = np.minimum(nearest, np.minimum(points, world.size - points).min(axis=1))
        assert np.median(np.abs(nearest)) < 2e-3 and nearest.max() < 0.05
        assert frame.colour.std() > 3, "something can be seen"


def test_another_seed_gives_another_world() -> None:
    family = _family("room")
    worlds = [build_world(seed, family) for seed in (1, 2)]
    assert worlds[0].solids.centre.shape != worlds[1].solids.centre.shape
    assert not torch.equal(worlds[0].textures.texels[:1000], worlds[1].textures.texels[:1000])


def test_the_sky_has_no_depth_and_no_surface_hides_it() -> None:
    family = _family("outdoors")
    world = build_world(4, family)
    up = np.eye(4)
    up[:3, :3] = np.array([[1.0, 0, 0], [0, -1.0, 0], [0, 0, 1.0]]) @ np.diag([1.0, -1.0, 1.0])
    up[:3, 3] = [world.size[0] / 2, world.size[1] / 2, 60.0]  # above everything, looking up
    camera = camera_from_field_of_view(60.0, 16, 16)
    frame = next(iter(WorldRenderer(world, camera).render(up[None])))
    assert (frame.depth == 0).all()
    assert frame.colour.mean() > 60, "the sky is not black"
    down = up.copy()
    down[:3, 1:3] *= -1
    below = next(iter(WorldRenderer(world, camera).render(down[None])))
    assert below.depth[8, 8] == pytest.approx(60.0, abs=15.0)


def test_a_thing_before_the_lamp_takes_light_away() -> None:
    family = _family("room")
    world = build_world(1, family)
    poses = camera_path(world, 1, PathSettings(1, 4.0), family)
    camera = camera_from_field_of_view(world.field_of_view, 32, 32)
    light, dark = (
        WorldRenderer(replace(world, shadow_points=points), camera).render_tensors(poses)[0] for points in (0, 2)
    )
    assert (dark <= light + 1e-5).all()
    assert float(dark.mean()) < float(light.mean())


def test_depth_of_the_wall_ahead_is_the_distance_to_it() -> None:
    boxes = BoxRooms(box_count=(1, 1), box_footprint=(0.35, 0.36), box_height=(0.35, 0.36))
    world = build_world(5, replace(NARROW, boxes=boxes), texels_per_metre=16.0)
    pose = np.eye(4)  # looking along +x with y down: right is -y, down is -z
    pose[:3, :3] = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    pose[:3, 3] = [1.5, world.size[1] / 2, 2.0]
    frame = next(iter(WorldRenderer(world, camera_from_field_of_view(20.0, 33, 33)).render(pose[None])))
    assert frame.depth[:10] == pytest.approx(np.full((10, 33), world.size[0] - 1.5), abs=1e-4)


def test_the_same_surface_has_the_same_colour_from_two_views() -> None:
    """Colours of points that both of two neighbouring views see agree, far better than colours of arbitrary pixels."""
    family = _family("room")
    world = build_world(11, family)
    first, second = _render(world, 11, family, size=64, frames=2)
    points = world_points(first).reshape(-1, 3)
    camera = second.camera
    local = (points - second.T_world_camera[:3, 3]) @ second.T_world_camera[:3, :3]
    column = np.rint(local[:, 0] / local[:, 2] * camera.fx + camera.cx).astype(int)
    row = np.rint(local[:, 1] / local[:, 2] * camera.fy + camera.cy).astype(int)
    inside = (column >= 0) & (column < 64) & (row >= 0) & (row < 64) & (local[:, 2] > 0)
    seen = np.zeros(len(points), bool)
    seen[inside] = np.abs(second.depth[row[inside], column[inside]] - local[inside, 2]) < 0.02
    assert seen.mean() > 0.3
    expected = first.colour.reshape(-1, 3)[seen].astype(float)
    got = second.colour[row[seen], column[seen]].astype(float)
    unrelated = np.abs(expected - np.roll(got, len(got) // 2, axis=0)).mean()
    assert np.abs(expected - got).mean() < 0.4 * unrelated


def test_frames_rendered_together_are_those_rendered_alone() -> None:
    family = _family("flat")
    world = build_world(3, family)
    poses = camera_path(world, 3, PathSettings(4, 4.0), family)
    renderer = WorldRenderer(world, camera_from_field_of_view(world.field_of_view, 30, 22))
    together, alone = list(renderer.render(poses, at_once=4)), list(renderer.render(poses, at_once=1))
    for a, b in zip(together, alone, strict=True):
        assert a.depth == pytest.approx(b.depth, rel=1e-5)
        assert np.abs(a.colour.astype(int) - b.colour).max() <= 1


def test_boxes_of_plain_rooms_stand_inside_and_apart() -> None:
    world = build_world(20000, NARROW, texels_per_metre=2.0)
    solids = world.solids
    for index in range(len(solids)):
        centre, half = solids.centre[index], solids.half[index]
        assert (centre[:2] > 0).all() and (centre[:2] < world.size[:2]).all()
        assert centre[2] - half[2] == pytest.approx(0.0)
        for other in range(index):
            apart = np.linalg.norm(centre[:2] - solids.centre[other, :2])
            assert apart > np.minimum(half[:2], solids.half[other, :2]).max()


def test_families_have_names_and_others_are_refused() -> None:
    assert [family_of(name).name for name in FAMILIES] == ["narrow", "rooms", "wide", "turns"]
    with pytest.raises(FamilyError, match="narrow, rooms, wide, turns"):
        family_of("castle")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_renders_what_a_cpu_renders() -> None:
    family = _family("room")
    world = build_world(1, family)
    poses = camera_path(world, 1, PathSettings(2, 4.0), family)
    camera = camera_from_field_of_view(world.field_of_view, 64, 64)
    on_cpu, on_gpu = (list(WorldRenderer(world, camera, device=device).render(poses)) for device in ("cpu", "cuda"))
    for a, b in zip(on_cpu, on_gpu, strict=True):
        assert np.median(np.abs(a.depth - b.depth)) < 1e-4
        assert np.abs(a.colour.astype(int) - b.colour).mean() < 0.5
