"""Textures: determinism, no seams, all patterns in range, filtering."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slam3r_lab.worlds.parts import Role
from slam3r_lab.worlds.textures.atlas import TextureAtlas
from slam3r_lab.worlds.textures.materials import STYLES, make_materials
from slam3r_lab.worlds.textures.noise import SIDE, noise
from slam3r_lab.worlds.textures.patterns import Painter, Pattern

CPU = torch.device("cpu")
PATTERNS = sorted({pattern for style in STYLES.values() for pattern in style.patterns}, key=lambda f: f.__name__)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.__name__)
def test_patterns_repeat_without_a_seam_and_by_their_seed(pattern: Pattern) -> None:
    style = next(style for style in STYLES.values() if pattern in style.patterns)
    first, again = (
        pattern(Painter(np.random.default_rng(5), style.palettes[0], style.metres[0], CPU)) for _ in range(2)
    )
    assert torch.equal(first, again)
    assert first.shape == (SIDE, SIDE, 3) and torch.isfinite(first).all()
    assert 0.0 < float(first.mean()) < 1.2
    for axis in (0, 1):
        steps = (first - first.roll(1, axis)).abs().mean(dim=(1 - axis, 2))
        assert float(steps[0]) <= 1.05 * float(steps.max())


def test_noise_has_the_scales_asked_for() -> None:
    fine = noise(np.random.default_rng(0), CPU, roughness=0.0, lowest=32)[0]
    broad = noise(np.random.default_rng(0), CPU, roughness=1.0, highest=8)[0]
    assert float(fine.std()) == pytest.approx(1.0, abs=0.01) and float(broad.std()) == pytest.approx(1.0, abs=0.01)
    assert float((fine - fine.roll(1, 0)).std()) > 5 * float((broad - broad.roll(1, 0)).std())


def test_a_tiled_texture_goes_on_beyond_its_edge_and_another_ends() -> None:
    image = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(0))
    atlas = TextureAtlas.from_images([image, image], [(2.0, 2.0)] * 2, [8.0] * 2, [True, False])
    u, v, footprint = torch.rand(50) * 2, torch.rand(50) * 2, torch.full((50,), 0.05)
    tiled, ending = torch.zeros(50, dtype=torch.int64), torch.ones(50, dtype=torch.int64)
    assert torch.allclose(
        atlas.sample(tiled, u, v, footprint), atlas.sample(tiled, u + 4.0, v - 2.0, footprint), atol=1e-4
    )
    assert torch.allclose(atlas.sample(ending, u + 9.0, v, footprint), atlas.sample(ending, u * 0 + 2, v, footprint))
    far = atlas.sample(tiled, u, v, torch.full((50,), 50.0))
    assert float(far.std(dim=0).max()) < 0.1, "from far away only the mean colour is left"


def test_materials_of_a_role_do_not_depend_on_the_other_roles() -> None:
    few = make_materials(np.random.default_rng(3), CPU, frozenset({Role.WALL}))
    many = make_materials(np.random.default_rng(3), CPU, frozenset({Role.WALL, Role.FLOOR, Role.BOOKS}))
    place = torch.tensor([0.3, 0.9]), torch.tensor([0.2, 1.4]), torch.tensor([0.01, 0.01])
    for material in range(4):
        samples = [
            materials.atlas.sample(torch.full((2,), materials.texture(Role.WALL, material)), *place)
            for materials in (few, many)
        ]
        assert torch.equal(*samples)
