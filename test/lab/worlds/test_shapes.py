"""Where rays meet each shape, against analytic geometry; distances to shapes; bundles against single rays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slam3r_lab.worlds.parts import Part, Role, Shape, rotation_x, rotation_y, rotation_z
from slam3r_lab.worlds.ray_casting import NOTHING, RAYS, SHELL, Bundles, RayCaster
from slam3r_lab.worlds.shapes import coordinates, faces, normals
from slam3r_lab.worlds.textures.atlas import TextureAtlas
from slam3r_lab.worlds.world import Lamps, Sky, Solids, Surfaces, World

CPU = torch.device("cpu")
TURN = rotation_z(0.7) @ rotation_x(0.4) @ rotation_y(-0.3)
CENTRE, HALF = np.array([4.0, 0.3, -0.2]), np.array([0.8, 0.6, 1.1])


def _world(parts: list[Part], *, enclosed: bool = False) -> World:
    count = 6 * (1 + len(parts))
    atlas = TextureAtlas.from_images([torch.full((8, 8, 3), 0.5)], [(1.0, 1.0)], [8.0], [True])
    lamps = Lamps(np.array([[5.0, 5.0, 2.0]]), np.ones((1, 3)), np.ones(1), np.zeros(1), np.zeros(1))
    return World(
        np.array([10.0, 10.0, 3.0]), enclosed, Solids.of(parts), Surfaces.plain(np.zeros(count, np.int64)), atlas,
        lamps, 0.5, 0.0, Sky(np.ones(3), np.ones(3), -1), 60.0, 1,
    )  # fmt: skip


def _part(shape: Shape) -> Part:
    return Part(shape, CENTRE, HALF, TURN, Role.PLAIN)


def _rays(seed: int = 0) -> Bundles:
    """One bundle from the origin towards the part, wide enough that many rays miss."""
    random = np.random.default_rng(seed)
    direction = CENTRE[:, None] + random.uniform(-1.2, 1.2, (3, RAYS))
    return Bundles(torch.zeros(1, 3), torch.from_numpy(direction[None].astype(np.float32)))


def _inside(shape: Shape, points: np.ndarray) -> np.ndarray:
    """The definition of each shape, for points (N, 3) in its own coordinates."""
    x, y, z = points.T
    in_box = (np.abs(points) <= 1).all(axis=1)
    return {
        Shape.BOX: in_box,
        Shape.CYLINDER: in_box & (x**2 + y**2 <= 1),
        Shape.ELLIPSOID: x**2 + y**2 + z**2 <= 1,
        Shape.WEDGE: in_box & (x + z <= 0),
    }[shape]


@pytest.mark.parametrize("shape", list(Shape))
def test_rays_stop_where_a_walk_along_them_enters_the_shape(shape: Shape) -> None:
    bundles = _rays()
    hits = RayCaster(_world([_part(shape)]), CPU).nearest(bundles)
    steps = np.linspace(0.3, 1.7, 4001)
    found = 0
    for ray in range(RAYS):
        direction = bundles.direction[0, :, ray].numpy().astype(np.float64)
        own = (np.outer(steps, direction) - CENTRE) @ TURN / HALF
        inside = _inside(shape, own)
        distance = float(hits.distance[0, ray])
        if inside.sum() > 3:
            assert distance == pytest.approx(steps[inside.argmax()], abs=5e-4)
            assert hits.part[0, ray] == 0
            found += 1
        elif not inside.any() and not np.isfinite(distance):
            assert hits.part[0, ray] == NOTHING
    assert 10 < found < RAYS


@pytest.mark.parametrize("shape", list(Shape))
def test_normals_are_square_to_the_surface_and_coordinates_metric(shape: Shape) -> None:
    """Moving a little along the surface changes the coordinates by about as much, and not along the normal."""
    part = _part(shape)
    caster = RayCaster(_world([part]), CPU)
    bundles = _rays(1)
    nudged = Bundles(bundles.origin, bundles.direction + torch.tensor([0.0, 2e-3, 1e-3])[None, :, None])
    first, second = (_surface(part, caster, rays) for rays in (bundles, nudged))
    both = (first[0] == second[0]) & (first[0] >= 0)
    assert int(both.sum()) > 10
    moved = second[1][both] - first[1][both]
    normal = first[2][both]
    assert (moved * normal).sum(1).abs().max() < 0.02 * moved.norm(dim=1).max()
    if shape != Shape.ELLIPSOID:
        steps = torch.hypot(second[3] - first[3], second[4] - first[4])[both] / moved.norm(dim=1)
        low, high = (0.6, 1.5) if shape == Shape.CYLINDER else (0.97, 1.03)
        assert low < float(steps.median()) < high


def _surface(part: Part, caster: RayCaster, bundles: Bundles) -> tuple[torch.Tensor, ...]:
    """Face (-1 for a miss), world point, normal and coordinates of every ray."""
    hits = caster.nearest(bundles)
    hit = hits.part[0] == 0
    distance = torch.where(hit, hits.distance[0], 1.0)
    points = (distance * bundles.direction[0]).T
    turn, half = torch.from_numpy(part.rotation).float(), torch.from_numpy(part.half).float().expand(RAYS, 3)
    unit = (points - torch.from_numpy(part.centre).float()) @ turn / half
    shape = torch.full((RAYS,), int(part.shape))
    face = faces(shape, unit)
    normal = normals(shape, face, unit, half) @ turn.T
    return torch.where(hit, face, -1), points, normal, *coordinates(shape, face, unit, half)


@pytest.mark.parametrize("shape", list(Shape))
def test_clearance_is_never_more_than_the_distance_and_exact_before_a_face(shape: Shape) -> None:
    solids = Solids.of([_part(shape)])
    random = np.random.default_rng(3)
    cloud = random.uniform(-1, 1, (60_000, 3))
    cloud = cloud[_inside(shape, cloud)] * HALF @ TURN.T + CENTRE
    outside = CENTRE + random.uniform(-3, 3, (40, 3))
    for position, claimed in zip(outside, solids.distance(outside)[:, 0], strict=True):
        true = np.linalg.norm(cloud - position, axis=1).min()
        assert claimed <= true + 1e-9
    assert solids.distance(cloud).max() <= 1e-9, "inside is negative"
    before_low_z = CENTRE - TURN @ np.array([0.0, 0.0, HALF[2] + 0.5])
    if shape != Shape.ELLIPSOID:
        assert solids.distance(before_low_z[None])[0, 0] == pytest.approx(0.5)


def test_bundles_meet_what_each_ray_meets_alone() -> None:
    """Leaving parts out by the bundle's cone changes nothing."""
    random = np.random.default_rng(7)
    parts = [
        Part(Shape(int(random.integers(4))), random.uniform(0.5, 9.5, 3) * [1, 1, 0.3], random.uniform(0.02, 0.8, 3),
             rotation_z(random.uniform(0, 6)) @ rotation_x(random.uniform(0, 6)), Role.PLAIN)
        for _ in range(60)
    ]  # fmt: skip
    caster = RayCaster(_world(parts, enclosed=True), CPU)
    origin = torch.tensor([[5.0, 5.0, 1.5]]).expand(12, 3)
    spread = torch.from_numpy(np.repeat([0.05, 0.4, 2.0], 4).astype(np.float32))[:, None, None]
    axis = torch.from_numpy(random.normal(size=(12, 3, 1)).astype(np.float32))
    direction = axis + spread * torch.from_numpy(random.normal(size=(12, 3, RAYS)).astype(np.float32))
    whole = caster.nearest(Bundles(origin, direction))
    for bundle in range(12):
        for ray in range(0, RAYS, 8):
            alone = direction[bundle : bundle + 1, :, ray : ray + 1].expand(1, 3, RAYS)
            hit = caster.nearest(Bundles(origin[:1], alone))
            assert hit.part[0, 0] == whole.part[bundle, ray]
            assert hit.distance[0, 0] == pytest.approx(float(whole.distance[bundle, ray]), rel=1e-5)
    assert {SHELL} < set(whole.part.unique().tolist())
