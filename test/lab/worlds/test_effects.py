"""What cameras do to images: colours change, geometry does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from slam3r_lab.worlds.effects import CameraEffects, EffectRanges
from slam3r_lab.worlds.renderer import camera_from_field_of_view

CAMERA = camera_from_field_of_view(60.0, 32, 32)
NONE = EffectRanges(
    exposure=(0.5, 0.5), exposure_drift=(0, 0), white_balance=(0, 0), shutter=(0, 0), distortion=(0, 0),
    vignetting=(0, 0), noise=(0, 0), jpeg_quality=(95, 95), share_without=0.0,
)  # fmt: skip


def _scene() -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    generator = torch.Generator().manual_seed(0)
    colour = torch.rand(1, 8, 8, 3, generator=generator).repeat_interleave(4, 1).repeat_interleave(4, 2) * 0.6 + 0.2
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, 0, 3] = 0.2
    return colour, torch.full((1, 32, 32), 2.0), poses


def _apply(ranges: EffectRanges, seed: int = 0) -> np.ndarray:
    colour, depth, poses = _scene()
    return CameraEffects(seed, ranges, rate_hz=10.0).apply(colour, depth, poses, 0, CAMERA)[0].astype(float)


def test_effects_depend_on_the_seed_alone_and_leave_depth_as_it_is() -> None:
    colour, depth, poses = _scene()
    kept = depth.clone()
    images = [CameraEffects(3, EffectRanges(), 10.0).apply(colour, depth, poses, 0, CAMERA) for _ in range(2)]
    assert np.array_equal(images[0], images[1]) and images[0].dtype == np.uint8
    assert torch.equal(depth, kept)
    assert not np.array_equal(images[0], CameraEffects(4, EffectRanges(), 10.0).apply(colour, depth, poses, 0, CAMERA))


def test_without_faults_only_the_exposure_changes() -> None:
    colour, image = _scene()[0][0].numpy().mean(axis=2), _apply(NONE).mean(axis=2) / 255
    gain = image.mean() / colour.mean()
    assert np.abs(np.minimum(colour * gain, 0.8) - np.minimum(image, 0.8)).mean() < 0.03


def test_blur_runs_along_the_motion() -> None:
    """The camera moves along x: edges across x get softer, those across y do not."""
    sharp, blurred = _apply(NONE), _apply(replace(NONE, shutter=(0.1, 0.1)))
    across = [np.abs(np.diff(image, axis=1)).max(axis=1).mean() for image in (sharp, blurred)]
    down = [np.abs(np.diff(image, axis=0)).max(axis=0).mean() for image in (sharp, blurred)]
    assert across[1] < 0.8 * across[0]
    assert down[1] > 0.7 * down[0]


@pytest.mark.parametrize(
    ("field", "value"), [("vignetting", (0.4, 0.4)), ("noise", (0.05, 0.05)), ("jpeg_quality", (20, 20))]
)
def test_each_fault_shows(field: str, value: tuple[float, float]) -> None:
    clean, spoiled = _apply(NONE), _apply(replace(NONE, **{field: value}))
    if field == "vignetting":
        corner, middle = (slice(0, 4), slice(0, 4)), (slice(14, 18), slice(14, 18))
        assert spoiled[corner].mean() / clean[corner].mean() < 0.8 * spoiled[middle].mean() / clean[middle].mean()
    else:
        assert np.abs(spoiled - clean).mean() > 1.0


def test_distortion_moves_the_corners_by_no_more_than_its_range() -> None:
    """A bent image of a smooth ramp differs by the shift times the slope."""
    ramp = torch.linspace(0.2, 0.7, 32)[None, None, :, None].expand(1, 32, 32, 3)
    depth, poses = torch.full((1, 32, 32), 2.0), np.tile(np.eye(4), (2, 1, 1))
    bent, straight = (
        CameraEffects(0, replace(NONE, distortion=(bend, bend)), 10.0).apply(ramp, depth, poses, 0, CAMERA)[0]
        for bend in (0.02, 0.0)
    )
    slope = float(np.diff(straight[16, :, 0].astype(float)).mean())
    shift = np.abs(bent.astype(float) - straight)[..., 0] / slope
    assert shift[16, 16] <= 1.0 and shift.mean() < 0.02 * 32
