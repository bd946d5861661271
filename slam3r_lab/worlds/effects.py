"""What cameras do to images: exposure, white balance, motion blur, distortion, vignetting, noise and compression.

The effects change colours only: depth and poses stay those of the ideal camera.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from slam3r_ros.geometry.camera import Camera

Range = tuple[float, float]
_BLUR_TAPS = 5
_NEAREST = 0.1


@dataclass(frozen=True, slots=True)
class EffectRanges:
    """Ranges that a camera's faults are drawn from, once for a video."""

    exposure: Range = (0.3, 0.55)
    """Mean brightness that the automatic exposure aims at."""
    exposure_drift: Range = (0.0, 0.15)
    """Amplitude of its slow changes, as a share."""
    white_balance: Range = (0.0, 0.12)
    """Largest gain of a colour channel, as a share, and half of it as slow drift."""
    shutter: Range = (0.0, 0.03)
    """Time for which the shutter is open, seconds."""
    distortion: Range = (-0.012, 0.012)
    """Radial shift at the corner left over by calibration, as a share of the distance from the middle."""
    vignetting: Range = (0.0, 0.45)
    """Loss of light in the corners."""
    noise: Range = (0.0, 0.03)
    """Standard deviation of the sensor's noise in the middle grey."""
    jpeg_quality: tuple[int, int] = (45, 95)
    """Quality of the compression, both ends included."""
    share_without: float = 0.15
    """Share of the videos without any of these."""

    def weakened(self, share: float) -> EffectRanges:
        """Ranges with this share of every fault's strength."""

        def less(name: str) -> Range:
            low, high = getattr(self, name)
            return share * low, share * high

        return replace(
            self,
            exposure_drift=less("exposure_drift"),
            white_balance=less("white_balance"),
            shutter=less("shutter"),
            distortion=less("distortion"),
            vignetting=less("vignetting"),
            noise=less("noise"),
            jpeg_quality=(round(95 - share * (95 - self.jpeg_quality[0])), 95),
        )


class CameraEffects:
    """The faults of one video's camera; deterministic by its seed."""

    def __init__(self, seed: int, ranges: EffectRanges, rate_hz: float) -> None:
        """`rate_hz`: images a second."""
        random = np.random.default_rng([seed, 5])
        self._seed = seed
        strength = float(random.random() >= ranges.share_without)
        self._enabled = bool(strength)
        self._exposure = random.uniform(*ranges.exposure)
        self._drift = random.uniform(*ranges.exposure_drift)
        self._balance = random.uniform(*ranges.white_balance) * random.uniform(-1, 1, 3)
        self._periods = random.uniform(20.0, 120.0, 4)
        self._phases = random.uniform(0, 2 * np.pi, 4)
        self._shutter = random.uniform(*ranges.shutter) * rate_hz
        self._distortion = random.uniform(*ranges.distortion)
        self._vignetting = random.uniform(*ranges.vignetting)
        self._noise = random.uniform(*ranges.noise)
        self._quality = int(random.integers(ranges.jpeg_quality[0], ranges.jpeg_quality[1] + 1))
        self._gain: float | None = None

    def apply(
        self, colour: Tensor, depth: Tensor, poses: NDArray[np.float64], first: int, camera: Camera
    ) -> NDArray[np.uint8]:
        """Images (F, H, W, 3) of ideal colours (F, H, W, 3) and depths (F, H, W), frames `first` and following of the
        video with these poses (all frames, 4, 4), given in order.
        """
        if not self._enabled:
            return np.asarray((colour * 255).round().to(torch.uint8).cpu().numpy())
        images = [self._one(colour[index], depth[index], poses, first + index, camera) for index in range(len(colour))]
        return np.stack(images)

    def _one(
        self, colour: Tensor, depth: Tensor, poses: NDArray[np.float64], frame: int, camera: Camera
    ) -> NDArray[np.uint8]:
        flow = self._flow(depth, poses, frame, camera)
        image = self._blurred(colour, flow, camera)
        random = np.random.default_rng([self._seed, 6, frame])
        swing = np.sin(2 * np.pi * frame / self._periods + self._phases)
        gain = self._exposed(float(image.mean())) * (1 + self._drift * swing[0])
        channels = gain * (1 + self._balance + 0.5 * self._balance * swing[1:])
        image = image * torch.from_numpy(channels.astype(np.float32)).to(image.device)
        image = image * self._vignette(camera, image.device)[..., None]
        image = torch.where(image > 0.8, 1 - 0.2 * torch.exp(-(image - 0.8) / 0.2), image)
        grain = torch.from_numpy(random.standard_normal(tuple(image.shape), dtype=np.float32)).to(image.device)
        image = image + self._noise * (0.3 + image.clamp(min=0.0).sqrt()) * grain
        pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        return _compressed(pixels, self._quality)

    def _exposed(self, mean: float) -> float:
        """Gain of an automatic exposure that follows the image's mean brightness slowly."""
        wanted = float(np.clip(self._exposure / max(mean, 0.02), 0.5, 2.2))
        self._gain = wanted if self._gain is None else 0.85 * self._gain + 0.15 * wanted
        return self._gain

    def _flow(self, depth: Tensor, poses: NDArray[np.float64], frame: int, camera: Camera) -> Tensor:
        """Motion of each pixel while the shutter is open (H, W, 2), pixels."""
        other = min(frame + 1, len(poses) - 1)
        frame = other - 1 if other > 0 else 0
        motion = np.linalg.inv(poses[other]) @ poses[frame]
        x, y = _grid(camera, depth.device)
        far = torch.where(depth > 0, depth, 1e4).clamp(min=_NEAREST)
        rays = torch.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, torch.ones_like(x)], dim=-1)
        transform = torch.from_numpy(motion).float().to(depth.device)
        moved = (rays * far[..., None]) @ transform[:3, :3].T + transform[:3, 3]
        z = moved[..., 2].clamp(min=_NEAREST)
        shift = torch.stack(
            [moved[..., 0] / z * camera.fx + camera.cx - x, moved[..., 1] / z * camera.fy + camera.cy - y], dim=-1
        )
        return (shift * self._shutter).clamp(-0.05 * camera.width, 0.05 * camera.width)

    def _blurred(self, colour: Tensor, flow: Tensor, camera: Camera) -> Tensor:
        """Colours (H, W, 3) averaged along their motion, seen through a lens with a little distortion."""
        x, y = _grid(camera, colour.device)
        corner = float(np.hypot(camera.width, camera.height)) / 2
        away = torch.stack([x - camera.cx, y - camera.cy], dim=-1)
        bend = away * (self._distortion * (away / corner).square().sum(dim=-1, keepdim=True))
        source = torch.stack([x, y], dim=-1) + bend
        scale = torch.tensor([2 / camera.width, 2 / camera.height], device=colour.device)
        steps = torch.linspace(-0.5, 0.5, _BLUR_TAPS, device=colour.device)[:, None, None, None]
        places = (source + steps * flow + 0.5) * scale - 1
        planes = colour.permute(2, 0, 1)[None].expand(_BLUR_TAPS, -1, -1, -1)
        taps = functional.grid_sample(planes, places, padding_mode="border", align_corners=False)
        return taps.mean(dim=0).permute(1, 2, 0)

    def _vignette(self, camera: Camera, device: torch.device) -> Tensor:
        x, y = _grid(camera, device)
        corner = float(np.hypot(camera.width, camera.height)) / 2
        return 1 - self._vignetting * ((x - camera.cx).square() + (y - camera.cy).square()) / corner**2


def _grid(camera: Camera, device: torch.device) -> tuple[Tensor, Tensor]:
    rows, columns = torch.meshgrid(
        torch.arange(camera.height, device=device).float(),
        torch.arange(camera.width, device=device).float(),
        indexing="ij",
    )
    return columns, rows


def _compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))
